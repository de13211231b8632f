//! Going over a whole stage-2 table.

use super::config::Stage2Config;
use crate::{Enter, Entry, Found, ReadTable, survey::survey_entries, visit::visit_entries};

/// Calls `f` for every leaf and every hole of the tables, in address order, starting with the entry
/// that covers `from`, for at most `budget` entries. Returns the address to resume from, `None`
/// when the end of the IPA space is reached.
///
/// A resumed walk descends from the root again, so it never follows a table that has been freed in
/// between.
pub fn visit<O>(
    cfg: &Stage2Config,
    mem: &impl ReadTable<O>,
    from: u64,
    budget: usize,
    f: &mut impl FnMut(Entry),
) -> Option<u64> {
    visit_entries(&cfg.shape(), mem, from, budget, f)
}

/// [`visit`] with the tables in between: calls `f` for each table before what is in it, and enters it if `f` says so;
/// for an entry it does not matter what `f` says. `budget` counts entries, and tables that are not entered.
pub fn survey<O>(
    cfg: &Stage2Config,
    mem: &impl ReadTable<O>,
    from: u64,
    budget: usize,
    f: &mut impl FnMut(Found) -> Enter,
) -> Option<u64> {
    survey_entries(&cfg.shape(), mem, from, budget, f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        EntryKind, Granule, L1, Level,
        testing::{LIMITS, Words, vtcr},
    };
    use std::vec::Vec;

    const ROOT: u64 = 0x10_0000;

    fn config() -> Stage2Config {
        Stage2Config::from_registers(vtcr(Granule::K4, 32, 1), ROOT, &LIMITS).unwrap()
    }

    #[test]
    fn a_table_that_points_to_itself_ends_at_level_3() {
        let mut mem = Words::default();
        mem.add(ROOT, 0x1000);
        mem.set(ROOT, ROOT | 3);
        let mut entries = Vec::new();
        let end = visit::<L1>(&config(), &mem, 0, usize::MAX, &mut |entry| entries.push(entry));
        assert_eq!(end, None);
        // Level 3: 512, level 2: 511 more, level 1: 3 more.
        assert_eq!(entries.len(), 512 + 511 + 3);
        assert_eq!((entries[0].level, entries[0].kind), (Level::THREE, EntryKind::Leaf));
    }

    #[test]
    fn a_budget_stops_the_visit_and_it_resumes_where_it_was() {
        let mut mem = Words::default();
        mem.add(ROOT, 0x3000);
        mem.set(ROOT + 8, (ROOT + 0x1000) | 3);
        mem.set(ROOT + 0x1000 + 24, (ROOT + 0x2000) | 3);
        let mut whole = Vec::new();
        visit::<L1>(&config(), &mem, 0, usize::MAX, &mut |entry| whole.push(entry));
        let mut chunks = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            next = visit::<L1>(&config(), &mem, from, 7, &mut |entry| chunks.push(entry));
        }
        assert_eq!(chunks, whole);
    }

    #[test]
    fn an_unreadable_table_is_a_run_of_unreadable_entries() {
        let mut mem = Words::default();
        mem.add(ROOT, 0x1000);
        mem.set(ROOT, 0x66_6000 | 3);
        let mut unreadable = 0;
        visit::<L1>(&config(), &mem, 0, usize::MAX, &mut |entry| {
            if entry.kind == EntryKind::Unreadable {
                assert_eq!((entry.level, entry.raw), (Level::TWO, 0));
                unreadable += 1;
            }
        });
        assert_eq!(unreadable, 512);
    }

    #[test]
    fn an_address_beyond_the_end_has_no_entries() {
        let mem = Words::default();
        for from in [1 << 32, u64::MAX] {
            assert_eq!(visit::<L1>(&config(), &mem, from, 5, &mut |_| panic!("no entry")), None);
        }
    }
}
