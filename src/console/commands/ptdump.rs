//! `ptdump`: which page tables there are, and what is in them.

use core::fmt::Write;

use super::{Entry, Output, Progress, Task};
use crate::console::{
    dump::Dump,
    error::CommandError,
    system::System,
    tables::{Context, Table},
    text::Text,
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "ptdump",
    usage: "ptdump [-f] [TABLE]",
    help: "lists the tables, or dumps one, or all with 'shadow', as Linux does; -f prints the last range too",
    example: "ptdump shadow/1 | grep BLK",
    words,
    run,
};

/// All shadows.
const ALL: &str = "shadow";
const LAST_RANGE: &str = "-f";
/// No name is longer.
const NAME_BYTES: usize = 64;

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let is_last_range_wanted = arguments.contains(&LAST_RANGE);
    let mut names = arguments.iter().filter(|word| **word != LAST_RANGE);
    match (names.next(), names.next()) {
        (None, _) if is_last_range_wanted => Err(CommandError::Usage(ENTRY.usage)),
        (None, _) => Ok(Task::List(List::default())),
        (Some(&ALL), None) => Ok(Task::DumpShadows(DumpShadows::new(is_last_range_wanted))),
        (Some(name), None) => Ok(Task::Dump(Dump::new(Table::find(name, system)?, is_last_range_wanted))),
        (Some(_), Some(_)) => Err(CommandError::Usage(ENTRY.usage)),
    }
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    found(LAST_RANGE);
    found(ALL);
    table_names(system, found);
}

/// Calls `found` with the name of each table.
pub fn table_names(system: &System, found: &mut dyn FnMut(&str)) {
    let mut list = List::default();
    while let Some(tables) = list.next(system) {
        for table in tables.into_iter().flatten() {
            let mut name = Text::<NAME_BYTES>::new();
            if write!(name, "{table}").is_ok() {
                found(name.as_str());
            }
        }
    }
}

/// The shadow with the lowest number from `number` on. With its lock lost to a panic, there is none.
fn context_from(number: u16, system: &System) -> Option<Context> {
    system
        .shadow_from(number, |slot, shadow| Context {
            slot,
            key: shadow.key(),
        })
        .ok()
        .flatten()
}

/// The list of all tables.
#[derive(Default)]
pub struct List {
    has_begun: bool,
    next_shadow: u16,
}

impl List {
    /// Prints the next part.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        // Two names, each with its line end.
        const ROOM: usize = 2 * (NAME_BYTES + 1);
        while out.room() >= ROOM {
            let Some(tables) = self.next(system) else {
                return Ok(Progress::Done);
            };
            for table in tables.into_iter().flatten() {
                let mut name = Text::<NAME_BYTES>::new();
                write!(name, "{table}")?;
                out.row(&wire::Table { table: name.as_str() })?;
            }
        }
        Ok(Progress::More)
    }

    /// The next tables: the two that are always there, then for each guest its shadow and L1's own.
    fn next(&mut self, system: &System) -> Option<[Option<Table>; 2]> {
        if !self.has_begun {
            self.has_begun = true;
            return Some([Some(Table::Host), Some(Table::El2)]);
        }
        let context = context_from(self.next_shadow, system)?;
        self.next_shadow = context.slot.number() + 1;
        Some([
            Some(Table::Shadow(context)),
            context.key.enabled().then_some(Table::Guest(context)),
        ])
    }
}

/// A dump of all shadows, one after the other.
pub struct DumpShadows {
    is_last_range_wanted: bool,
    dump: Option<Dump>,
    next_shadow: u16,
    has_changed: bool,
}

impl DumpShadows {
    fn new(is_last_range_wanted: bool) -> Self {
        Self {
            is_last_range_wanted,
            dump: None,
            next_shadow: 0,
            has_changed: false,
        }
    }

    /// Prints the next part.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        let dump = if let Some(dump) = &mut self.dump {
            dump
        } else {
            let next = system.shadow_from(self.next_shadow, |slot, shadow| Context {
                slot,
                key: shadow.key(),
            })?;
            let Some(context) = next else { return Ok(Progress::Done) };
            self.next_shadow = context.slot.number() + 1;
            let table = Table::Shadow(context);
            writeln!(out, "{table}")?;
            self.dump.insert(Dump::new(table, self.is_last_range_wanted))
        };
        if dump.step(system, out)? == Progress::Done {
            self.has_changed |= dump.has_changed();
            self.dump = None;
        }
        Ok(Progress::More)
    }

    /// Whether one of them changed while it was printed.
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }
}
