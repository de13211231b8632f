//! Looks at tables that are kept: taken part by part, compared later, and named if they are to stay.
//!
//! A look is ranges, not entries: a table of a million like pages costs one. It lives on the heap, which serves nothing
//! but boot and the console; what does not fit is refused.

use alloc::{sync::Arc, vec::Vec};
use core::{fmt::Write, ops::Range};

use hyp::mm::heap;
use spin::{Mutex, MutexGuard};
use vmsa::{
    Found,
    ptdump::{Change, Changes, RangeDumper, Run},
};

use super::{
    commands::{Output, Progress},
    error::CommandError,
    reader::Reader,
    rows,
    spaces::{Part, Parts, Source, Space},
    system::System,
    tables::NAME_BYTES,
    text::Text,
};

/// Entries read while the lock is held.
const BATCH: usize = 64;
/// Batches in a step.
const BATCHES: usize = 16;
/// Ranges that are allocated at once: about a page.
const CHUNK_RUNS: usize = 4096 / size_of::<Run>();
/// Bytes of heap that looks leave to others.
const RESERVE_BYTES: usize = 1 << 20;
/// No name of a snapshot is longer.
pub const LABEL_BYTES: usize = 16;

/// Ranges in address order, without holes.
#[derive(Default)]
struct Runs {
    chunks: Vec<Vec<Run>>,
}

impl Runs {
    fn push(&mut self, run: Run) -> Result<(), CommandError<'static>> {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_RUNS) {
            if heap::free_bytes() < RESERVE_BYTES {
                return Err(CommandError::NoMemory);
            }
            let mut chunk = Vec::new();
            chunk
                .try_reserve_exact(CHUNK_RUNS)
                .map_err(|_| CommandError::NoMemory)?;
            self.chunks.try_reserve(1).map_err(|_| CommandError::NoMemory)?;
            self.chunks.push(chunk);
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(run);
        }
        Ok(())
    }

    fn iter(&self) -> impl Iterator<Item = &Run> {
        self.chunks.iter().flatten()
    }
}

/// What a source was.
pub struct Look {
    /// Its parts: of a space, the ranges; nothing of one that could not be walked.
    parts: [Option<(Space, Runs)>; 2],
    /// Whether gnomon saw no change while it looked.
    is_exact: bool,
}

impl Look {
    /// Ranges, and the bytes they are.
    pub fn sum(&self) -> (usize, u64) {
        let runs = self.parts.iter().flatten().flat_map(|(_, runs)| runs.iter());
        runs.fold((0, 0), |(count, bytes), run| (count + 1, bytes + run.size()))
    }

    /// Whether gnomon saw no change while it looked.
    pub fn is_exact(&self) -> bool {
        self.is_exact
    }
}

/// A look in progress.
pub struct Taking {
    source: Source,
    range: Option<Range<u64>>,
    /// What is left to be begun, with its number; once the source has answered.
    parts: Option<(usize, Parts)>,
    reading: Option<Reading>,
    look: Look,
}

struct Reading {
    reader: Reader,
    dumper: RangeDumper,
    runs: Runs,
}

impl Taking {
    /// A look at `source`, or a range of it.
    pub fn new(source: Source, range: Option<Range<u64>>) -> Self {
        Self {
            source,
            range,
            parts: None,
            reading: None,
            look: Look {
                parts: [None, None],
                is_exact: true,
            },
        }
    }

    /// What is looked at.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The range.
    pub fn range(&self) -> Option<Range<u64>> {
        self.range.clone()
    }

