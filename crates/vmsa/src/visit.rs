//! Going over whole tables, for dumps and audits.
//!
//! The order and the granularity are those of Linux's page-table walker: every leaf and every entry
//! that leads nowhere is visited once, in address order, at the level where the walk stopped. The
//! state is five table addresses, so the stack use is constant and the walk can stop after a
//! bounded number of entries and resume by address. Tables that refer to themselves end at level 3
//! like any other.

use core::ops::Range;

use crate::{
    DescriptorKind, Level, ReadTable,
    descent::{LookUp, Shape},
};

/// Descriptor bit 52 of a leaf, in both stages.
const CONTIGUOUS: u64 = 1 << 52;

/// What an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A block or page.
    Leaf,
    /// Any access faults here: the descriptor is invalid, reserved, or points beyond the output
    /// size.
    Invalid,
    /// The descriptor could not be read; `raw` is 0.
    Unreadable,
}

/// One entry of a table that does not lead to another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The first input address it covers.
    pub ia: u64,
    /// The bytes of input address space it covers. `ia + size` is 2^64 for the last entry of an upper half.
    pub size: u64,
    /// Its level.
    pub level: Level,
    /// The descriptor, in the byte order of this CPU.
    pub raw: u64,
    /// What it is.
    pub kind: EntryKind,
    /// Whether it is a leaf with the Contiguous hint.
    pub contiguous: bool,
}

/// Visits the entries that cover `from` and what is above it, at most `budget` of them. Returns the
/// address to go on from, `None` at the end of the input address space.
pub(crate) fn visit_entries<O>(
    shape: &Shape,
    mem: &impl ReadTable<O>,
    from: u64,
    budget: usize,
    f: &mut impl FnMut(Entry),
) -> Option<u64> {
    let end = 1u64 << shape.ia_bits;
    let mut tables = [shape.root; Level::COUNT];
    let mut level = shape.start_level;
    let mut offset = from.saturating_sub(shape.ia_base);
    for _ in 0..budget {
        if offset >= end {
            return None;
        }
        let found = loop {
            let table = tables.get(level.depth()).copied().unwrap_or(shape.root);
            let found = shape.look_up(mem, table, offset, level);
            let (DescriptorKind::Table(next), Some(next_level)) = (found.kind, level.next()) else {
                break found;
            };
            if let Some(table) = tables.get_mut(next_level.depth()) {
                *table = next;
            }
            level = next_level;
        };
        let size = shape.format.granule.entry_bytes(level);
        f(entry_of(shape, offset, level, &found));
        offset = (offset & !(size - 1)) + size;
        level = shape.level_of_table_at(offset, level);
    }
    (offset < end).then(|| shape.ia_base + offset)
}

/// The entry around `offset` that `found` was read for in a table of `level`.
pub(crate) fn entry_of(shape: &Shape, offset: u64, level: Level, found: &LookUp) -> Entry {
    let size = shape.format.granule.entry_bytes(level);
    let kind = match (found.raw, found.kind) {
        (None, _) => EntryKind::Unreadable,
        (_, DescriptorKind::Leaf(_)) => EntryKind::Leaf,
        _ => EntryKind::Invalid,
    };
    let raw = found.raw.unwrap_or(0);
    Entry {
        ia: shape.ia_base + (offset & !(size - 1)),
        size,
        level,
        raw,
        kind,
        contiguous: kind == EntryKind::Leaf && raw & CONTIGUOUS != 0,
    }
}

impl Shape {
    /// The start tables' addresses.
    pub(crate) fn root_range(&self) -> Range<u64> {
        let entries = self
            .ia_bits
            .saturating_sub(self.format.granule.entry_shift(self.start_level));
        self.root..self.root + (8 << entries).max(self.format.granule.bytes())
    }

    /// The level of the table that holds the entry at `offset`, the end of an entry of a table of
    /// `level`: an upper one if that is where the tables in between end too.
    pub(crate) fn level_of_table_at(&self, offset: u64, mut level: Level) -> Level {
        while level > self.start_level {
            let Some(upper) = level.previous() else { break };
            if offset & (self.format.granule.entry_bytes(upper) - 1) != 0 {
                break;
            }
            level = upper;
        }
        level
    }
}
