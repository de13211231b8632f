//! Going over whole tables with the table descriptors in between, for those who ask about the tables themselves.
//!
//! A [visit](crate::stage2::visit) says what is mapped; a survey also says how the walk got there, so that whoever
//! counts table pages or looks for descriptors that lead where they should not sees each of them once. The caller
//! decides at each table whether to enter it, so a table that is known to be wrong costs one entry and not 512. State
//! and bounds are those of a visit.

use crate::{
    DescriptorKind, Entry, Level, ReadTable,
    descent::{LookUp, Shape},
    visit::entry_of,
};

/// A descriptor that leads to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLink {
    /// The first input address below it.
    pub ia: u64,
    /// The bytes of input address space below it.
    pub size: u64,
    /// The level of the descriptor; the table is of the next one.
    pub level: Level,
    /// Where the descriptor is.
    pub at: u64,
    /// The descriptor, in the byte order of this CPU.
    pub raw: u64,
    /// Where the table is.
    pub table: u64,
    /// Whether that is a table on the way here: the tables refer to themselves.
    pub is_loop: bool,
}

/// What a survey comes across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A table, before what is in it.
    Table(TableLink),
    /// What a visit sees, and where its descriptor is.
    Entry {
        /// The address of the descriptor.
        at: u64,
        /// What it is.
        entry: Entry,
    },
}

/// What to do about a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enter {
    /// Go over its entries.
    Yes,
    /// Go on behind it.
    No,
}

/// Calls `f` for what covers `from` and what is above it, for at most `budget` entries and tables that are not entered.
/// Its answer counts for tables only. Returns the address to go on from, `None` at the end of the input address space.
///
/// A table is announced when the survey comes to its first address. One that is resumed inside of a table enters it
/// again without a word.
pub(crate) fn survey_entries<O>(
    shape: &Shape,
    mem: &impl ReadTable<O>,
    from: u64,
    budget: usize,
    f: &mut impl FnMut(Found) -> Enter,
) -> Option<u64> {
    let end = 1u64 << shape.ia_bits;
    let mut tables = [shape.root; Level::COUNT];
    let mut level = shape.start_level;
    let mut offset = from.saturating_sub(shape.ia_base);
    for _ in 0..budget {
        if offset >= end {
            return None;
        }
        loop {
            let table = tables.get(level.depth()).copied().unwrap_or(shape.root);
            let found = shape.look_up(mem, table, offset, level);
            let Some((link, next_level)) = link(shape, &tables, level, offset, &found) else {
                let entry = entry_of(shape, offset, level, &found);
                let at = found.desc_at;
                f(Found::Entry { at, entry });
                break;
            };
            let is_new = link.ia == shape.ia_base + offset;
            if is_new && f(Found::Table(link)) == Enter::No {
                break;
            }
            if let Some(table) = tables.get_mut(next_level.depth()) {
                *table = link.table;
            }
            level = next_level;
        }
        let size = shape.format.granule.entry_bytes(level);
        offset = (offset & !(size - 1)) + size;
        level = shape.level_of_table_at(offset, level);
    }
    (offset < end).then(|| shape.ia_base + offset)
}

