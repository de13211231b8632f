//! Invariants I2 and I3: what gnomon answers for alone.
//!
//! I2: no leaf of the host's table or of a shadow leads to memory of gnomon's, the debug UART or the interrupt
//! controller. I3: a table has as many pages as it says, and all tables together as many as the allocator has given
//! away. Pages are counted by going over the table, so a table that changes meanwhile is only counted, not judged.

use core::{
    fmt::{self, Write},
    ops::Range,
};

use hyp::mm::{self, frames};
use vmsa::{
    Enter,
    ptdump::{Descriptor, Meaning},
};

use super::{BATCH, certain};
use crate::{
    commands::{Output, Progress},
    error::CommandError,
    system::System,
    tables::{NAME_BYTES, Table, Version},
    text::Text,
};

/// Going over one table.
#[derive(Default)]
pub struct Pass {
    next: u64,
    pages: u64,
    version: Option<Version>,
    has_changed: bool,
}

impl Pass {
    /// Where the next part begins.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Looks at the next few entries of `table`.
    pub fn step(
        &mut self,
        table: &Table,
        system: &System,
        sums: &mut wire::Audit,
        out: &mut Output,
    ) -> Result<Progress, CommandError<'static>> {
        let format = table.format(system)?;
        let mut offender = None;
        let visited = table.survey(system, self.next, BATCH, &mut |found| {
            match Descriptor::of(&found, format) {
                Descriptor {
                    meaning: Meaning::Table(_),
                    ..
                } => self.pages += 1,
                leaf @ Descriptor {
                    meaning: Meaning::Block(at) | Meaning::Page(at),
                    ..
                } => {
                    sums.leaves += 1;
                    if let Some(whose) = forbidden(system, &(at..at + leaf.size)) {
                        sums.findings += 1;
                        offender = offender.or(Some((leaf, whose)));
                    }
                }
                _ => {}
            }
            Enter::Yes
        })?;
        if let Some((leaf, whose)) = offender {
            report_leaf(table, &leaf, whose, out)?;
        }
        self.has_changed |= self.version.is_some_and(|version| version != visited.version);
        self.version = Some(visited.version);
        if let Some(next) = visited.next {
            self.next = next;
            return Ok(Progress::More);
        }
        // The root has no descriptor.
        self.pages += 1;
        sums.pages += self.pages;
        self.check_pages(table, system, sums, out)?;
        Ok(Progress::Done)
    }

    fn check_pages(
        &self,
        table: &Table,
        system: &System,
        sums: &mut wire::Audit,
        out: &mut Output,
    ) -> Result<(), CommandError<'static>> {
        let (pages, version) = match table {
            Table::Shadow(context) => {
                let held = system.slot(context.slot)?;
                let table = context.shadow(&held)?.table();
                (table.table_pages(), table.generation())
            }
            _ => (system.host()?.table_pages(), 0),
        };
        if self.has_changed || self.version != Some(version) || pages == self.pages {
            return Ok(());
        }
        let mut text = Text::<128>::new();
        write!(
            text,
            "the table says it has {pages} pages, and {} are found in it",
            self.pages
        )?;
        sums.findings += 1;
        Ok(report("I3", table, 0, 0, text.as_str(), out)?)
    }
}

/// Whose memory `range` leads into that no guest may reach.
fn forbidden(system: &System, range: &Range<u64>) -> Option<&'static str> {
    let machine = &system.vm.machine;
    let overlaps = |other: &Range<u64>| range.start < other.end && other.start < range.end;
    if machine
        .home_bank()
        .is_some_and(|bank| overlaps(&mm::CarveOut::of(&bank).whole))
    {
        Some("gnomon's memory")
    } else if machine
        .debug_uart
        .as_ref()
        .is_some_and(|uart| overlaps(&uart.registers))
    {
        Some("the debug UART")
    } else if overlaps(&machine.gicd) || overlaps(&machine.gicr) {
        Some("the interrupt controller")
    } else {
        None
    }
}

fn report_leaf(table: &Table, leaf: &Descriptor, whose: &str, out: &mut Output) -> fmt::Result {
    let mut text = Text::<192>::new();
    let at = leaf.meaning.address().unwrap_or(0);
    write!(
        text,
        "a leaf leads to {whose} at {at:#x} (descriptor {:#018x}): a DEFECT of gnomon",
        leaf.raw
    )?;
    report("I2", table, leaf.ia, leaf.size, text.as_str(), out)
}

fn report(rule: &str, table: &Table, ia: u64, size: u64, text: &str, out: &mut Output) -> fmt::Result {
    let mut name = Text::<NAME_BYTES>::new();
    match table {
        Table::Shadow(context) => write!(name, "shadow/{}", context.slot)?,
        table => write!(name, "{table}")?,
    }
    out.row(&certain(rule, name.as_str(), ia, size, text))
}

/// Whether the frames that are not free are those of the tables, and one for each vCPU's VNCR page.
pub fn check_frames(system: &System, sums: &mut wire::Audit, out: &mut Output) -> Result<(), CommandError<'static>> {
    // The allocator's lock may be lost to a panic.
    if system.has_panicked {
        return Ok(());
    }
    let (in_tables, free, total) = {
        // Table pages come and go only under these locks.
        let mmu = system.mmu()?;
        let (free, total) = frames::usage();
        let in_tables = mmu.host.table_pages() + mmu.shadows.table_pages();
        (in_tables, free as u64, total as u64)
    };
    let vncr_pages = system.vm.machine.cpus.len() as u64;
    if in_tables + vncr_pages + free == total {
        return Ok(());
    }
    let mut text = Text::<192>::new();
    write!(
        text,
        "of {total} frames {free} are free, {in_tables} in tables and {vncr_pages} are VNCR pages, which is not all: \
         a DEFECT of gnomon"
    )?;
    sums.findings += 1;
    Ok(out.row(&certain("I3", "all", 0, 0, text.as_str()))?)
}
