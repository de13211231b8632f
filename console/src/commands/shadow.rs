//! `shadow`: the shadow tables, one a line.

use core::fmt::{self, Write};

use hyp::{mm::frames, shadow_mmu::SHADOWS_MAX};
use shadow::{Shadow, ShadowKey, SlotId};
use vmsa::Level;

use super::{Entry, Output, Progress, Task};
use crate::{error::CommandError, system::System, text::Text};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "shadow",
    usage: "shadow",
    help: "the shadow tables: VMID, references, order of last use, faults, table pages, what is mapped",
    example: "shadow",
    words: super::no_words,
    run,
};

/// No name is longer.
const NAME_BYTES: usize = 64;

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
            out.heading(format_args!("{}", wire::Shadow::HEADING))?;
        }
        let mut next = self.next.unwrap_or(0);
        while out.room() >= 2 * LINE_BYTES_MAX {
            let Some(row) = system.shadow_from(next, |slot, shadow| Row::of(slot, shadow, system))? else {
                self.write_sums(system, out)?;
                return Ok(Progress::Done);
            };
            row.print(out)?;
            self.count += 1;
            self.table_pages += row.table_pages;
            next = row.slot.number() + 1;
        }
        self.next = Some(next);
        Ok(Progress::More)
    }

    fn write_sums(&self, system: &System, out: &mut Output) -> fmt::Result {
        // The allocator's lock may be lost to a panic.
        let usage = (!system.has_panicked).then(frames::usage);
        out.row(&wire::ShadowSum {
            shadows: self.count,
            shadows_max: SHADOWS_MAX,
            table_pages: self.table_pages,
            frames_free: usage.map(|(free, _)| free),
            frames: usage.map(|(_, total)| total),
        })
    }
}

impl Row {
    fn of(slot: SlotId, shadow: &Shadow, system: &System) -> Self {
        Self {
            slot,
            key: shadow.key(),
            vmid: shadow.physical_vmid(),
            refs: system.vm.mmu.shadows.refs(slot),
            last_use: shadow.last_use(),
            faults: shadow.faults(),
            table_pages: shadow.table().table_pages(),
            mapped: shadow.table().mapped(),
        }
    }

    /// What leaves of `level` map.
    fn mapped_by(&self, level: Level) -> u64 {
        self.mapped.get(level.index()).copied().unwrap_or(0)
    }

    fn print(&self, out: &mut Output) -> fmt::Result {
        let mut name = Text::<NAME_BYTES>::new();
        write!(name, "{}", self.key)?;
        out.row(&wire::Shadow {
            number: self.slot.number(),
            vmid: self.vmid,
            refs: self.refs,
            last_use: self.last_use,
            faults: self.faults,
            table_pages: self.table_pages,
            mapped_4k: self.mapped_by(Level::THREE),
            mapped_2m: self.mapped_by(Level::TWO),
            mapped_1g: self.mapped_by(Level::ONE),
            name: name.as_str(),
        })
    }
}
