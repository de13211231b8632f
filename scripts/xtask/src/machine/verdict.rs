//! Reading what the machine prints: has it failed, and will it end by itself?
//!
//! gnomon and the payload speak in lines with fixed beginnings, on L1's console
//! and on the debug UART. Nothing here waits; a [`Judge`] only remembers.

use std::fmt;
use std::time::Duration;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The machine powered off and nothing had gone wrong.
    PoweredOff,
    /// gnomon, L1 or QEMU failed; the text says which and how.
    Failed(String),
    /// The time was up first.
    TimedOut(Duration),
}

impl Outcome {
    /// Exit status of `xtask run --headless`.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::PoweredOff => 0,
            Self::Failed(_) => 1,
            Self::TimedOut(_) => 124,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoweredOff => f.write_str("the machine powered off"),
            Self::Failed(why) => f.write_str(why),
            Self::TimedOut(limit) => {
                write!(f, "the machine did not power off within {} s", limit.as_secs())
            }
        }
    }
}

/// Where a line was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// L1's console. Before L1 starts, gnomon's fatal lines come here too.
    L1,
    /// gnomon's debug console.
    Debug,
}

/// Something that makes the run a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The line that showed it.
    pub line: String,
    /// How long the machine may go on by itself before it is stopped; `None` when it goes
    /// on as usual and ends in order.
    pub grace: Option<Duration>,
}

/// After a panic gnomon stays up for its console; this is for the rest of its report.
const GRACE_AFTER_PANIC: Duration = Duration::from_secs(3);

/// gnomon's own fatal errors power off by themselves.
const GRACE_AFTER_ERROR: Duration = Duration::from_secs(20);

/// A crashed Linux resets, or powers off after its L2 did crash, if it still can.
const GRACE_AFTER_CRASH: Duration = Duration::from_mins(1);

/// Lines that mean failure: what they begin with on either UART.
const GNOMON_LINES: [(&str, Option<Duration>); 3] = [
    ("gnomon: panic: ", Some(GRACE_AFTER_PANIC)),
    ("gnomon: error: ", Some(GRACE_AFTER_ERROR)),
    (RESET, Some(GRACE_AFTER_ERROR)),
];

/// L1 has reset the machine, as gnomon says it, and Linux. Without gnomon nobody else reports it.
const RESET: &str = "gnomon: L1 reset";
const LINUX_RESET: &str = "reboot: Restarting system";
const RESETS: [&str; 2] = [RESET, LINUX_RESET];

/// Remembers the first failure.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    failure: Option<Failure>,
    expects_resets: bool,
}

impl Judge {
    /// A judge that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on a reset is no failure.
    pub fn expect_resets(&mut self) {
        self.expects_resets = true;
    }

    /// Looks at one line; the first failure stays.
    pub fn observe(&mut self, source: Source, line: &str) {
        let is_expected = self.expects_resets && RESETS.iter().any(|reset| line.contains(reset));
        if self.failure.is_none() && !is_expected {
            self.failure = failure_in(source, line);
        }
    }

    /// The first failure seen.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

/// The failure a line tells of, if it does.
fn failure_in(source: Source, line: &str) -> Option<Failure> {
    let failure = |grace| {
        Some(Failure {
            line: line.to_owned(),
            grace,
        })
    };
    for (beginning, grace) in GNOMON_LINES {
        if line.starts_with(beginning) {
            return failure(grace);
        }
    }
    if source == Source::Debug {
        return None;
    }
    if line.contains("Kernel panic - not syncing") {
        return failure(Some(GRACE_AFTER_CRASH));
    }
    if line.contains(LINUX_RESET) {
        return failure(Some(GRACE_AFTER_CRASH));
    }
    if line.starts_with("L1 FAIL") {
        failure(None)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(lines: &[(Source, &str)]) -> Option<Failure> {
        let mut judge = Judge::new();
        for (source, line) in lines {
            judge.observe(*source, line);
        }
        judge.failure().cloned()
    }

    #[test]
    fn a_reset_that_is_expected_is_no_failure() {
        let lines = ["gnomon: L1 reset, warm", "[    9.1] reboot: Restarting system"];
        for line in lines {
            assert!(judge(&[(Source::L1, line)]).is_some(), "{line}");
        }
        let mut judge = Judge::new();
        judge.expect_resets();
        for line in lines {
            judge.observe(Source::L1, line);
        }
        assert!(judge.failure().is_none());
        judge.observe(Source::Debug, "gnomon: panic: at once");
        assert!(judge.failure().is_some());
    }

    #[test]
    fn an_orderly_run_is_no_failure() {
        assert_eq!(
            judge(&[
                (Source::Debug, "[gnomon] error-free so far: 2 CPUs"),
                (Source::L1, "[    0.0] Kernel command line: panic=-1"),
                (Source::L1, "L1 UP 6.12 cpus=2"),
                (Source::L1, "L2 OK"),
                (Source::L1, "L1 OK"),
                (Source::Debug, "gnomon: L1 powered off"),
            ]),
            None
        );
    }

    #[test]
    fn gnomons_fatal_lines_count_on_either_uart() {
        for line in [
            "gnomon: panic: at src/x.rs:1",
            "gnomon: error: no FEAT_NV2",
            "gnomon: L1 reset",
        ] {
            for source in [Source::L1, Source::Debug] {
                let failure = judge(&[(source, line)]).unwrap();
                assert_eq!(failure.line, line);
                assert!(failure.grace.is_some(), "a machine that may hang must be stopped");
            }
        }
    }

    #[test]
    fn a_linux_crash_counts_on_l1s_console_only() {
        let line = "[   12.3] Kernel panic - not syncing: Attempted to kill init!";
        assert!(judge(&[(Source::L1, line)]).is_some());
        assert!(judge(&[(Source::Debug, line)]).is_none());
    }

    #[test]
    fn a_failed_check_lets_l1_end_in_order() {
        assert_eq!(judge(&[(Source::L1, "L1 FAIL L2 panicked")]).unwrap().grace, None);
    }

    #[test]
    fn the_first_failure_is_the_one_reported() {
        let failure = judge(&[(Source::L1, "gnomon: panic: first"), (Source::L1, "L1 FAIL second")]);
        assert_eq!(failure.unwrap().line, "gnomon: panic: first");
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        assert_eq!(Outcome::PoweredOff.exit_code(), 0);
        assert_eq!(Outcome::Failed(String::new()).exit_code(), 1);
        assert_eq!(Outcome::TimedOut(Duration::ZERO).exit_code(), 124);
    }
}
