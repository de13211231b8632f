//! Page tables as lines: in the format of Linux's ptdump, with what that leaves out, or descriptor by descriptor.
//!
//! If tables changed between two parts of a dump, a note after it says so; under `stop` they cannot.

use core::ops::Range;

use vmsa::{
    Found, TableFormat,
    ptdump::{Descriptor, RangeDumper, Run},
};

use super::{
    commands::{Output, Progress},
    error::CommandError,
    reader::Reader,
    rows,
    spaces::{Parts, Source, Space},
    system::System,
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
    source: Source,
    wishes: Wishes,
    /// What is left to be begun, once the source has answered.
    parts: Option<Parts>,
    /// The space that is printed.
    space: Option<SpaceDump>,
    has_changed: bool,
}

impl Dump {
    /// A dump of `source`.
    pub fn new(source: Source, wishes: Wishes) -> Self {
        Self {
            source,
            wishes,
            parts: None,
            space: None,
            has_changed: false,
        }
    }

    /// What is dumped.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether tables changed between two parts.
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// Prints the next part.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        if self.parts.is_none() {
            self.parts = self.source.poll(system)?;
        }
        let Some(parts) = &mut self.parts else {
            return Ok(Progress::More);
        };
        if self.space.is_none() {
            match parts.iter_mut().find_map(Option::take) {
                None => return Ok(Progress::Done),
                Some(Ok(space)) => self.space = Some(SpaceDump::new(space, &self.wishes, system, out)?),
                Some(Err(text)) => out.row(&wire::Note { text })?,
            }
        }
        if let Some(space) = &mut self.space
            && space.step(system, out)? == Progress::Done
        {
            self.has_changed |= space.reader.has_changed();
            self.space = None;
        }
        Ok(Progress::More)
    }
}

/// A dump of one space.
struct SpaceDump {
    reader: Reader,
    form: Form,
    is_last_range_wanted: bool,
}

/// How entries become lines.
enum Form {
    /// Runs of them, as text or as records.
    Runs { dumper: RangeDumper, has_records: bool },
    /// Each of its own.
    Raw(TableFormat),
}

impl SpaceDump {
    fn new(space: Space, wishes: &Wishes, system: &System, out: &Output) -> Result<Self, CommandError<'static>> {
        let has_records = out.is_for_programs();
        let form = match wishes.style {
            Style::Raw => Form::Raw(space.format(system)?),
            Style::Linux if !has_records => Form::Runs {
                dumper: space.dumper(),
                has_records,
            },
            Style::Linux | Style::Physical => Form::Runs {
                dumper: space.dumper().with_targets(space.leaves(system)?),
                has_records,
            },
        };
        Ok(Self {
            is_last_range_wanted: wishes.is_last_range_wanted
                || wishes.range.is_some()
                || space.is_printed_to_its_end(),
            reader: Reader::new(space, wishes.range.clone()),
            form,
        })
    }

    fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        // One line may be left over from before, and the header and the last range come in addition.
        const ROOM: usize = (BATCH + 3) * LINE_BYTES_MAX;
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

    /// Prints what one turn of the lock gives.
    fn part(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        let budget = match &self.form {
            Form::Raw(_) => BATCH - TABLES_MAX,
            Form::Runs { .. } => BATCH,
        };
        let space = self.reader.space().clone();
        let (form, mut result) = (&mut self.form, Ok(()));
        let end = self.reader.part(system, budget, &mut |found| {
            if result.is_ok() {
                result = form.note(&space, &found, out);
            }
        })?;
        result?;
        let Some(end) = end else { return Ok(Progress::More) };
        if self.is_last_range_wanted {
            self.form.finish(&space, end, out)?;
        }
        Ok(Progress::Done)
    }
}

impl Form {
    fn note(&mut self, space: &Space, found: &Found, out: &mut Output) -> Result<(), CommandError<'static>> {
        match (self, found) {
            (Self::Raw(format), _) => rows::descriptor(space, &Descriptor::of(found, *format), out)?,
            (Self::Runs { .. }, Found::Table(_)) => {}
            (Self::Runs { dumper, has_records }, Found::Entry { entry, .. }) => match has_records {
                false => dumper.note_entry(entry, out)?,
                true => Self::record(space, dumper.take(entry), out)?,
            },
        }
        Ok(())
    }

    fn finish(&mut self, space: &Space, end: u64, out: &mut Output) -> Result<(), CommandError<'static>> {
        match self {
            Self::Raw(_) => {}
            Self::Runs { dumper, has_records } => match has_records {
                false => dumper.finish(end, out)?,
                true => Self::record(space, dumper.take_last(end), out)?,
            },
        }
        Ok(())
    }

    fn record(space: &Space, run: Option<Run>, out: &mut Output) -> Result<(), CommandError<'static>> {
        match run {
            Some(run) => Ok(rows::map(space, &run, out)?),
            None => Ok(()),
        }
    }
}
