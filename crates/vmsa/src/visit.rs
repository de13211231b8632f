//! Going over whole tables, for dumps and audits.
//!
//! The order and the granularity are those of Linux's page-table walker: every leaf and every entry
//! that leads nowhere is visited once, in address order, at the level where the walk stopped. The
//! state is four table addresses, so the stack use is constant and the walk can stop after a
//! bounded number of entries and resume by address. Tables that refer to themselves end at level 3
//! like any other.

use crate::{Addr, Granule, Level, ReadTable};

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
    /// The bytes of input address space it covers.
    pub size: u64,
    /// Its level.
    pub level: Level,
    /// The descriptor, in the byte order of this CPU.
    pub raw: u64,
    /// What it is.
    pub kind: EntryKind,
}

/// The shape of the tables.
pub(crate) struct Geometry {
    pub(crate) granule: Granule,
    pub(crate) ia_bits: u32,
    pub(crate) start_level: Level,
    pub(crate) root: u64,
    pub(crate) oa_bits: u32,
    pub(crate) big_endian: bool,
}

/// Visits the entries that cover `from` and what is above it, at most `budget` of them. Returns the
/// address to go on from, `None` at the end of the input address space.
pub(crate) fn visit_entries<O>(
    shape: &Geometry,
    mem: &impl ReadTable<O>,
    from: u64,
    budget: usize,
    f: &mut impl FnMut(Entry),
) -> Option<u64> {
    let end = 1u64 << shape.ia_bits;
    let mut tables = [shape.root; 4];
    let mut level = shape.start_level;
    let mut ia = from;
    for _ in 0..budget {
        if ia >= end {
            return None;
        }
        let entry = loop {
            match shape.look_up(mem, tables[level.index()], ia, level) {
                Lookup::Table(next, next_level) => {
                    tables[next_level.index()] = next;
                    level = next_level;
                }
                Lookup::Entry(entry) => break entry,
            }
        };
        f(entry);
        ia = entry.ia + entry.size;
        level = shape.level_of_table_at(ia, level);
    }
    (ia < end).then_some(ia)
}

enum Lookup {
    Table(u64, Level),
    Entry(Entry),
}

impl Geometry {
    /// Reads the entry for `ia` in `table`, a table of `level`.
    fn look_up<O>(&self, mem: &impl ReadTable<O>, table: u64, ia: u64, level: Level) -> Lookup {
        let shift = self.granule.entry_shift(level);
        let index = if level == self.start_level {
            ia >> shift
        } else {
            ia >> shift & ((1 << self.granule.stride()) - 1)
        };
        let size = 1 << shift;
        let entry = |raw, kind| {
            Lookup::Entry(Entry {
                ia: ia & !(size - 1),
                size,
                level,
                raw,
                kind,
            })
        };
        let Ok(stored) = mem.read(Addr::new(table + index * 8)) else {
            return entry(0, EntryKind::Unreadable);
        };
        let raw = if self.big_endian { stored.swap_bytes() } else { stored };
        // Both stages agree on bits 1:0 and on where the address is.
        let address = raw & ((1 << 48) - 1) & !(self.granule.bytes() - 1);
        if raw & 1 == 0 || address >> self.oa_bits != 0 {
            return entry(raw, EntryKind::Invalid);
        }
        match (raw >> 1 & 1, level.next()) {
            (1, Some(next_level)) => Lookup::Table(address, next_level),
            (1, None) => entry(raw, EntryKind::Leaf),
            (_, Some(_)) if self.granule.has_leaf_at(level) => entry(raw, EntryKind::Leaf),
            _ => entry(raw, EntryKind::Invalid),
        }
    }

    /// The level of the table that holds the entry at `ia`, the end of an entry of a table of
    /// `level`: an upper one if `ia` is where the tables in between end too.
    fn level_of_table_at(&self, ia: u64, mut level: Level) -> Level {
        while level > self.start_level {
            let Some(upper) = level.previous() else { break };
            if ia & (self.granule.entry_bytes(upper) - 1) != 0 {
                break;
            }
            level = upper;
        }
        level
    }
}