    /// Reads on; the whole when it is done.
    pub fn step(&mut self, system: &System) -> Result<Option<Look>, CommandError<'static>> {
        if let Some(reading) = &mut self.reading {
            if reading.step(system)? == Progress::Done {
                self.keep();
            }
            return Ok(None);
        }
        let Some((number, parts)) = &mut self.parts else {
            self.parts = self.source.poll(system)?.map(|parts| (0, parts));
            return Ok(None);
        };
        let next: Option<Part> = parts.get_mut(*number).and_then(Option::take);
        match next {
            None => {
                let empty = Look {
                    parts: [None, None],
                    is_exact: true,
                };
                return Ok(Some(core::mem::replace(&mut self.look, empty)));
            }
            Some(Ok(space)) => {
                self.reading = Some(Reading {
                    dumper: space.dumper().with_targets(space.leaves(system)?),
                    reader: Reader::new(space, self.range.clone()),
                    runs: Runs::default(),
                });
            }
            Some(Err(_)) => *number += 1,
        }
        Ok(None)
    }

    /// Makes what was read a part of the look.
    fn keep(&mut self) {
        let (Some(Reading { reader, runs, .. }), Some((number, _))) = (self.reading.take(), &mut self.parts) else {
            return;
        };
        self.look.is_exact &= !reader.has_changed();
        if let Some(part) = self.look.parts.get_mut(*number) {
            *part = Some((reader.space().clone(), runs));
        }
        *number += 1;
    }
}

impl Reading {
    fn step(&mut self, system: &System) -> Result<Progress, CommandError<'static>> {
        for _ in 0..BATCHES {
            let (dumper, runs) = (&mut self.dumper, &mut self.runs);
            let mut result = Ok(());
            let end = self.reader.part(system, BATCH, &mut |found| {
                if let (Ok(()), Found::Entry { entry, .. }) = (&result, found) {
                    result = add(runs, dumper.take(&entry));
                }
            })?;
            result?;
            if let Some(end) = end {
                add(runs, dumper.take_last(end))?;
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::More)
    }
}

fn add(runs: &mut Runs, run: Option<Run>) -> Result<(), CommandError<'static>> {
    match run.filter(|run| !run.is_hole()) {
        Some(run) => runs.push(run),
        None => Ok(()),
    }
}

/// Goes over the ranges of a part of a look.
struct Cursor {
    look: Arc<Look>,
    part: usize,
    chunk: usize,
    index: usize,
}

impl Cursor {
    const fn new(look: Arc<Look>, part: usize) -> Self {
        Self {
            look,
            part,
            chunk: 0,
            index: 0,
        }
    }
}

impl Iterator for Cursor {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let (_, runs) = self.look.parts.get(self.part)?.as_ref()?;
        let chunk = runs.chunks.get(self.chunk)?;
        let run = *chunk.get(self.index)?;
        self.index += 1;
        if self.index == chunk.len() {
            (self.chunk, self.index) = (self.chunk + 1, 0);
        }
        Some(run)
    }
}

/// A comparison in progress.
pub struct Comparison {
    before: Arc<Look>,
    after: Arc<Look>,
    part: usize,
    changes: Changes<Cursor, Cursor>,
    sum: wire::ChangeSum,
}

impl Comparison {
    /// From `before` to `after`.
    pub fn new(before: Arc<Look>, after: Arc<Look>) -> Self {
        Self {
            changes: changes(&before, &after, 0),
            before,
            after,
            part: 0,
            sum: wire::ChangeSum::default(),
        }
    }

    /// What the printed changes come to.
    pub fn sum(&self) -> wire::ChangeSum {
        self.sum
    }

    /// Prints the next changes.
    pub fn step(&mut self, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        /// Of two lines, each with what is put before it.
        const CHANGE_BYTES_MAX: usize = 2 * (112 + 2);
        while out.room() >= CHANGE_BYTES_MAX {
            match self.changes.next() {
                Some(change) => self.print(&change, out)?,
                None if self.part + 1 < self.before.parts.len() => {
                    self.part += 1;
                    self.changes = changes(&self.before, &self.after, self.part);
                }
                None => return Ok(Progress::Done),
            }
        }
        Ok(Progress::More)
    }

