//! What gnomon does not emulate: counted, logged once each, and answered with an Undefined exception.
//!
//! Nothing a guest does is silently ignored. The log says each thing once, so that no guest can flood it.

use core::sync::atomic::{AtomicU64, Ordering};

use syndrome::{Esr, SysReg, esr::ec};

use crate::{
    trap::Exit,
    vcpu::{Context, VCpu, context::GuestFrame, inject},
};

/// Registers and classes already logged, as a small open-addressed set; when it is full, nothing more is logged.
static SEEN: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Things not emulated since boot.
pub fn total() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

fn is_first(key: u64) -> bool {
    COUNT.fetch_add(1, Ordering::Relaxed);
    for slot in &SEEN {
        match slot.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(found) if found == key => return false,
            Err(_) => {}
        }
    }
    false
}

fn who(vcpu: &VCpu) -> &'static str {
    match vcpu.context {
        Context::Host => "L1",
        Context::Nested => "L2",
    }
}

/// Counts `what`, of which `reg` is the particular.
pub fn count(vcpu: &VCpu, what: &'static str, reg: SysReg) {
    let key = 1 << 62 | (vcpu.context as u64) << 40 | what.as_ptr() as u64 & 0xff_ffff << 16 | u64::from(reg.bits());
    if is_first(key) {
        log::warn!("{} used {what} {reg}, which is not emulated", who(vcpu));
    }
}

/// A system register or instruction.
pub fn system_register(vcpu: &mut VCpu, frame: &mut GuestFrame, reg: SysReg, is_read: bool) {
    let key = 1 << 63 | (vcpu.context as u64) << 32 | u64::from(reg.bits()) << 1 | u64::from(is_read);
    if is_first(key) {
        let what = if is_read { "read" } else { "wrote" };
        log::warn!(
            "{} {what} {reg} at {:#x}, which is not emulated: UNDEF",
            who(vcpu),
            frame.elr
        );
    }
    inject::undefined(vcpu, frame);
}

/// An exception class.
pub fn exception(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) {
    let Esr(esr) = exit.esr;
    if is_first(1 << 61 | (vcpu.context as u64) << 32 | u64::from(exit.esr.ec())) {
        let name = ec::name(exit.esr.ec());
        log::warn!(
            "{} caused {name} (ESR_EL2 {esr:#x}) at {:#x}, which is not emulated: UNDEF",
            who(vcpu),
            frame.elr
        );
    }
    inject::undefined(vcpu, frame);
}
