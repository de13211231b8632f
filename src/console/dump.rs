//! A page table as text, in the format of Linux's ptdump, part by part.
//!
//! Between two parts the lock is free and the table may change. The walk goes on by address, from the root, so it never
//! follows a table that has been freed, and each line shows entries that were there when they were read. If the table
//! did change, a note after the dump says so; under `stop` it cannot.

use vmsa::{Entry, ptdump::RangeDumper};

use super::{
    commands::{Output, Progress},
    error::CommandError,
    system::System,
    tables::{Table, Version},
};
use crate::mm::stage1;

/// Entries read while the lock is held.
const BATCH: usize = 32;
/// Batches in a step, as long as there is room for what they may print.
const BATCHES: usize = 32;
/// No line of a dump is longer; checked where it is written.
const LINE_BYTES_MAX: usize = 112;

/// A dump in progress.
pub struct Dump {
    table: Table,
    dumper: RangeDumper,
    /// Where to go on.
    next: u64,
    is_last_range_wanted: bool,
    /// What the table was at the last look.
    version: Option<Version>,
    has_changed: bool,
}

impl Dump {
    /// A dump of `table`; Linux leaves the range up to the end of a stage 2 out.
    pub fn new(table: Table, is_last_range_wanted: bool) -> Self {
        let dumper = match table {
            Table::El2 => RangeDumper::el2(stage1::MAIR),
            Table::Host | Table::Shadow(_) | Table::Guest(_) => RangeDumper::stage2(),
        };
        Self {
            table,
            dumper,
            next: 0,
            is_last_range_wanted,
            version: None,
            has_changed: false,
        }
    }

    /// Prints the next part.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        // One line may be left over from before, and the header and the last range come in addition.
        const ROOM: usize = (BATCH + 3) * LINE_BYTES_MAX;
        for _ in 0..BATCHES {
            if out.room() < ROOM {
                break;
            }
            let from = self.next;
            let mut result = Ok(());
            let visited = self.table.visit(system, from, BATCH, &mut |entry| {
                // A block may have taken the place of what was printed up to here.
                let entry = Entry {
                    ia: entry.ia.max(from),
                    ..entry
                };
                if result.is_ok() {
                    result = self.dumper.note_entry(&entry, out);
                }
            })?;
            result?;
            self.has_changed |= self.version.is_some_and(|version| version != visited.version);
            self.version = Some(visited.version);
            let Some(next) = visited.next else {
                if self.is_last_range_wanted {
                    self.dumper.finish(visited.end, out)?;
                }
                return Ok(Progress::Done);
            };
            self.next = next;
        }
        Ok(Progress::More)
    }

    /// Whether the table changed between two parts.
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }
}
