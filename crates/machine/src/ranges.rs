//! Arithmetic on ranges of physical addresses: bytes, the end excluded.

use alloc::vec::Vec;
use core::ops::Range;

/// The page that devices and RAM are given to L1 in, in bytes.
pub const PAGE_BYTES: u64 = 4096;
/// Where physical addresses end: the firmware's tables translate 48 bits.
pub const ADDRESS_END: u64 = 1 << 48;

/// `bytes` from `start` on; `None` if that reaches beyond the address space.
#[must_use]
pub fn sized(start: u64, bytes: u64) -> Option<Range<u64>> {
    let end = start.checked_add(bytes).filter(|end| *end <= ADDRESS_END)?;
    Some(start..end)
}

/// Whether `a` and `b` have an address in common.
#[must_use]
pub fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start.max(b.start) < a.end.min(b.end)
}

/// Whether one of `banks` holds all of `range`.
#[must_use]
pub fn hold(banks: &[Range<u64>], range: &Range<u64>) -> bool {
    banks
        .iter()
        .any(|bank| bank.start <= range.start && range.end <= bank.end)
}

/// The whole pages that `range` reaches into, for ranges that [`sized`] lets pass.
#[must_use]
pub fn pages(range: &Range<u64>) -> Range<u64> {
    range.start & !(PAGE_BYTES - 1)..range.end.saturating_add(PAGE_BYTES - 1) & !(PAGE_BYTES - 1)
}

/// `ranges` in ascending order, without empty ones, and with those that touch made one.
#[must_use]
pub fn merge(ranges: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    merge_all(&mut ranges.into_iter())
}

/// [`merge`], compiled once.
fn merge_all(ranges: &mut dyn Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges.filter(|range| !range.is_empty()) {
        merged.insert(merged.partition_point(|before| before.start <= range.start), range);
    }
    merged.dedup_by(|next, range| {
        let touches = next.start <= range.end;
        if touches {
            range.end = range.end.max(next.end);
        }
        touches
    });
    merged
}

/// `ranges` less `holes`.
#[must_use]
pub fn without(ranges: &[Range<u64>], holes: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut rest = ranges.to_vec();
    for hole in holes.iter().filter(|hole| !hole.is_empty()) {
        let split = |range: Range<u64>| {
            let below = range.start..range.end.min(hole.start);
            let above = range.start.max(hole.end)..range.end;
            [below, above]
        };
        rest = rest
            .into_iter()
            .flat_map(split)
            .filter(|range| !range.is_empty())
            .collect();
    }
    rest
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use std::vec;

    use super::*;

    #[test]
    fn a_range_that_ends_beyond_the_address_space_is_none() {
        assert_eq!(sized(ADDRESS_END - 1, 1), Some(ADDRESS_END - 1..ADDRESS_END));
        assert_eq!(sized(ADDRESS_END - 1, 2), None);
        assert_eq!(sized(u64::MAX, 1), None);
        assert_eq!(sized(1, u64::MAX), None);
    }

    #[test]
    fn neighbours_do_not_overlap_and_are_merged() {
        assert!(!overlap(&(0..5), &(5..9)));
        assert!(overlap(&(0..6), &(5..9)));
        assert_eq!(merge([5..9, 0..5, 20..30]), vec![0..9, 20..30]);
    }

    #[test]
    fn an_empty_range_overlaps_nothing() {
        assert!(!overlap(&(5..5), &(0..9)));
    }

    #[test]
    fn a_range_inside_another_is_swallowed() {
        assert_eq!(merge([0..9, 2..3]), vec![0..9]);
    }

    #[test]
    fn pages_cover_the_range_and_no_page_more() {
        assert_eq!(pages(&(0x1200..0x1400)), 0x1000..0x2000);
        assert_eq!(pages(&(0x1000..0x2000)), 0x1000..0x2000);
        assert_eq!(pages(&(0xfff..0x1001)), 0..0x2000);
    }

    #[test]
    fn a_hole_in_the_middle_splits_a_range() {
        assert_eq!(without(&[0..100], &[40..60]), vec![0..40, 60..100]);
        assert_eq!(without(&[0..100], &[0..60]), vec![60..100]);
        assert_eq!(without(&[0..100], &[60..100]), vec![0..60]);
        assert_eq!(without(&[0..100], &[200..300]), vec![0..100]);
        assert_eq!(without(&[10..20], &[0..100]), vec![]);
    }

    fn few_ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        vec(
            (0_u64..64, 0_u64..16).prop_map(|(start, bytes)| start..start + bytes),
            0..6,
        )
    }

    proptest! {
        #[test]
        fn what_is_left_is_in_a_range_and_in_no_hole(ranges in few_ranges(), holes in few_ranges()) {
            let rest = without(&ranges, &holes);
            for address in 0..80 {
                let wanted = ranges.iter().any(|range| range.contains(&address))
                    && !holes.iter().any(|hole| hole.contains(&address));
                prop_assert_eq!(rest.iter().any(|range| range.contains(&address)), wanted);
            }
        }

        #[test]
        fn merging_keeps_every_address_and_leaves_gaps(ranges in few_ranges()) {
            let merged = merge(ranges.clone());
            for address in 0..80 {
                let wanted = ranges.iter().any(|range| range.contains(&address));
                prop_assert_eq!(merged.iter().any(|range| range.contains(&address)), wanted);
            }
            prop_assert!(merged.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
