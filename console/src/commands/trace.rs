//! `trace`: what happened, event by event.

use core::fmt::Write;

use hyp::{
    arch::sysreg::{CNTFRQ_EL0, Readable},
    layout::CPU_COUNT_MAX,
    trace as recorder,
};
use trace::{Entry as Recorded, Event};

use super::{Entry, Output, Progress, Task};
use crate::{error::CommandError, system::System, text::Text};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "trace",
    usage: "trace [on|off|dump [EVENT|vcpuN]]",
    help: "records exits, entries, ERETs, faults, interrupts, TLBIs and traps as KVM's trace events; 'dump' prints the last",
    example: "trace dump kvm_nested_eret | head 20",
    words,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    match arguments {
        [] => Ok(Task::TraceState),
        ["on"] => {
            recorder::set(true);
            Ok(Task::TraceState)
        }
        ["off"] => {
            recorder::set(false);
            Ok(Task::TraceState)
        }
        ["dump"] => Ok(Task::Trace(Dump::new(Filter::All, system))),
        ["dump", word] => {
            let filter = Filter::parse(word, system).ok_or(CommandError::Usage(ENTRY.usage))?;
            Ok(Task::Trace(Dump::new(filter, system)))
        }
        _ => Err(CommandError::Usage(ENTRY.usage)),
    }
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    ["on", "off", "dump"].into_iter().for_each(&mut *found);
    Event::NAMES.into_iter().for_each(&mut *found);
    super::vcpu_names(system, found);
}

/// What the trace is at the moment.
pub fn state(system: &System) -> wire::TraceState {
    let rings = (0..system.vm.machine.cpus.len()).filter_map(recorder::of);
    wire::TraceState {
        on: recorder::is_on(),
        recorded: rings.map(|ring| ring.count()).sum(),
        kept: recorder::EVENTS,
    }
}

/// Which events are shown.
#[derive(Clone, Copy)]
enum Filter {
    All,
    Event(&'static str),
    Cpu(usize),
}

impl Filter {
    fn parse(word: &str, system: &System) -> Option<Self> {
        match super::parse_vcpu(word, system) {
            Some(cpu) => Some(Self::Cpu(cpu)),
            None => Event::NAMES.into_iter().find(|event| *event == word).map(Self::Event),
        }
    }

    fn shows(self, cpu: usize, event: &Event) -> bool {
        match self {
            Self::All => true,
            Self::Event(name) => event.name() == name,
            Self::Cpu(only) => cpu == only,
        }
    }
}

/// The events that were there when the dump began, in the order of their times.
pub struct Dump {
    filter: Filter,
    /// For each CPU the number of its next event, and the first that came after the dump began.
    cursors: [(u64, u64); CPU_COUNT_MAX],
    /// Whether some were overwritten before they could be read.
    has_lost: bool,
}

impl Dump {
    fn new(filter: Filter, system: &System) -> Self {
        let mut cursors = [(0, 0); CPU_COUNT_MAX];
        for (cpu, cursor) in cursors.iter_mut().enumerate().take(system.vm.machine.cpus.len()) {
            let end = recorder::of(cpu).map_or(0, |ring| ring.count());
            *cursor = (end.saturating_sub(recorder::EVENTS as u64), end);
        }
        Self {
            filter,
            cursors,
            has_lost: false,
        }
    }

    /// Prints the next part.
    pub fn step(&mut self, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        /// No line is longer.
        const LINE_BYTES_MAX: usize = 256;
        /// Looks at events in one step, shown or not.
        const LOOKS: usize = 64;
        for _ in 0..LOOKS {
            if out.room() < LINE_BYTES_MAX {
                break;
            }
            let Some((cpu, entry)) = self.next() else {
                return Ok(Progress::Done);
            };
            if self.filter.shows(cpu, &entry.event) {
                print(cpu, &entry, out)?;
            }
        }
        Ok(Progress::More)
    }

    /// Whether events were overwritten while they were printed.
    pub fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// The earliest event that has not been looked at.
    fn next(&mut self) -> Option<(usize, Recorded)> {
        let mut earliest: Option<(usize, Recorded)> = None;
        for (cpu, cursor) in self.cursors.iter_mut().enumerate() {
            let Some(entry) = peek(cpu, cursor, &mut self.has_lost) else {
                continue;
            };
            if earliest.is_none_or(|(_, other)| entry.time < other.time) {
                earliest = Some((cpu, entry));
            }
        }
        if let Some((cpu, _)) = earliest
            && let Some(cursor) = self.cursors.get_mut(cpu)
        {
            cursor.0 += 1;
        }
        earliest
    }
}

/// The event of `cpu` at its cursor, which skips those that are gone.
fn peek(cpu: usize, cursor: &mut (u64, u64), has_lost: &mut bool) -> Option<Recorded> {
    let ring = recorder::of(cpu)?;
    while cursor.0 < cursor.1 {
        if let Some(entry) = ring.get(cursor.0) {
            return Some(entry);
        }
        *has_lost = true;
        cursor.0 += 1;
    }
    None
}

fn print(cpu: usize, entry: &Recorded, out: &mut Output) -> Result<(), CommandError<'static>> {
    const NS_PER_S: u128 = 1_000_000_000;
    let frequency = u128::from(CNTFRQ_EL0.get().max(1));
    let mut text = Text::<{ Event::TEXT_BYTES }>::new();
    write!(text, "{}", entry.event)?;
    out.row(&wire::Trap {
        cpu,
        ns: (u128::from(entry.time) * NS_PER_S / frequency) as u64,
        event: entry.event.name(),
        depth: entry.event.depth().map(trace::Depth::name),
        text: text.as_str(),
    })?;
    Ok(())
}
