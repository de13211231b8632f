//! Whether a shadow is a composition of the guest's own table with the host's.
//!
//! A dump in Linux's format has no output addresses, so this is what text can prove: wherever the
//! shadow maps something, the guest's table maps all of it, allows at least as much, and has
//! leaves at least as large; and where the guest's leaf is a block and the host has only blocks,
//! the shadow's is a block too. A page of the shadow that the guest does not map would be memory
//! that L2 still reaches after L1 took it away.

use std::fmt;

use crate::ptdump::{Dump, Leaf, Range};

/// A part of the shadow that the guest's table does not account for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The part of the shadow.
    pub shadow: Range,
    /// First address of that part for which `why` is true.
    pub address: u64,
    /// What is wrong there.
    pub why: Why,
}

/// How a shadow can differ from what the guest's table allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The guest maps nothing.
    NotMapped,
    /// The guest allows less.
    TooPermissive,
    /// The guest's leaf is smaller (level of it).
    TooLarge(u8),
    /// The guest's leaf is a block (level of it), and nothing keeps the shadow's from being one.
    Split(u8),
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shadow, address, .. } = self;
        write!(
            f,
            "shadow {:#x}-{:#x}, level {}: at {address:#x} ",
            shadow.start, shadow.end, shadow.level
        )?;
        match self.why {
            Why::NotMapped => f.write_str("the guest maps nothing"),
            Why::TooPermissive => f.write_str("the guest allows less"),
            Why::TooLarge(level) => write!(f, "the guest has leaves of level {level} only"),
            Why::Split(level) => write!(f, "the guest has a block of level {level}"),
        }
    }
}

/// Checks every mapped range of `shadow` against the guest's own table, for a host that maps all
/// of L1's RAM by leaves of at most `host_level`.
#[must_use]
pub fn disagreements(shadow: &Dump, guest: &Dump, host_level: u8) -> Vec<Disagreement> {
    shadow
        .mapped()
        .flat_map(|(range, leaf)| disagreements_in(range, leaf, guest, host_level))
        .collect()
}

fn disagreements_in(range: Range, leaf: Leaf, guest: &Dump, host_level: u8) -> Vec<Disagreement> {
    let mut found = Vec::new();
    let mut address = range.start;
    while address < range.end {
        let part = guest.at(address);
        let why = match part.map(|part| (part, part.leaf)) {
            Some((part, Some(guest_leaf))) => compare(range, leaf, part, guest_leaf, host_level),
            _ => Some(Why::NotMapped),
        };
        if let Some(why) = why {
            found.push(Disagreement {
                shadow: range,
                address,
                why,
            });
        }
        address = part.map_or(range.end, |part| part.end);
    }
    found
}

fn compare(range: Range, leaf: Leaf, guest: &Range, guest_leaf: Leaf, host_level: u8) -> Option<Why> {
    let largest = guest.level.max(host_level);
    if !guest_leaf.allows(&leaf) {
        Some(Why::TooPermissive)
    } else if range.level < guest.level {
        Some(Why::TooLarge(guest.level))
    } else if guest_leaf.is_block && range.level > largest {
        Some(Why::Split(guest.level))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: Leaf = Leaf {
        read: true,
        write: true,
        execute_el1: true,
        execute_el0: true,
        accessed: true,
        is_block: false,
    };

    fn page(start: u64, end: u64) -> Range {
        Range {
            start,
            end,
            level: 3,
            leaf: Some(LEAF),
        }
    }

    fn block(start: u64, end: u64) -> Range {
        let leaf = Leaf { is_block: true, ..LEAF };
        Range {
            start,
            end,
            level: 2,
            leaf: Some(leaf),
        }
    }

    fn whys(shadow: &[Range], guest: &[Range]) -> Vec<Why> {
        let dump = |ranges: &[Range]| Dump {
            ranges: ranges.to_vec(),
        };
        let found = disagreements(&dump(shadow), &dump(guest), 2);
        found.iter().map(|disagreement| disagreement.why).collect()
    }

    #[test]
    fn a_shadow_may_lag_behind_its_guest() {
        let guest = [block(0, 0x40_0000), page(0x40_0000, 0x60_0000)];
        assert_eq!(whys(&[], &guest), []);
        assert_eq!(whys(&[block(0, 0x20_0000), page(0x40_0000, 0x40_1000)], &guest), []);
        assert_eq!(whys(&guest, &guest), []);
    }

    #[test]
    fn a_shadow_never_outlives_the_guests_mapping() {
        assert_eq!(whys(&[page(0, 0x3000)], &[page(0, 0x2000)]), [Why::NotMapped]);
        let hole = Range {
            leaf: None,
            ..page(0x1000, 0x2000)
        };
        let guest = [page(0, 0x1000), hole, page(0x2000, 0x3000)];
        let [found] = disagreements(
            &Dump {
                ranges: vec![page(0, 0x3000)],
            },
            &Dump { ranges: guest.to_vec() },
            2,
        )[..] else {
            panic!("one hole is one disagreement")
        };
        assert_eq!((found.address, found.why), (0x1000, Why::NotMapped));
    }

    #[test]
    fn a_shadow_never_allows_more_than_the_guest() {
        let forbid: [fn(&mut Leaf); 4] = [
            |leaf| leaf.read = false,
            |leaf| leaf.write = false,
            |leaf| leaf.execute_el1 = false,
            |leaf| leaf.execute_el0 = false,
        ];
        for forbid in forbid {
            let mut less = LEAF;
            forbid(&mut less);
            let guest = Range {
                leaf: Some(less),
                ..page(0, 0x1000)
            };
            assert_eq!(whys(&[page(0, 0x1000)], &[guest]), [Why::TooPermissive]);
            assert_eq!(whys(&[guest], &[page(0, 0x1000)]), []);
        }
    }

    #[test]
    fn a_leaf_is_never_larger_than_the_guests() {
        assert_eq!(whys(&[block(0, 0x20_0000)], &[page(0, 0x20_0000)]), [Why::TooLarge(3)]);
    }

    #[test]
    fn a_block_stays_a_block_where_the_host_has_blocks() {
        assert_eq!(whys(&[page(0, 0x1000)], &[block(0, 0x20_0000)]), [Why::Split(2)]);
        let dump = |range| Dump { ranges: vec![range] };
        let found = disagreements(&dump(page(0, 0x1000)), &dump(block(0, 0x20_0000)), 3);
        assert_eq!(found, [], "a host made of pages splits every block");
    }
}
