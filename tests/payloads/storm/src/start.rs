//! Which of the modes, on every CPU, and how they fail.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use bare::options::Options;
use bare::{println, psci};

use crate::{busy, calls, cpus};

/// CPUs that frames and interrupts are divided among.
pub(crate) const CPUS_MAX: u64 = 8;

/// What CPUs do that are switched on: 0 for [`cpus`], 1 for [`busy`].
static MODE: AtomicU64 = AtomicU64::new(0);

/// The payload's main function.
pub(crate) fn main(options: Options<'_>) -> ! {
    let cpu_count = options.number("cpus").unwrap_or(1).min(CPUS_MAX);
    match options.value("mode") {
        Some("calls") => calls::run(cpu_count),
        Some("cpus") => cpus::run(cpu_count, options.number("rounds").unwrap_or(1)),
        Some("busy") => {
            MODE.store(1, Ordering::Relaxed);
            busy::run(cpu_count)
        }
        _ => fail("no such mode"),
    }
    println!("P OK");
    if options.has("hold") {
        psci::wait_for_ever();
    }
    psci::power_off()
}

/// What a second CPU does.
pub(crate) fn secondary(cpu: u64) -> ! {
    match MODE.load(Ordering::Relaxed) {
        0 => cpus::come_and_go(cpu),
        _ => busy::take_part(cpu),
    }
}

/// The end, with a reason.
pub(crate) fn fail(why: impl fmt::Display) -> ! {
    println!("P FAIL {why}");
    psci::power_off()
}

/// Fails unless a value is as it should be.
pub(crate) fn expect(what: &str, have: i64, want: i64) {
    if have != want {
        fail(format_args!("{what}: {have:#x}, not {want:#x}"));
    }
}
