//! `snap`: keeps what a table is now, for `diff`.

use core::fmt::Write;

use console_core::parse_range;

use super::{Entry, Output, Progress, Task, ptdump};
use crate::{
    error::CommandError,
    snapshots::{LABEL_BYTES, Snapshots, Taking},
    spaces::Source,
    system::System,
    text::Text,
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "snap",
    usage: "snap | snap NAME TABLE [RANGE] | snap -d NAME",
    help: "keeps what a table is now under a name, for 'diff'; lists what is kept; -d forgets it",
    example: "snap before shadow/1",
    words,
    run,
};

const FORGET: &str = "-d";

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let (label, table, range) = match arguments {
        [] => return Ok(Task::Snapshots(List::default())),
        [FORGET, label] => {
            Snapshots::lock(system)?.remove(label)?;
            return Ok(Task::Nothing);
        }
        [label, table] => (label, table, None),
        [label, table, range] => (label, table, Some(parse_range(range)?)),
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    };
    if label.starts_with('-') {
        return Err(CommandError::Usage(ENTRY.usage));
    }
    let mut text = Text::<LABEL_BYTES>::new();
    text.write_str(label).map_err(|_| CommandError::LongName(LABEL_BYTES))?;
    Ok(Task::Snap(Snap {
        label: text,
        taking: Taking::new(Source::find(table, system)?, range),
    }))
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    found(FORGET);
    names(system, found);
    ptdump::table_names(system, found);
    ptdump::stage1_names(system, found);
}

/// Calls `found` with the name of each snapshot.
pub fn names(system: &System, found: &mut dyn FnMut(&str)) {
    if let Ok(snapshots) = Snapshots::lock(system) {
        snapshots.names(found);
    }
}

/// A snapshot in the making.
pub struct Snap {
    label: Text<LABEL_BYTES>,
    taking: Taking,
}

impl Snap {
    /// Reads on.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        let Some(look) = self.taking.step(system)? else {
            return Ok(Progress::More);
        };
        let label = core::mem::replace(&mut self.label, Text::new());
        Snapshots::lock(system)?.add(label, &self.taking, look)?.print(out)?;
        Ok(Progress::Done)
    }
}

/// The list of those that are kept.
#[derive(Default)]
pub struct List {
    next: usize,
}

impl List {
    /// Prints the next ones.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        const LINE_BYTES_MAX: usize = 192;
        while out.room() >= LINE_BYTES_MAX {
            let snapshots = Snapshots::lock(system)?;
            let Some(snapshot) = snapshots.get(self.next) else {
                return Ok(Progress::Done);
            };
            snapshot.print(out)?;
            self.next += 1;
        }
        Ok(Progress::More)
    }
}
