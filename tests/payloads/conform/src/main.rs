//! A guest hypervisor that does everything one by one and prints what comes of it.
//!
//! The command line says which parts of the architecture: `area=NAME,NAME`. A run at the real EL2 and one under gnomon print the
//! same lines, but for those that begin with `P HIDDEN`, which are about what gnomon does not show its guest. `P OK` ends
//! a run.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(
        unsafe_code,
        reason = "what is tried are instructions; each use says why it is sound"
    )
)]

#[cfg(target_os = "none")]
mod areas;
#[cfg(target_os = "none")]
mod at;
#[cfg(target_os = "none")]
mod calls;
#[cfg(target_os = "none")]
mod controls;
#[cfg(target_os = "none")]
mod copies;
#[cfg(target_os = "none")]
mod debug;
#[cfg(target_os = "none")]
mod due;
#[cfg(target_os = "none")]
mod entries;
#[cfg(target_os = "none")]
mod exceptions;
#[cfg(target_os = "none")]
mod fine;
#[cfg(target_os = "none")]
mod forwarding;
#[cfg(target_os = "none")]
mod gic;
#[cfg(target_os = "none")]
mod probe;
#[cfg(target_os = "none")]
mod stage2;
#[cfg(target_os = "none")]
mod sweep;
#[cfg(target_os = "none")]
mod tge;
#[cfg(target_os = "none")]
mod timers;
#[cfg(target_os = "none")]
mod tlbi;
#[cfg(target_os = "none")]
mod values;
#[cfg(target_os = "none")]
mod vectors;
#[cfg(target_os = "none")]
mod waits;
#[cfg(target_os = "none")]
mod walks;

#[cfg(target_os = "none")]
bare::payload!(areas::main, areas::secondary);

/// On the host this is nothing: it only keeps the workspace whole.
#[cfg(not(target_os = "none"))]
fn main() {}
