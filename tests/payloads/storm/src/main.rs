//! A guest hypervisor for which nothing lasts: VMs, CPUs and the machine end at any moment, and begin again.
//!
//! The words of the command line say what it does, on as many CPUs as `cpus=` says:
//!
//! | word | what it does |
//! |---|---|
//! | `mode=calls` | PSCI calls that make no sense, and some that do |
//! | `mode=cpus rounds=N` | CPUs switch themselves off, from L1 or from an L2, and are switched on again, N times each |
//! | `mode=busy` | says how often it has been started, waits for a line `SEED END`, and makes VMs until one CPU ends it all, as END says |
//!
//! What happens is decided by a seed, so that it can happen again.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod busy;
#[cfg(target_os = "none")]
mod calls;
#[cfg(target_os = "none")]
mod cpus;
#[cfg(target_os = "none")]
mod gic;
#[cfg(target_os = "none")]
mod rng;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod vms;

#[cfg(target_os = "none")]
bare::payload!(start::main, start::secondary);

/// On the host this is nothing: it only keeps the workspace whole.
#[cfg(not(target_os = "none"))]
fn main() {}
