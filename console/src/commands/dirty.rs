//! `dirty`: what L1 and its guests write, by L1 page. And `split`, which is its first half.
//!
//! To see a write it must fault once. So the host stage 2 is split into pages and made read-only, part by part, each under
//! one hold of the lock; then the shadows are gone over, a few entries at a time, and lose their blocks and the right to
//! write. Guests run all the while. Stopping goes the way back. What was begun and cancelled is undone by `dirty stop`.

use core::{fmt::Write, ops::Range};

use hyp::mm::frames;
use shadow::{Cut, DirtyLog, SlotId, Writers};
use vmsa::{Granule, Ipa};
use wire::Hex;

use super::{Entry, Output, Progress, Task};
use crate::{error::CommandError, system::System};

/// `dirty`
pub const ENTRY: Entry = Entry {
    name: "dirty",
    usage: "dirty start [RANGE] | dirty report [-c] | dirty stop",
    help: "logs what L1 and its guests write, by L1 page; 'report -c' clears what it reports; 'stop' forms blocks again",
    example: "dirty start 0x80000000+64M",
    words,
    run,
};

/// `split`
pub const SPLIT: Entry = Entry {
    name: "split",
    usage: "split RANGE",
    help: "splits the blocks that map a range of L1 IPAs, of the host and of shadows, into pages, until 'dirty stop'",
    example: "split 0x80000000+2M",
    words: super::no_words,
    run: run_split,
};

/// Frames that are left for faults whatever happens here.
const RESERVE: usize = 1024;
/// Entries of a shadow that are gone over while the lock is held.
const BATCH: usize = 32;

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    if system.has_panicked {
        return Err(CommandError::HasPanicked);
    }
    match arguments {
        ["start"] => begin(0..DirtyLog::END, system),
        ["start", range] => begin(console_core::parse_range(range)?, system),
        ["report"] => Ok(Task::DirtyReport(Report::new(false, system)?)),
        ["report", "-c"] => Ok(Task::DirtyReport(Report::new(true, system)?)),
        ["stop"] => Ok(Task::Dirty(Change::new(Goal::Restore, 0..DirtyLog::END))),
        _ => Err(CommandError::Usage(ENTRY.usage)),
    }
}

fn words(_: &System, found: &mut dyn FnMut(&str)) {
    ["start", "report", "stop", "-c"].into_iter().for_each(found);
}

fn run_split<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    match arguments {
        _ if system.has_panicked => Err(CommandError::HasPanicked),
        [range] => Ok(Task::Dirty(Change::new(Goal::Split, console_core::parse_range(range)?))),
        _ => Err(CommandError::Usage(SPLIT.usage)),
    }
}

fn begin<'a>(range: Range<u64>, system: &System) -> Result<Task, CommandError<'a>> {
    let mut mmu = system.mmu()?;
    if mmu.shadows.dirty_log().is_some() {
        return Err(CommandError::IsLogging);
    }
    let log = range.clone();
    mmu.with_shadows(|shadows, env| shadows.begin_log(log, env))
        .map_err(|_| CommandError::NoFrames)?;
    Ok(Task::Dirty(Change::new(Goal::Log, range)))
}

/// What is done to the parts of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Split,
    Log,
    Restore,
}

/// What comes next.
enum Phase {
    /// The part at this address or above.
    Part(u64),
    /// The shadow of this number or above, from an address on.
    Shadow(u16, u64),
}

/// A change of the host stage 2 and of the shadows, in progress.
pub struct Change {
    goal: Goal,
    range: Range<u64>,
    phase: Phase,
    bytes: u64,
}

impl Change {
    fn new(goal: Goal, range: Range<u64>) -> Self {
        Self {
            goal,
            // Whole parts.
            range: range.start & !(shadow::PART_BYTES - 1)..range.end,
            phase: Phase::Part(range.start & !(shadow::PART_BYTES - 1)),
            bytes: 0,
        }
    }

