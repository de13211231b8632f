//! `exits`: how often guests were left, why, and what it cost.

use core::fmt::{self, Write};

use hyp::{
    arch::sysreg::{CNTFRQ_EL0, Readable},
    exits::{self, Count, ExitCounters, INTERRUPT, Party},
    unhandled,
    vm::Vm,
};
use syndrome::{SysReg, esr::ec};

use super::{Entry, Output, Progress, Task};
use crate::{error::CommandError, system::System, text::Text};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "exits",
    usage: "exits [regs] [vcpuN] | exits reset",
    help: "exits by cause and by whose they are: how many, and what they cost in ticks; 'regs': by system register",
    example: "exits regs vcpu0",
    words,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    match arguments {
        [] => Ok(Task::Exits(Rows::new(Vcpus::All))),
        ["reset"] => {
            exits::reset();
            Ok(Task::Nothing)
        }
        ["regs"] => Ok(Task::RegisterExits(RegisterRows::new(Vcpus::All))),
        ["regs", name] => Ok(Task::RegisterExits(RegisterRows::new(Vcpus::find(name, system)?))),
        [name] => Ok(Task::Exits(Rows::new(Vcpus::find(name, system)?))),
        _ => Err(CommandError::Usage(ENTRY.usage)),
    }
}

/// Whose exits are shown.
#[derive(Clone, Copy)]
enum Vcpus {
    All,
    One(usize),
}

impl Vcpus {
    fn find<'a>(name: &str, system: &System) -> Result<Self, CommandError<'a>> {
        let cpu = super::parse_vcpu(name, system);
        cpu.map(Self::One).ok_or(CommandError::Usage(ENTRY.usage))
    }

    /// Their counters.
    fn counters(self, system: &System) -> impl Iterator<Item = &'static ExitCounters> {
        let cpus = match self {
            Self::All => 0..system.vm.machine.cpus.len(),
            Self::One(cpu) => cpu..cpu + 1,
        };
        cpus.map(exits::of)
    }

    /// The sum of what `of` says of each.
    fn sum(self, system: &System, of: impl Fn(&ExitCounters) -> Count) -> Count {
        let mut sum = Count::ZERO;
        for counters in self.counters(system) {
            sum.merge(&of(counters));
        }
        sum
    }
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    found("regs");
    found("reset");
    super::vcpu_names(system, found);
}

/// The table in progress.
pub struct Rows {
    vcpus: Vcpus,
    /// The row to go on with.
    next: usize,
    totals: [Count; Party::ALL.len()],
}

impl Rows {
    fn new(vcpus: Vcpus) -> Self {
        Self {
            vcpus,
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
            let count = self.vcpus.sum(system, |counters| counters.get(*party, class));
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

    fn write_totals(&self, out: &mut Output) -> fmt::Result {
        for (party, total) in Party::ALL.iter().zip(&self.totals) {
            write_row(out, "total", *party, total)?;
        }
        out.row(&wire::ExitSum {
            unhandled: unhandled::total(),
            shadow_waits: shadow_waits(),
            ticks_per_second: CNTFRQ_EL0.get(),
        })
    }
}

fn shadow_waits() -> u64 {
    let shadows = Vm::get().map(|vm| vm.mmu.shadows.locks());
    let waits = shadows.into_iter().flatten().map(|lock| u64::from(lock.waits()));
    waits.sum()
}

/// The table by register in progress.
pub struct RegisterRows {
    vcpus: Vcpus,
    /// The row that was printed last.
    last: Option<(SysReg, Party)>,
}

impl RegisterRows {
    fn new(vcpus: Vcpus) -> Self {
        Self { vcpus, last: None }
    }

    /// Prints the next rows.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        /// No line is longer.
        const LINE_BYTES_MAX: usize = 128;
        if self.last.is_none() {
            out.heading(format_args!("{}", wire::RegisterExit::HEADING))?;
        }
        while out.room() >= LINE_BYTES_MAX {
            let rows = self.vcpus.counters(system);
            let next = rows.filter_map(|counters| counters.next_register(self.last)).min();
            let Some((reg, party)) = next else {
                return Ok(Progress::Done);
            };
            let count = self.vcpus.sum(system, |counters| counters.of_register(reg, party));
            if count.count > 0 {
                write_register(out, reg, party, &count)?;
            }
            self.last = next;
        }
        Ok(Progress::More)
    }
}

fn write_register(out: &mut Output, reg: SysReg, party: Party, count: &Count) -> fmt::Result {
    let mut name = Text::<32>::new();
    write!(name, "{reg}")?;
    out.row(&wire::RegisterExit {
        register: name.as_str(),
        whose: party.name(),
        count: count.count,
        min: count.min,
        mean: count.mean(),
        max: count.max,
    })
}

fn write_row(out: &mut Output, cause: &str, party: Party, count: &Count) -> fmt::Result {
    out.row(&wire::Exit {
        cause,
        whose: party.name(),
        count: count.count,
        min: if count.count == 0 { 0 } else { count.min },
        mean: count.mean(),
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
