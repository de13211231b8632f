//! Running the tests on one side, and how each ended.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::list::Test;
use crate::machine::Side;
use crate::machine::builder::Request;
use crate::machine::config::{Console, DebugUart};
use crate::machine::running::{Machine, Watch};
use crate::memory::MemorySize;
use crate::payload::{self, Kernel};
use crate::progress::say;
use crate::project::Project;

/// The machine of both sides.
const CPU_COUNT: u32 = 2;
const RAM_MIB: u64 = 4096;

/// How long L1 may take to boot, and beyond a test's own limit to say that it was over.
const SLACK: Duration = Duration::from_mins(5);

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Pass,
    /// It says that something it needs is not there.
    Skip,
    Fail,
    /// It was ended when its time was over.
    Timeout,
    /// With it ended the machine, or it took L1 along.
    Crash,
}

impl Verdict {
    /// From the line that tells of the end: the status follows its beginning.
    fn from_line(line: &str, beginning: &str) -> Self {
        let status = line.split(beginning).nth(1).and_then(|rest| rest.split(' ').next());
        status
            .and_then(|status| status.parse().ok())
            .map_or(Self::Fail, Self::from_status)
    }

    /// From the status that the shell gives: selftests have one of their own for skipping, and what is killed has 128
    /// and the signal's number.
    fn from_status(status: u32) -> Self {
        match status {
            0 => Self::Pass,
            4 => Self::Skip,
            137 => Self::Timeout,
            _ => Self::Fail,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Fail => "fail",
            Self::Timeout => "timeout",
            Self::Crash => "crash",
        })
    }
}

/// What the tests have in common.
pub(super) struct Terms<'a> {
    /// Where their programs are.
    pub(super) programs: &'a Path,
    /// How long one may take.
    pub(super) limit: Duration,
    /// Whether L1's KVM gives guests an EL2: those of the tests then run there.
    pub(super) nested: bool,
}

impl Terms<'_> {
    fn command_line(&self) -> String {
        let nested = if self.nested { " kvm-arm.mode=nested" } else { "" };
        let limit = self.limit.as_secs();
        format!("{} quiet{nested} gnomon.limit={limit}", payload::COMMAND_LINE)
    }
}

/// Runs the tests, on one machine unless a test takes it along; the verdicts are in the tests' order.
///
/// # Errors
///
/// When a machine cannot be made or started, or does not come as far as its first test.
pub(super) fn run(project: &Project, side: Side, tests: &[Test], terms: &Terms) -> Result<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    while verdicts.len() < tests.len() {
        let rest = &tests[verdicts.len()..];
        let mut machine = start(project, side, rest, terms, verdicts.len())?;
        for test in rest {
            machine.set_limit(SLACK);
            machine.wait_for(&format!("selftest {} begins", test.name))?;
            machine.set_limit(terms.limit + SLACK);
            let verdict = verdict_on(&mut machine, test);
            say(&format!("selftests: {side}: {} {verdict}", test.name));
            verdicts.push(verdict);
            if verdict == Verdict::Crash {
                break;
            }
        }
    }
    Ok(verdicts)
}

/// Waits for a test's end. Why there is none is said at once, for the machine is gone afterwards.
fn verdict_on(machine: &mut Machine, test: &Test) -> Verdict {
    let beginning = format!("selftest {} ended ", test.name);
    match machine.wait_for_whole(&beginning) {
        Ok(line) => Verdict::from_line(&line, &beginning),
        Err(error) => {
            say(&format!("selftests: {}: {error:#}", test.name));
            Verdict::Crash
        }
    }
}

/// A machine that runs these tests; `done` is how many there were before. Its logs are in the target directory, under
/// `selftests`.
fn start(project: &Project, side: Side, tests: &[Test], terms: &Terms, done: usize) -> Result<Machine> {
    let lines: Vec<(&str, String)> = tests
        .iter()
        .map(|test| (&test.name[..], test.arguments.join(" ")))
        .collect();
    let request = Request {
        kernel: Some(payload::kernel_image(project, Kernel::Seven)?),
        initrd: Some(payload::selftests_initrd(project, &lines, terms.programs)?),
        append: vec![terms.command_line()],
        cpu_count: Some(CPU_COUNT),
        memory: Some(MemorySize::from_mib(RAM_MIB)),
        headless: true,
        native: side == Side::Native,
        ..Request::default()
    };
    let log_dir = project.target_dir().join("selftests").join(format!("{side}-{done}"));
    let debug_uart = DebugUart::Log(log_dir.join("debug.log"));
    let config = request.config(project, Console::Stdio, debug_uart)?;
    say(&format!("selftests: {side}: {} tests", tests.len()));
    Machine::start(
        &config,
        &Watch {
            log_dir,
            echo: false,
            input: false,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_verdict() {
        let verdicts = [0, 4, 254, 137, 134].map(Verdict::from_status);
        use Verdict::{Fail, Pass, Skip, Timeout};
        assert_eq!(verdicts, [Pass, Skip, Fail, Timeout, Fail]);
        let of = |line| Verdict::from_line(line, "selftest at ended ");
        assert_eq!(of("selftest at ended 4 after 12 s"), Skip);
        assert_eq!(of("selftest at ended"), Fail);
    }
}
