//! `exits`: how often guests were left, why, and what it cost.

use core::fmt;

use syndrome::esr::ec;

use super::{Entry, Output, Progress, Task};
use crate::{
    arch::sysreg::{CNTFRQ_EL0, Readable},
    console::{error::CommandError, system::System},
    exits::{self, Count, INTERRUPT, Party},
    unhandled,
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "exits",
    usage: "exits [vcpuN|reset]",
    help: "exits by cause and by whose they are: how many, and what they cost in ticks; 'reset' begins anew",
    example: "exits vcpu0",
    words,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    match arguments {
        [] => Ok(Task::Exits(Rows::new(None))),
        ["reset"] => {
            exits::reset();
            Ok(Task::Say(""))
        }
        [name] => {
            let cpu = super::parse_vcpu(name, system);
            Ok(Task::Exits(Rows::new(Some(
                cpu.ok_or(CommandError::Usage(ENTRY.usage))?,
            ))))
        }
        _ => Err(CommandError::Usage(ENTRY.usage)),
    }
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    found("reset");
    super::vcpu_names(system, found);
}

/// The table in progress.
pub struct Rows {
    /// One vCPU's, or the sum of all.
    cpu: Option<usize>,
    /// The row to go on with.
    next: usize,
    totals: [Count; Party::ALL.len()],
}

impl Rows {
    fn new(cpu: Option<usize>) -> Self {
        Self {
            cpu,
            next: 0,
            totals: [Count::ZERO; Party::ALL.len()],
        }
    }

    /// Prints the next rows, at last the totals.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        /// No line is longer, and as many as this come at the end.
        const ROOM: usize = 8 * 128;
        if self.next == 0 {
            out.heading(format_args!("{}", wire::Exit::HEADING))?;
        }
        while out.room() >= ROOM {
            let parties = Party::ALL.len();
            let class = u8::try_from(self.next / parties)
                .ok()
                .filter(|class| *class <= INTERRUPT);
            let (Some(class), Some(party)) = (class, Party::ALL.get(self.next % parties)) else {
                self.write_totals(out)?;
                return Ok(Progress::Done);
            };
            let count = self.count(system, *party, class);
            if count.count > 0 {
                write_row(out, cause(class), *party, &count)?;
            }
            if let Some(total) = self.totals.get_mut(self.next % parties) {
                total.merge(&count);
            }
            self.next += 1;
        }
        Ok(Progress::More)
    }

    fn count(&self, system: &System, party: Party, class: u8) -> Count {
        let cpus = match self.cpu {
            Some(cpu) => cpu..cpu + 1,
            None => 0..system.vm.machine.cpus.len(),
        };
        let mut sum = Count::ZERO;
        for cpu in cpus {
            sum.merge(&exits::of(cpu).get(party, class));
        }
        sum
    }

    fn write_totals(&self, out: &mut Output) -> fmt::Result {
        for (party, total) in Party::ALL.iter().zip(&self.totals) {
            write_row(out, "total", *party, total)?;
        }
        out.row(&wire::ExitSum {
            unhandled: unhandled::total(),
            ticks_per_second: CNTFRQ_EL0.get(),
        })
    }
}

fn write_row(out: &mut Output, cause: &str, party: Party, count: &Count) -> fmt::Result {
    out.row(&wire::Exit {
        cause,
        whose: party.name(),
        count: count.count,
        min: if count.count == 0 { 0 } else { count.min },
        mean: count.ticks.checked_div(count.count).unwrap_or(0),
        max: count.max,
    })
}

/// The name of an exception class, or of the interrupt.
fn cause(class: u8) -> &'static str {
    match class {
        INTERRUPT => "IRQ",
        class => ec::name(class),
    }
}