/// What `found` leads to, if it leads to a table, and that table's level. `tables` are those on the way to it.
fn link(
    shape: &Shape,
    tables: &[u64; Level::COUNT],
    level: Level,
    offset: u64,
    found: &LookUp,
) -> Option<(TableLink, Level)> {
    let (DescriptorKind::Table(table), Some(next_level)) = (found.kind, level.next()) else {
        return None;
    };
    let size = shape.format.granule.entry_bytes(level);
    let above = tables.get(shape.start_level.depth() + 1..=level.depth());
    let is_loop = shape.root_range().contains(&table) || above.is_some_and(|above| above.contains(&table));
    let link = TableLink {
        ia: shape.ia_base + (offset & !(size - 1)),
        size,
        level,
        at: found.desc_at,
        raw: found.raw.unwrap_or(0),
        table,
        is_loop,
    };
    Some((link, next_level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Granule, L1,
        stage2::{Stage2Config, survey, visit},
        testing::{LIMITS, Words, vtcr},
    };
    use proptest::prelude::*;
    use std::vec::Vec;

    const ROOT: u64 = 0x10_0000;

    fn config() -> Stage2Config {
        Stage2Config::from_registers(vtcr(Granule::K4, 40, 1), ROOT, &LIMITS).unwrap()
    }

    /// A root of two concatenated tables with a block, and a page two tables below.
    fn memory() -> Words {
        let mut mem = Words::default();
        mem.add(ROOT, 0x4000);
        mem.set(ROOT, 0x4000_0000 | 0x441);
        mem.set(ROOT + 8 * 513, (ROOT + 0x2000) | 3);
        mem.set(ROOT + 0x2000 + 8, (ROOT + 0x3000) | 3);
        mem.set(ROOT + 0x3000, 0x8000_0000 | 0x443);
        mem
    }

    fn tables(mem: &Words, budget: usize, enter: Enter) -> (Vec<TableLink>, Vec<Entry>) {
        let (mut links, mut entries) = (Vec::new(), Vec::new());
        let mut next = Some(0);
        while let Some(from) = next {
            next = survey::<L1>(&config(), mem, from, budget, &mut |found| {
                match found {
                    Found::Table(link) => links.push(link),
                    Found::Entry { entry, .. } => entries.push(entry),
                }
                enter
            });
        }
        (links, entries)
    }

    #[test]
    fn each_table_is_announced_once_however_often_the_survey_is_resumed() {
        let (whole, _) = tables(&memory(), usize::MAX, Enter::Yes);
        let places: Vec<_> = whole.iter().map(|link| (link.ia, link.level, link.table)).collect();
        let first = (513 << 30, Level::ONE, ROOT + 0x2000);
        assert_eq!(places, [first, ((513 << 30) + (2 << 20), Level::TWO, ROOT + 0x3000)]);
        for budget in [1, 2, 7, 513] {
            assert_eq!(tables(&memory(), budget, Enter::Yes).0, whole);
        }
    }

    #[test]
    fn a_table_that_is_not_entered_counts_as_one_entry() {
        let (links, entries) = tables(&memory(), 3, Enter::No);
        assert_eq!((links.len(), entries.len()), (1, 1023));
    }

    #[test]
    fn a_way_back_is_a_loop_and_a_shared_table_is_none() {
        let mut mem = memory();
        // To the second of the concatenated roots, to the table itself, and to one that is used already.
        mem.set(ROOT + 0x2000, (ROOT + 0x1000) | 3);
        mem.set(ROOT + 0x2000 + 16, (ROOT + 0x2000) | 3);
        mem.set(ROOT + 0x2000 + 24, (ROOT + 0x3000) | 3);
        let mut loops = Vec::new();
        survey::<L1>(&config(), &mem, 0, usize::MAX, &mut |found| match found {
            Found::Table(link) if link.is_loop => {
                loops.push(link.at);
                Enter::No
            }
            _ => Enter::Yes,
        });
        assert_eq!(loops, [ROOT + 0x2000, ROOT + 0x2010]);
    }

    proptest! {
        #[test]
        fn the_entries_are_those_of_a_visit(
            words in prop::collection::vec((0u64..4, 0u64..8, 0u64..4, 0u64..4), 0..30),
            budget in 1usize..40,
        ) {
            let mut mem = memory();
            for (page, index, kind, target) in words {
                mem.set(ROOT + page * 0x1000 + 8 * index, (ROOT + target * 0x1000) | kind);
            }
            let mut visited = Vec::new();
            visit::<L1>(&config(), &mem, 0, 5000, &mut |entry| visited.push(entry));
            let (_, surveyed) = tables(&mem, budget, Enter::Yes);
            prop_assert!(surveyed.starts_with(&visited) || visited.starts_with(&surveyed));
        }
    }
}
