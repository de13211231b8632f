//! stub
use crate::vcpu::VCpu;
pub fn init() {}
pub fn receive(_vcpu: &mut VCpu) {}
pub fn wait_while_stopped(_cpu: usize) {}
pub fn after_panic() {}
pub fn announce(args: core::fmt::Arguments<'_>) { crate::dev::uart::with(|u| { use core::fmt::Write; let _ = writeln!(u, "{args}"); }); }
