//! A page table, part by part: in the format of Linux's ptdump, with what that leaves out, or descriptor by descriptor.
//!
//! Between two parts the lock is free and the table may change. The walk goes on by address, from the root, so it never
//! follows a table that has been freed, and each line shows entries that were there when they were read. If the table
//! did change, a note after the dump says so; under `stop` it cannot. Of L1's own tables only L1 knows when they change.

use core::ops::Range;

use vmsa::{
    Enter, Entry, Found, TableFormat,
    ptdump::{Descriptor, RangeDumper, Run},
};

use super::{
    commands::{Output, Progress},
    error::CommandError,
    rows,
    system::System,
    tables::{Table, Version},
};

/// Entries read while the lock is held.
const BATCH: usize = 32;
/// As many fewer of them in a raw dump: the tables on the way are lines too.
const TABLES_MAX: usize = 8;
/// Batches in a step, as long as there is room for what they may print.
const BATCHES: usize = 32;
/// No line of a dump is longer; checked where it is written.
const LINE_BYTES_MAX: usize = 112;

/// What is printed of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Linux's columns.
    Linux,
    /// Those, and where ranges lead as what.
    Physical,
    /// One descriptor a line.
    Raw,
}

/// What is wanted of a dump.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// The form.
    pub style: Style,
    /// Whether the range up to the end of a stage 2 is printed, which Linux leaves out.
    pub is_last_range_wanted: bool,
    /// Only entries that touch these addresses.
    pub range: Option<Range<u64>>,
}

/// A dump in progress.
pub struct Dump {
    table: Table,
    wishes: Wishes,
    /// Where to go on.
    next: u64,
    /// Up to where entries have been seen.
    seen: u64,
    /// From the first step on.
    form: Option<Form>,
    /// What the table was at the last look.
    version: Option<Version>,
    has_changed: bool,
}

/// How entries become lines.
enum Form {
    /// Runs of them, as text or as records.
    Runs { dumper: RangeDumper, has_records: bool },
    /// Each of its own.
    Raw(TableFormat),
}

impl Dump {
    /// A dump of `table`.
    pub fn new(table: Table, wishes: Wishes) -> Self {
        let start = wishes.range.as_ref().map_or(0, |range| range.start);
        Self {
            table,
            wishes,
            next: start,
            seen: 0,
            form: None,
            version: None,
            has_changed: false,
        }
    }

    /// The table.
    pub fn table(&self) -> Table {
        self.table
    }

    /// Prints the next part.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        // One line may be left over from before, and the header and the last range come in addition.
        const ROOM: usize = (BATCH + 3) * LINE_BYTES_MAX;
        if self.form.is_none() {
            self.form = Some(self.begin(system, out)?);
        }
        for _ in 0..BATCHES {
            if out.room() < ROOM {
                break;
            }
            if self.part(system, out)? == Progress::Done {
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::More)
    }

    fn begin(&self, system: &System, out: &mut Output) -> Result<Form, CommandError<'static>> {
        let has_records = out.is_for_programs();
        match self.wishes.style {
            Style::Raw => Ok(Form::Raw(self.table.format(system)?)),
            Style::Linux if !has_records => Ok(Form::Runs {
                dumper: self.table.dumper(),
                has_records,
            }),
            Style::Linux | Style::Physical => Ok(Form::Runs {
                dumper: self.table.dumper().with_targets(self.table.leaves(system)?),
                has_records,
            }),
        }
    }

    /// Prints what one turn of the lock gives.
    fn part(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        let Some(form) = &mut self.form else {
            return Ok(Progress::Done);
        };
        let end = self.wishes.range.as_ref().map_or(u64::MAX, |range| range.end - 1);
        let (table, seen) = (self.table, &mut self.seen);
        let mut result = Ok(());
        let budget = match form {
            Form::Raw(_) => BATCH - TABLES_MAX,
            Form::Runs { .. } => BATCH,
        };
        let visited = table.survey(system, self.next, budget, &mut |found| {
            let Some(found) = unseen(found, seen, end) else {
                return Enter::Yes;
            };
            if result.is_ok() {
                result = form.note(&table, &found, out);
            }
            Enter::Yes
        })?;
        result?;
        self.has_changed |= self.version.is_some_and(|version| version != visited.version);
        self.version = Some(visited.version);
        match visited.next.filter(|next| *next <= end) {
            Some(next) => {
                self.next = next;
                Ok(Progress::More)
            }
            None => {
                let end = if self.wishes.range.is_some() {
                    self.seen
                } else {
                    visited.end
                };
                if self.wishes.is_last_range_wanted || self.wishes.range.is_some() {
                    form.finish(&table, end, out)?;
                }
                Ok(Progress::Done)
            }
        }
    }

    /// Whether the table changed between two parts.
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }
}

/// `found` without what has been `seen`; `None` if it begins behind `end`. A block may have taken the place of what was
/// printed up to there.
fn unseen(found: Found, seen: &mut u64, end: u64) -> Option<Found> {
    match found {
        Found::Table(link) => (link.ia <= end).then_some(found),
        Found::Entry { entry, .. } if entry.ia > end => None,
        Found::Entry { at, entry } => {
            let ia = entry.ia.max(*seen);
            *seen = entry.ia.wrapping_add(entry.size);
            let entry = Entry { ia, ..entry };
            Some(Found::Entry { at, entry })
        }
    }
}

impl Form {
    fn note(&mut self, table: &Table, found: &Found, out: &mut Output) -> Result<(), CommandError<'static>> {
        match (self, found) {
            (Self::Raw(format), _) => rows::descriptor(table, &Descriptor::of(found, *format), out)?,
            (Self::Runs { .. }, Found::Table(_)) => {}
            (Self::Runs { dumper, has_records }, Found::Entry { entry, .. }) => match has_records {
                false => dumper.note_entry(entry, out)?,
                true => Self::record(table, dumper.take(entry), out)?,
            },
        }
        Ok(())
    }

    fn finish(&mut self, table: &Table, end: u64, out: &mut Output) -> Result<(), CommandError<'static>> {
        match self {
            Self::Raw(_) => {}
            Self::Runs { dumper, has_records } => match has_records {
                false => dumper.finish(end, out)?,
                true => Self::record(table, dumper.take_last(end), out)?,
            },
        }
        Ok(())
    }

    fn record(table: &Table, run: Option<Run>, out: &mut Output) -> Result<(), CommandError<'static>> {
        match run {
            Some(run) => Ok(rows::map(table, &run, out)?),
            None => Ok(()),
        }
    }
}
