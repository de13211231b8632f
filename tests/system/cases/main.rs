//! The system tests: gnomon in QEMU, one machine at a time, with the guests that users run.
//!
//! A case starts a machine, through `scripts/run` where what it shows is the contract of that
//! script and through the host tool's library where it needs a hand on the consoles, gathers what
//! was printed, and lets the readers in `src/` judge it. Logs are under `target/system-tests`, a
//! directory a machine. Waits are always for something that is printed; their limits are there
//! for machines that hang, far above what a slow host needs.
//!
//! Several trials may be about one machine: they share what was gathered in one run, so that each
//! statement is counted by itself and the run is paid for once.

mod after_panic;
mod again;
mod answers;
mod bad_input;
mod bench;
mod boots;
mod conform;
mod console;
mod console_pressure;
mod console_state;
mod console_walks;
mod dirty;
mod dma;
mod entry;
mod faulty;
mod features;
mod hostile;
mod json;
mod l2_up;
mod line;
mod locks;
mod nested;
mod restart;
mod ring;
mod scene;
mod snapshots;
mod storm;
mod stress;
mod terminal;
mod trace;
mod virtio;

use libtest_mimic::{Arguments, Failed, Trial};

/// Why a case failed, for the harness.
type Result<T = ()> = std::result::Result<T, Failed>;

fn main() {
    let mut arguments = Arguments::from_args();
    // A machine alone is as fast as two are together, and slow enough.
    arguments.test_threads.get_or_insert(1);
    let trials = [
        bad_input::trials(),
        bench::trials(),
        boots::trials(),
        conform::trials(),
        console::trials(),
        json::trials(),
        terminal::trials(),
        dirty::trials(),
        dma::trials(),
        restart::trials(),
        storm::trials(),
        again::trials(),
        snapshots::trials(),
        trace::trials(),
        after_panic::trials(),
        faulty::trials(),
        features::trials(),
        hostile::trials(),
        nested::trials(),
        ring::trials(),
        console_pressure::trials(),
        l2_up::trials(),
        console_state::trials(),
        console_walks::trials(),
        locks::trials(),
        stress::trials(),
        virtio::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}

/// A trial by that name, which it gets for its logs.
fn trial(name: &'static str, run: impl FnOnce(&'static str) -> Result + Send + 'static) -> Trial {
    Trial::test(name, move || run(name))
}

/// Passes when there is nothing to complain about.
fn expect_none(complaints: &[String]) -> Result {
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join("\n").into())
    }
}
