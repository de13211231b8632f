//! `ptdump`: which page tables there are, and what is in them.

use core::fmt::Write;

use console_core::parse_range;

use super::{Entry, Output, Progress, Task};
use crate::{
    dump::{Dump, Style, Wishes},
    error::CommandError,
    spaces::Source,
    system::System,
    tables::{Context, NAME_BYTES, Table},
    text::Text,
    translation::{Stage1Name, Which},
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "ptdump",
    usage: "ptdump [-f|-p|-r] [TABLE [RANGE]]",
    help: "lists the tables, or dumps one, or all with 'shadow', as Linux does; -f adds the last range, -p where ranges \
           lead, -r is raw descriptors",
    example: "ptdump -p shadow/1 0x40000000+2M",
    words,
    run,
};

/// All shadows.
const ALL: &str = "shadow";
const LAST_RANGE: &str = "-f";
const PHYSICAL: &str = "-p";
const RAW: &str = "-r";

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let mut wishes = Wishes {
        style: Style::Linux,
        is_last_range_wanted: false,
        range: None,
    };
    let (mut words, mut count) = ([""; 2], 0);
    for argument in arguments {
        match *argument {
            LAST_RANGE => wishes.is_last_range_wanted = true,
            PHYSICAL if wishes.style != Style::Raw => wishes.style = Style::Physical,
            RAW if wishes.style != Style::Physical => wishes.style = Style::Raw,
            option if option.starts_with('-') => return Err(CommandError::Usage(ENTRY.usage)),
            word => {
                *words.get_mut(count).ok_or(CommandError::Usage(ENTRY.usage))? = word;
                count += 1;
            }
        }
    }
    if count == 2 {
        wishes.range = Some(parse_range(words[1])?);
    }
    match words[0] {
        "" if arguments.is_empty() => Ok(Task::List(List::default())),
        "" => Err(CommandError::Usage(ENTRY.usage)),
        ALL => Ok(Task::DumpShadows(DumpShadows::new(wishes))),
        name => Ok(Task::Dump(Dump::new(Source::find(name, system)?, wishes))),
    }
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    [LAST_RANGE, PHYSICAL, RAW, ALL].into_iter().for_each(&mut *found);
    table_names(system, found);
    stage1_names(system, found);
}

/// Calls `found` with the name of each vCPU's stages 1.
pub fn stage1_names(system: &System, found: &mut dyn FnMut(&str)) {
    for name in (0..).map_while(|number| stage1_name(number, system)) {
        let mut text = Text::<NAME_BYTES>::new();
        if write!(text, "{name}").is_ok() {
            found(text.as_str());
        }
    }
}

/// The name of the stage 1 with this number, all vCPUs' counted.
fn stage1_name(number: usize, system: &System) -> Option<Stage1Name> {
    let cpu = number / Which::ALL.len();
    let which = *Which::ALL.get(number % Which::ALL.len())?;
    (cpu < system.vm.machine.cpus.len()).then_some(Stage1Name { cpu, which })
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
    next_stage1: usize,
}

impl List {
    /// Prints the next part.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        // Three names, each with its line end.
        const ROOM: usize = 3 * (NAME_BYTES + 1);
        while out.room() >= ROOM {
            let Some(tables) = self.next(system) else {
                return self.step_stage1(system, out);
            };
            for table in tables.into_iter().flatten() {
                let mut name = Text::<NAME_BYTES>::new();
                write!(name, "{table}")?;
                out.row(&wire::Table { table: name.as_str() })?;
            }
        }
        Ok(Progress::More)
    }

    /// Prints the names of what only the vCPUs' registers describe.
    fn step_stage1(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        while out.room() > NAME_BYTES {
            let Some(stage1) = stage1_name(self.next_stage1, system) else {
                return Ok(Progress::Done);
            };
            self.next_stage1 += 1;
            let mut name = Text::<NAME_BYTES>::new();
            write!(name, "{stage1}")?;
            out.row(&wire::Table { table: name.as_str() })?;
        }
        Ok(Progress::More)
    }

    /// The next tables: those that are always there and that of devices, then for each guest its shadow and L1's own.
    fn next(&mut self, system: &System) -> Option<[Option<Table>; 3]> {
        if !self.has_begun {
            self.has_begun = true;
            let dma = system.vm.smmu.is_some().then_some(Table::Dma);
            return Some([Some(Table::Host), Some(Table::El2), dma]);
        }
        let context = context_from(self.next_shadow, system)?;
        self.next_shadow = context.slot.number() + 1;
        Some([
            Some(Table::Shadow(context)),
            context.key.enabled().then_some(Table::Guest(context)),
            None,
        ])
    }
}

/// A dump of all shadows, one after the other, each behind a line with its name.
pub struct DumpShadows {
    wishes: Wishes,
    dump: Option<Dump>,
    next_shadow: u16,
}

impl DumpShadows {
    fn new(wishes: Wishes) -> Self {
        Self {
            wishes,
            dump: None,
            next_shadow: 0,
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
            out.heading(format_args!("{table}"))?;
            self.dump.insert(Dump::new(Source::Table(table), self.wishes.clone()))
        };
        match dump.step(system, out) {
            Ok(Progress::More) => return Ok(Progress::More),
            Ok(Progress::Done) if dump.has_changed() => note(dump.source(), "changed while it was printed", out)?,
            Ok(Progress::Done) => {}
            // It may end at any time, and the others are still there.
            Err(CommandError::ShadowGone) => note(dump.source(), "ended while it was printed", out)?,
            Err(error) => return Err(error),
        }
        self.dump = None;
        Ok(Progress::More)
    }
}

/// Says something of `source` that is no line of it.
fn note(source: &Source, what: &str, out: &mut Output) -> Result<(), CommandError<'static>> {
    let mut text = Text::<128>::new();
    write!(text, "{source} {what}")?;
    Ok(out.row(&wire::Note { text: text.as_str() })?)
}
