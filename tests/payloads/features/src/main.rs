//! A guest hypervisor that uses optional features of the CPU, and lets its guest use them.
//!
//! What each of the two finds is printed, and must be the same natively and under gnomon.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(
        unsafe_code,
        reason = "features are instructions and registers; each use says why it is sound"
    )
)]

#[cfg(target_os = "none")]
mod guest;
#[cfg(target_os = "none")]
mod pmu;
#[cfg(target_os = "none")]
mod registers;
#[cfg(target_os = "none")]
mod sve;

#[cfg(target_os = "none")]
bare::payload!(run::main, run::secondary);

/// The payload's functions.
#[cfg(target_os = "none")]
mod run {
    use bare::memory::Frames;
    use bare::options::Options;
    use bare::{println, psci};

    use crate::{guest::Guest, pmu, sve};

    pub(crate) fn main(_: Options<'_>) -> ! {
        let mut guest = Guest::new(&mut Frames::all());
        sve::run(&mut guest);
        pmu::run(&mut guest);
        println!("P OK");
        psci::power_off()
    }

    /// No CPU is started but the first.
    pub(crate) fn secondary(_: u64) -> ! {
        psci::wait_for_ever()
    }
}

/// On the host this is nothing: it only keeps the workspace whole.
#[cfg(not(target_os = "none"))]
fn main() {}
