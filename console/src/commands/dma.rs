//! `dma`: what confines PCI devices, and what they were refused.

use core::fmt::Write;

use smmu::{Access, Event};
use wire::Hex;

use super::{Entry, Output, Progress, Task};
use crate::{
    commands::tlbi::micros_since,
    dma::{device, report, serve, whose},
    error::CommandError,
    system::System,
    text::Text,
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "dma",
    usage: "dma",
    help: "what confines PCI devices, and what they were refused",
    example: "dma",
    words: super::no_words,
    run,
};

fn run<'a>(_: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    match arguments {
        [] => Ok(Task::Dma(Rows { before: None })),
        _ => Err(CommandError::Usage(ENTRY.usage)),
    }
}

/// The listing in progress.
pub struct Rows {
    /// The event that was printed last; `None` at the beginning.
    before: Option<u64>,
}

impl Rows {
    /// Prints the next lines.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        const LINE_BYTES_MAX: usize = 256;
        if self.before.is_none() && !system.has_panicked {
            // While all is stopped, nobody else takes it in.
            serve(system.vm);
        }
        let report = report().ok_or(CommandError::Locked)?;
        if self.before.is_none() {
            self.before = Some(u64::MAX);
            let smmu = system
                .vm
                .machine
                .smmu
                .as_ref()
                .ok()
                .filter(|_| system.vm.smmu.is_some());
            out.row(&wire::Dma {
                confined: smmu.is_some(),
                smmu: Hex(smmu.map_or(0, |smmu| smmu.registers.start)),
                refused: report.count,
                errors: report.error_count,
            })?;
        }
        while out.room() >= LINE_BYTES_MAX {
            let Some((number, time, event)) = report.latest(self.before.unwrap_or(u64::MAX)) else {
                return Ok(Progress::Done);
            };
            self.before = Some(number);
            print(time, &event, system, out)?;
        }
        Ok(Progress::More)
    }
}

fn print(time: u64, event: &Event, system: &System, out: &mut Output) -> Result<(), CommandError<'static>> {
    let machine = &system.vm.machine;
    let mut who = Text::<24>::new();
    write!(who, "{}", device(machine, event.stream))?;
    let access = event.access;
    out.row(&wire::Refusal {
        ago_us: micros_since(time),
        device: who.as_str(),
        reason: event.reason.name(),
        access: access.map_or("", Access::name),
        address: Hex(access.map_or(0, |access| access.address)),
        whose: access.map_or("", |access| whose(machine, access.address)),
    })?;
    Ok(())
}
