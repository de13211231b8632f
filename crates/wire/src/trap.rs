//! A trace event.

use core::fmt;

use serde::Serialize;

/// Something that happened on a CPU.
///
/// As text it is a line as the kernel's ftrace prints it, with the vCPU in the place of the task, so that what reads
/// those reads these.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Trap<'a> {
    /// The CPU, and its vCPU.
    pub cpu: usize,
    /// When, in nanoseconds of the counter.
    pub ns: u64,
    /// Which event.
    pub event: &'a str,
    /// Whom it left or enters, for exits and entries: `L1` or `L2`.
    pub depth: Option<&'a str>,
    /// The rest, in KVM's words.
    pub text: &'a str,
}

record!(Trap<'_>, "trap");

impl fmt::Display for Trap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NS_PER_US: u64 = 1000;
        const US_PER_S: u64 = 1_000_000;
        let us = self.ns / NS_PER_US;
        write!(
            f,
            "{:>15}{}-{:<7} [{:03}] ..... {:>6}.{:06}: {}: {}",
            "vcpu",
            self.cpu,
            0,
            self.cpu,
            us / US_PER_S,
            us % US_PER_S,
            self.event,
            self.text
        )
    }
}

/// What the trace is at the moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TraceState {
    /// Whether events are recorded.
    pub on: bool,
    /// Events recorded so far, on all CPUs.
    pub recorded: u64,
    /// How many of each CPU are kept.
    pub kept: usize,
}

record!(TraceState, "trace");

impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.on { "on" } else { "off" };
        write!(
            f,
            "trace is {state}, {} events recorded, the last {} of each CPU are kept",
            self.recorded, self.kept
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_line_is_as_ftrace_prints_it() {
        let trap = Trap {
            cpu: 1,
            ns: 12_345_678_901,
            event: "kvm_entry",
            depth: Some("L1"),
            text: "PC: 0x0000000000000010",
        };
        assert_eq!(
            trap.to_string(),
            "           vcpu1-0       [001] .....     12.345678: kvm_entry: PC: 0x0000000000000010"
        );
    }
}