    fn print(&mut self, change: &Change, out: &mut Output) -> Result<(), CommandError<'static>> {
        let bytes = match (change.before, change.after) {
            (Some(_), None) => &mut self.sum.gone,
            (None, _) => &mut self.sum.new,
            _ => &mut self.sum.changed,
        };
        *bytes += change.size();
        self.sum.ranges += 1;
        for (sign, run, look) in [("-", change.before, &self.before), ("+", change.after, &self.after)] {
            let space = look.parts.get(self.part).and_then(Option::as_ref);
            if let (Some(run), Some((space, _))) = (run, space) {
                rows::change(sign, space, &run, out)?;
            }
        }
        Ok(())
    }
}

fn changes(before: &Arc<Look>, after: &Arc<Look>, part: usize) -> Changes<Cursor, Cursor> {
    let cursor = |look: &Arc<Look>| Cursor::new(Arc::clone(look), part);
    Changes::new(cursor(before), cursor(after))
}

/// A look that has a name.
pub struct Snapshot {
    label: Text<LABEL_BYTES>,
    /// What it was taken of.
    source: Source,
    range: Option<Range<u64>>,
    look: Arc<Look>,
}

impl Snapshot {
    /// What it was.
    pub fn look(&self) -> Arc<Look> {
        Arc::clone(&self.look)
    }

    /// A new look at the same.
    pub fn look_again(&self) -> Taking {
        Taking::new(self.source.again(), self.range.clone())
    }

    /// Prints what there is to say of it.
    pub fn print(&self, out: &mut Output) -> Result<(), CommandError<'static>> {
        let mut table = Text::<NAME_BYTES>::new();
        write!(table, "{}", self.source)?;
        let (ranges, bytes) = self.look.sum();
        Ok(out.row(&wire::Snapshot {
            name: self.label.as_str(),
            table: table.as_str(),
            ranges,
            bytes,
            exact: self.look.is_exact(),
        })?)
    }
}

static SNAPSHOTS: Mutex<Snapshots> = Mutex::new(Snapshots(Vec::new()));

/// Those that are kept, in the order in which they were taken.
pub struct Snapshots(Vec<Snapshot>);

impl Snapshots {
    /// All of them, locked. As for [`System::mmu`].
    pub fn lock(system: &System) -> Result<MutexGuard<'static, Self>, CommandError<'static>> {
        if system.has_panicked {
            SNAPSHOTS.try_lock().ok_or(CommandError::Locked)
        } else {
            Ok(SNAPSHOTS.lock())
        }
    }

    /// The one at a place.
    pub fn get(&self, index: usize) -> Option<&Snapshot> {
        self.0.get(index)
    }

    /// The one of this name.
    pub fn find<'a>(&self, label: &'a str) -> Result<&Snapshot, CommandError<'a>> {
        let mut all = self.0.iter();
        all.find(|snapshot| snapshot.label.as_str() == label)
            .ok_or(CommandError::UnknownSnapshot(label))
    }

    /// Keeps what was taken under a name, in the place of one that has it.
    pub fn add(
        &mut self,
        label: Text<LABEL_BYTES>,
        taken: &Taking,
        look: Look,
    ) -> Result<&Snapshot, CommandError<'static>> {
        let _ = self.remove(label.as_str());
        self.0.try_reserve(1).map_err(|_| CommandError::NoMemory)?;
        self.0.push(Snapshot {
            label,
            source: taken.source().again(),
            range: taken.range(),
            look: Arc::new(look),
        });
        self.0.last().ok_or(CommandError::NoMemory)
    }

    /// Forgets the one of this name.
    pub fn remove<'a>(&mut self, label: &'a str) -> Result<(), CommandError<'a>> {
        let is_named = |snapshot: &Snapshot| snapshot.label.as_str() == label;
        let index = self.0.iter().position(is_named);
        self.0.remove(index.ok_or(CommandError::UnknownSnapshot(label))?);
        Ok(())
    }

    /// Calls `found` with each name.
    pub fn names(&self, found: &mut dyn FnMut(&str)) {
        for snapshot in &self.0 {
            found(snapshot.label.as_str());
        }
    }
}
