//! A guest hypervisor that counts what single operations cost.
//!
//! Under QEMU's `-icount shift=0` a tick of the counter is an instruction. Each operation stands between two reads of the
//! counter, in the context it is about: virtual EL2 or an L2. What the reads themselves cost is taken off, so that an
//! instruction which does not trap counts 1. A line `P BENCH NAME min A mean B count C` says the least, the average and
//! of how many; `P OK` ends it.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(
        unsafe_code,
        reason = "what is counted are instructions; each use says why it is sound"
    )
)]

#[cfg(target_os = "none")]
mod guest;
#[cfg(target_os = "none")]
mod host;
#[cfg(target_os = "none")]
mod samples;
#[cfg(target_os = "none")]
mod scale;
#[cfg(target_os = "none")]
mod vectors;

#[cfg(target_os = "none")]
bare::payload!(run::main, run::secondary);

/// The payload's functions.
#[cfg(target_os = "none")]
mod run {
    use bare::memory::Frames;
    use bare::options::Options;
    use bare::sysreg::CNTVCT_EL0;
    use bare::{println, psci};

    use crate::samples::Samples;
    use crate::{guest, host};

    pub(crate) fn main(_: Options<'_>) -> ! {
        let mut reset = Samples::new();
        reset.add(CNTVCT_EL0.get());
        reset.print(format_args!("reset"));
        host::run();
        match guest::run(&mut Frames::all()) {
            Ok(()) => println!("P OK"),
            Err(exit) => println!("P FAIL the L2 stopped: {exit}"),
        }
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