    /// Changes the next part, or the next entries of a shadow.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        match self.phase {
            Phase::Part(from) => self.part(from, system)?,
            Phase::Shadow(number, from) => {
                if !self.shadow(number, from, system)? {
                    return self.finish(system, out);
                }
            }
        }
        Ok(Progress::More)
    }

    fn part(&mut self, from: u64, system: &System) -> Result<(), CommandError<'static>> {
        let mut mmu = system.mmu()?;
        let Some(part) = mmu.next_part(from, self.range.end) else {
            self.phase = Phase::Shadow(0, 0);
            return Ok(());
        };
        let (free, _) = frames::usage();
        if self.goal != Goal::Restore && free < RESERVE {
            return Err(CommandError::NoFrames);
        }
        let changed = match self.goal {
            Goal::Split => mmu.split_part(&part),
            Goal::Log => mmu.log_part(&part),
            Goal::Restore => mmu.restore_part(&part),
        };
        changed.map_err(|_| CommandError::NoFrames)?;
        self.bytes += part.end - part.start;
        self.phase = Phase::Part(part.end);
        Ok(())
    }

    /// Goes over a few entries of a shadow. Says whether there was one.
    fn shadow(&mut self, number: u16, from: u64, system: &System) -> Result<bool, CommandError<'static>> {
        let mut mmu = system.mmu()?;
        let found = mmu
            .shadows
            .iter()
            .map(|(slot, _)| slot)
            .find(|slot| slot.number() >= number);
        let Some(slot) = found else { return Ok(false) };
        let from = if slot.number() == number { from } else { 0 };
        let (cut, range) = (self.cut(), self.range.clone());
        let next = mmu.with_shadows(|shadows, env| shadows.cut(slot, cut, &range, from, BATCH, env));
        self.phase = next_in(slot, next);
        Ok(true)
    }

    fn cut(&self) -> Cut {
        match self.goal {
            Goal::Split => Cut::Blocks,
            Goal::Log => Cut::Writes,
            // To come back as blocks.
            Goal::Restore => Cut::Everything,
        }
    }

    fn finish(&self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        let mib = self.bytes >> 20;
        match self.goal {
            Goal::Split => writeln!(out, "{mib} MiB are mapped by pages")?,
            Goal::Log => writeln!(out, "{mib} MiB are logged")?,
            Goal::Restore => {
                system.mmu()?.with_shadows(|shadows, env| shadows.end_log(env));
                writeln!(out, "{mib} MiB are as after boot")?;
            }
        }
        Ok(Progress::Done)
    }
}

fn next_in(slot: SlotId, next: Option<u64>) -> Phase {
    match next {
        Some(from) => Phase::Shadow(slot.number(), from),
        None => Phase::Shadow(slot.number() + 1, 0),
    }
}

/// A report in progress.
pub struct Report {
    clears: bool,
    range: Range<u64>,
    next: u64,
    /// Neighbouring pages with the same writers, so far.
    run: Option<(Range<u64>, Writers)>,
    pages: u64,
    logged: u64,
}

impl Report {
    fn new(clears: bool, system: &System) -> Result<Self, CommandError<'static>> {
        let mmu = system.mmu()?;
        let log = mmu.shadows.dirty_log().ok_or(CommandError::IsNotLogging)?;
        let range = log.range();
        Ok(Self {
            clears,
            next: range.start,
            range,
            run: None,
            pages: 0,
            logged: 0,
        })
    }

    /// Looks at the next pages, of one part at most, and prints the runs that end there.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        /// No line is longer.
        const LINE_BYTES_MAX: usize = 96;
        const PAGES: usize = 64;
        let mut mmu = system.mmu()?;
        let Some(part) = mmu.next_part(self.next, self.range.end) else {
            return self.finish(out);
        };
        let pages = part.clone().step_by(Granule::K4.bytes() as usize);
        for page in pages.take(PAGES) {
            if out.room() < 2 * LINE_BYTES_MAX {
                return Ok(Progress::More);
            }
            let writers =
                mmu.with_shadows(|shadows, env| shadows.dirty_log().and_then(|log| log.writers(Ipa::new(page), env)));
            self.next = page + Granule::K4.bytes();
            let Some(writers) = writers else {
                // All of the part is logged, or none.
                self.next = part.end;
                break;
            };
            self.logged += 1;
            self.note(page, writers, out)?;
            if self.clears && writers.is_dirty() {
                mmu.forget_writers(Ipa::new(page));
            }
        }
        Ok(Progress::More)
    }

    /// Adds a page to the run, or ends that and begins another.
    fn note(&mut self, page: u64, writers: Writers, out: &mut Output) -> Result<(), CommandError<'static>> {
        let end = page + Granule::K4.bytes();
        match &mut self.run {
            Some((range, of)) if range.end == page && *of == writers => range.end = end,
            _ => {
                self.end_run(out)?;
                self.run = Some((page..end, writers)).filter(|_| writers.is_dirty());
            }
        }
        self.pages += u64::from(writers.is_dirty());
        Ok(())
    }

    fn end_run(&mut self, out: &mut Output) -> Result<(), CommandError<'static>> {
        if let Some((range, writers)) = self.run.take() {
            out.row(&wire::Dirty {
                l1: Hex(range.start),
                size: Hex(range.end - range.start),
                by_l1: writers.l1,
                by_shadow: writers.l2,
                by_others: writers.others,
            })?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        self.end_run(out)?;
        out.row(&wire::DirtySum {
            pages: self.pages,
            logged: self.logged,
        })?;
        Ok(Progress::Done)
    }
}
