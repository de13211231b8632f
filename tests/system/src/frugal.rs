//! How many pages a table needs at least for what it maps.

use std::collections::BTreeSet;

use crate::ptdump::Dump;

/// Pages of the smallest table with the leaves of `dump`, of 4 KiB granule from level 0: the root, and each table that a
/// leaf is in or below.
#[must_use]
pub fn fewest_tables(dump: &Dump) -> u64 {
    /// What a table of level 0 covers, and how much less one of the next level does.
    const ROOT_SHIFT: u8 = 48;
    const STRIDE: u8 = 9;
    let mut tables = BTreeSet::from([(0, 0)]);
    for (range, _) in dump.mapped() {
        for level in 0..=range.level {
            let shift = ROOT_SHIFT - STRIDE * level;
            let indices = range.start >> shift..=(range.end - 1) >> shift;
            tables.extend(indices.map(|index| (level, index)));
        }
    }
    tables.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ptdump::{Leaf, Range};

    const LEAF: Leaf = Leaf {
        read: true,
        write: false,
        execute_el1: false,
        execute_el0: false,
        accessed: true,
        is_block: false,
    };

    fn fewest(mapped: &[(u64, u64, u8)]) -> u64 {
        let range = |&(start, end, level): &(u64, u64, u8)| Range {
            start,
            end,
            level,
            leaf: Some(LEAF),
        };
        fewest_tables(&Dump {
            ranges: mapped.iter().map(range).collect(),
        })
    }

    #[test]
    fn each_table_counts_once() {
        assert_eq!(fewest(&[]), 1);
        assert_eq!(fewest(&[(0x4000_0000, 0x8000_0000, 1)]), 2);
        assert_eq!(
            fewest(&[(0x4000_0000, 0x4020_0000, 2), (0x4020_0000, 0x4020_1000, 3)]),
            4
        );
        assert_eq!(fewest(&[(0x401f_f000, 0x4020_1000, 3)]), 5, "two tables of level 3");
        assert_eq!(fewest(&[(0x3fe0_0000, 0x4020_0000, 2)]), 4, "two of level 2");
    }
}
