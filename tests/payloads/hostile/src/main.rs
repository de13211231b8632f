//! A guest hypervisor that does what it should not, at random, from a seed.
//!
//! The command line has the numbers `seed`, `steps` (of each CPU, from the step `from` on) and `cpus`, and `area`, the part
//! of the attack; all of them are mixed without it. The same seed makes the same steps, whatever the ones before did. What
//! comes of them is not looked at: whoever runs this has to look at gnomon. At the end there is a line for each area with
//! what was done, `P DONE` with the CPUs that did not come back, and `P OK`; with `hold` the machine stays on, and with
//! `doom` every CPU does something that it does not come back from. With `linux`,
//! an address, the `Image` that somebody has put there is started at the end. With `wait`
//! nothing is done before somebody outside has written a word of RAM. `tell` names each step before it is done.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(
        unsafe_code,
        reason = "the attack is made of instructions; each use says why it is sound"
    )
)]

#[cfg(target_os = "none")]
mod areas;
#[cfg(target_os = "none")]
mod calls;
#[cfg(target_os = "none")]
mod code;
#[cfg(target_os = "none")]
mod cpu;
#[cfg(target_os = "none")]
mod doom;
#[cfg(target_os = "none")]
mod guests;
#[cfg(target_os = "none")]
mod home;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
mod linux;
#[cfg(target_os = "none")]
mod maintenance;
#[cfg(target_os = "none")]
mod mmio;
#[cfg(target_os = "none")]
mod places;
#[cfg(target_os = "none")]
mod power;
#[cfg(target_os = "none")]
mod race;
#[cfg(target_os = "none")]
mod registers;
#[cfg(target_os = "none")]
mod rescue;
#[cfg(target_os = "none")]
mod returns;
#[cfg(target_os = "none")]
mod rng;
#[cfg(target_os = "none")]
mod run;
#[cfg(target_os = "none")]
mod tables;
#[cfg(target_os = "none")]
mod tally;

#[cfg(target_os = "none")]
bare::payload!(run::main, run::secondary);

/// On the host this is nothing: it only keeps the workspace whole.
#[cfg(not(target_os = "none"))]
fn main() {}
