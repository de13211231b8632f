//! `shadow`: the shadow tables, one a line.

use core::fmt::{self, Write};

use shadow::{Shadow, ShadowKey, SlotId};
use vmsa::Level;

use super::{Entry, Output, Progress, Task};
use crate::{
    console::{error::CommandError, system::System},
    mm::frames,
    shadow_mmu::SHADOWS_MAX,
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "shadow",
    usage: "shadow",
    help: "the shadow tables: VMID, references, order of last use, faults, table pages, what is mapped",
    example: "shadow",
    words: super::no_words,
    run,
};

fn run<'a>(_: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    match arguments {
        [] => Ok(Task::Shadow(Rows::default())),
        _ => Err(CommandError::Usage(ENTRY.usage)),
    }
}

/// The listing in progress.
#[derive(Default)]
pub struct Rows {
    next: Option<u16>,
    count: usize,
    table_pages: u64,
}

/// What a line says, copied out of the lock.
struct Row {
    slot: SlotId,
    key: ShadowKey,
    vmid: u16,
    refs: u32,
    last_use: u64,
    faults: u64,
    table_pages: u64,
    mapped: [u64; 4],
}

impl Rows {
    /// Prints the next lines, at last the sums.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        const LINE_BYTES_MAX: usize = 256;
        if self.next.is_none() {
            writeln!(
                out,
                "{:>3} {:>5} {:>4} {:>9} {:>9} {:>6} {:>8} {:>8} {:>8} name",
                "no", "vmid", "refs", "last use", "faults", "pages", "4K", "2M", "1G"
            )?;
        }
        let mut next = self.next.unwrap_or(0);
        while out.room() >= 2 * LINE_BYTES_MAX {
            let Some(row) = system.shadow_from(next, Row::of)? else {
                self.write_sums(system, out)?;
                return Ok(Progress::Done);
            };
            writeln!(out, "{row}")?;
            self.count += 1;
            self.table_pages += row.table_pages;
            next = row.slot.number() + 1;
        }
        self.next = Some(next);
        Ok(Progress::More)
    }

    fn write_sums(&self, system: &System, out: &mut Output) -> fmt::Result {
        writeln!(
            out,
            "{} of {SHADOWS_MAX} shadows, {} table pages",
            self.count, self.table_pages
        )?;
        // The allocator's lock may be lost to a panic.
        if !system.has_panicked {
            let (free, total) = frames::usage();
            writeln!(out, "{free} of {total} frames for tables are free")?;
        }
        Ok(())
    }
}

impl Row {
    fn of(slot: SlotId, shadow: &Shadow) -> Self {
        Self {
            slot,
            key: shadow.key(),
            vmid: shadow.physical_vmid(),
            refs: shadow.refs(),
            last_use: shadow.last_use(),
            faults: shadow.faults(),
            table_pages: shadow.table().table_pages(),
            mapped: shadow.table().mapped(),
        }
    }

    /// What leaves of `level` map.
    fn mapped_by(&self, level: Level) -> Size {
        Size(self.mapped.get(level.index()).copied().unwrap_or(0))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>3} {:>5} {:>4} {:>9} {:>9} {:>6} {:>8} {:>8} {:>8} {}",
            self.slot.number(),
            self.vmid,
            self.refs,
            self.last_use,
            self.faults,
            self.table_pages,
            self.mapped_by(Level::THREE),
            self.mapped_by(Level::TWO),
            self.mapped_by(Level::ONE),
            self.key,
        )
    }
}

/// Bytes, in the largest unit in which they are a whole number.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            0 => (0, ""),
            bytes if bytes % (1 << 30) == 0 => (bytes >> 30, "G"),
            bytes if bytes % (1 << 20) == 0 => (bytes >> 20, "M"),
            bytes => (bytes >> 10, "K"),
        };
        let width = f.width().unwrap_or(0).saturating_sub(unit.len());
        write!(f, "{value:width$}{unit}")
    }
}
