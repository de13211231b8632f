//! What L1 invalidated, and when shadow leaves were made: short memories, to judge by.
//!
//! A shadow leaf that no longer agrees with L1's tables is legal until L1 invalidates it. Whether one that is found so is
//! L1's mistake, ours, or nobody's, depends on the order of two events: the leaf was made, and a TLBI covered it. So the
//! last of each are kept in two rings, in the order of the pool's events. Noting one is a few stores under the lock that
//! is held anyway. Memory is the caller's ([`ShadowPool::keep_history`](crate::ShadowPool::keep_history)); without any,
//! nothing is kept and [`Past::Unknown`] is the answer to everything.

use crate::{pool::ShadowPool, slot::SlotId, tlbi::InvalidationStats};
use core::ops::Range;
use vmsa::{Ipa, L2};

/// An instruction of L1's, as the caller knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// When, in the caller's unit of time.
    pub time: u64,
    /// The CPU that executed it.
    pub cpu: u16,
    /// Which instruction; the caller's encoding.
    pub instruction: u16,
    /// Its operand.
    pub operand: u64,
}

/// A TLBI of L1's that was done on shadows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tlbi {
    /// Its number among the pool's events.
    pub event: u64,
    /// The instruction.
    pub origin: Origin,
    /// L1's VMID that it named; `None` for all.
    pub vmid: Option<u16>,
    /// Whether it ends translations of stage 2, and not only of stage 1.
    pub is_stage2: bool,
    /// What it did.
    pub stats: InvalidationStats,
}

impl Tlbi {
    /// Whether it ended what a guest with `vmid` had of `range`.
    #[must_use]
    pub fn covers(&self, vmid: u16, range: &Range<u64>) -> bool {
        self.vmid.is_none_or(|named| named == vmid) && self.reaches(range)
    }

    /// The same whatever the VMID.
    fn reaches(&self, range: &Range<u64>) -> bool {
        self.is_stage2 && self.stats.start < range.end && range.start < self.stats.end
    }
}

/// A leaf that was put into a shadow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    event: u64,
    slot: u16,
    ia: u64,
    size: u64,
}

/// The last values of a kind.
#[derive(Debug)]
struct Ring<T: 'static> {
    values: &'static mut [T],
    /// Where the next one goes.
    next: usize,
    is_full: bool,
}

impl<T: Copy> Ring<T> {
    const fn empty() -> Self {
        Self {
            values: &mut [],
            next: 0,
            is_full: false,
        }
    }

    fn push(&mut self, value: T) {
        let (at, len) = (self.next, self.values.len());
        if let Some(place) = self.values.get_mut(at) {
            *place = value;
            let next = at.wrapping_add(1);
            if next == len {
                self.next = 0;
                self.is_full = true;
            } else {
                self.next = next;
            }
        }
    }

    fn forget(&mut self) {
        self.next = 0;
        self.is_full = false;
    }

    /// From the latest to the oldest.
    fn latest_first(&self) -> impl Iterator<Item = T> {
        let (new, old) = self.values.split_at_checked(self.next).unwrap_or_default();
        let old = if self.is_full { old } else { &[] };
        new.iter().rev().chain(old.iter().rev()).copied()
    }
}

/// Both memories.
#[derive(Debug)]
pub(crate) struct History {
    tlbis: Ring<Tlbi>,
    fills: Ring<Fill>,
}

/// What is known of a leaf: whether L1 invalidated it since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// This TLBI covered it after it was made, and it is still there.
    Survived(Tlbi),
    /// No TLBI covered it since it was made.
    NotInvalidated {
        /// The last one that covered its addresses before, as far as memory goes.
        before: Option<Tlbi>,
        /// The last one since that would have covered it, but named another VMID.
        elsewhere: Option<Tlbi>,
    },
    /// It is older than what is remembered, and no TLBI that is remembered covered it.
    Unknown,
}

impl History {
    pub(crate) const fn empty() -> Self {
        Self {
            tlbis: Ring::empty(),
            fills: Ring::empty(),
        }
    }

    /// Events begin anew.
    pub(crate) fn forget(&mut self) {
        self.tlbis.forget();
        self.fills.forget();
    }

    #[inline]
    pub(crate) fn filled(&mut self, event: u64, slot: SlotId, ia: Ipa<L2>, size: u64) {
        self.fills.push(Fill {
            event,
            slot: slot.number(),
            ia: ia.bits(),
            size,
        });
    }

    /// When the leaf of `slot` at `range` was made: after an event, and before another if that is not all of it.
    fn made(&self, slot: SlotId, range: &Range<u64>) -> Made {
        let mut oldest = None;
        for fill in self.fills.latest_first() {
            // A piece of a block that was split since is as old as the block.
            let is_of = fill.slot == slot.number() && fill.ia <= range.start && range.end <= fill.ia + fill.size;
            if is_of {
                return Made::At(fill.event);
            }
            oldest = Some(fill.event);
        }
        match oldest {
            Some(event) if self.fills.is_full => Made::Before(event),
            // All there ever was is remembered, but not this.
            _ => Made::Unknown,
        }
    }
}

/// When a leaf was made.
#[derive(Clone, Copy)]
enum Made {
    At(u64),
    /// Before that event.
    Before(u64),
    Unknown,
}

impl<const N: usize> ShadowPool<N> {
    /// Remembers as many TLBIs and leaves as there is room for in these.
    pub fn keep_history(&mut self, tlbis: &'static mut [Tlbi], fills: &'static mut [Fill]) {
        self.history.tlbis.values = tlbis;
        self.history.fills.values = fills;
    }

    /// Notes a TLBI of L1's that has just been done on the shadows, under the same lock.
    pub fn note_tlbi(&mut self, origin: Origin, vmid: Option<u16>, is_stage2: bool, stats: InvalidationStats) {
        let event = self.tick();
        self.history.tlbis.push(Tlbi {
            event,
            origin,
            vmid,
            is_stage2,
            stats,
        });
    }

    /// The TLBIs of L1's that are remembered, the latest first.
    pub fn tlbis(&self) -> impl Iterator<Item = Tlbi> {
        self.history.tlbis.latest_first()
    }

    /// What is known of the leaf of `slot` that maps `range`.
    #[must_use]
    pub fn past_of(&self, slot: SlotId, range: &Range<u64>) -> Past {
        let Some(shadow) = self.get(slot) else {
            return Past::Unknown;
        };
        let vmid = shadow.key.vmid();
        let made = self.history.made(slot, range);
        let covering = self.tlbis().find(|tlbi| tlbi.covers(vmid, range));
        let elsewhere = |since: u64| {
            self.tlbis()
                .take_while(|tlbi| tlbi.event > since)
                .find(|tlbi| tlbi.reaches(range) && !tlbi.covers(vmid, range))
        };
        match (made, covering) {
            (Made::At(made), Some(tlbi)) if tlbi.event > made => Past::Survived(tlbi),
            (Made::Before(made), Some(tlbi)) if tlbi.event > made => Past::Survived(tlbi),
            (Made::At(made), before) => Past::NotInvalidated {
                before,
                elsewhere: elsewhere(made),
            },
            // It was made some time after that TLBI: it would have gone otherwise.
            (_, Some(tlbi)) => Past::NotInvalidated {
                before: Some(tlbi),
                elsewhere: elsewhere(tlbi.event),
            },
            (_, None) => Past::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Access,
        testing::{AF, BLOCK, GuestTables, K4, World, touch},
    };
    use std::{boxed::Box, vec, vec::Vec};
    use vmsa::Level;

    const IPA: u64 = 0x4000_0000;
    const BLOCK_RANGE: Range<u64> = IPA..IPA + (2 << 20);

    fn pool(tlbis: usize, fills: usize) -> ShadowPool<3> {
        let mut pool = ShadowPool::new();
        pool.keep_history(
            Box::leak(vec![Tlbi::default(); tlbis].into_boxed_slice()),
            Box::leak(vec![Fill::default(); fills].into_boxed_slice()),
        );
        pool
    }

    /// A pool with a guest of VMID 7 that has touched a 2 MiB block.
    fn setup(tlbis: usize, fills: usize) -> (World, ShadowPool<3>, GuestTables, SlotId) {
        let mut world = World::with_ram(100);
        let mut tables = GuestTables::new(K4, 7, 0x1000_0000, &mut world);
        for block in 0..8 {
            tables.map(IPA + (block << 21), 0x8000_0000, Level::TWO, BLOCK | AF, &mut world);
        }
        let mut pool = pool(tlbis, fills);
        let slot = pool.acquire(tables.key(), &mut world).unwrap();
        touch(&mut pool, slot, IPA, Access::Read, &mut world);
        (world, pool, tables, slot)
    }

    /// L1 invalidates an IPA under a VMID.
    fn tlbi(pool: &mut ShadowPool<3>, vmid: u16, ipa: u64, world: &mut World) -> Tlbi {
        let stats = pool.invalidate_ipa(vmid, Ipa::new(ipa), None, world);
        pool.note_tlbi(Origin::default(), Some(vmid), true, stats);
        pool.tlbis().next().unwrap()
    }

    #[test]
    fn the_latest_are_kept_in_their_order() {
        let (mut world, mut pool, ..) = setup(3, 1);
        assert_eq!(pool.tlbis().count(), 0);
        for ipa in 1..=5 {
            tlbi(&mut pool, 9, ipa << 12, &mut world);
        }
        let starts: Vec<u64> = pool.tlbis().map(|tlbi| tlbi.stats.start).collect();
        assert_eq!(starts, [0x5000, 0x4000, 0x3000]);
    }

    #[test]
    fn a_leaf_made_after_the_last_tlbi_was_not_invalidated() {
        let (mut world, mut pool, _, slot) = setup(8, 8);
        let nothing = Past::NotInvalidated {
            before: None,
            elsewhere: None,
        };
        assert_eq!(pool.past_of(slot, &BLOCK_RANGE), nothing);
        let before = tlbi(&mut pool, 7, IPA, &mut world);
        touch(&mut pool, slot, IPA, Access::Read, &mut world);
        let expected = Past::NotInvalidated {
            before: Some(before),
            elsewhere: None,
        };
        assert_eq!(pool.past_of(slot, &BLOCK_RANGE), expected);
    }

    #[test]
    fn a_tlbi_under_another_vmid_is_told() {
        let (mut world, mut pool, _, slot) = setup(8, 8);
        let wrong = tlbi(&mut pool, 9, IPA, &mut world);
        let expected = Past::NotInvalidated {
            before: None,
            elsewhere: Some(wrong),
        };
        assert_eq!(pool.past_of(slot, &BLOCK_RANGE), expected);
    }

    #[test]
    fn a_leaf_that_a_tlbi_left_is_one_that_survived() {
        let (_, mut pool, _, slot) = setup(8, 8);
        // As if it had been done, with nothing removed.
        let stats = InvalidationStats {
            start: IPA,
            end: IPA + 0x1000,
            ..InvalidationStats::default()
        };
        pool.note_tlbi(Origin::default(), Some(7), true, stats);
        assert!(matches!(pool.past_of(slot, &BLOCK_RANGE), Past::Survived(_)));
    }

    #[test]
    fn a_leaf_older_than_all_fills_that_are_remembered_is_judged_by_the_oldest() {
        let (mut world, mut pool, _, slot) = setup(8, 2);
        for block in 1..4 {
            touch(&mut pool, slot, IPA + (block << 21), Access::Read, &mut world);
        }
        assert_eq!(pool.past_of(slot, &BLOCK_RANGE), Past::Unknown);
        let stats = InvalidationStats {
            end: u64::MAX,
            ..InvalidationStats::default()
        };
        pool.note_tlbi(Origin::default(), None, true, stats);
        assert!(matches!(pool.past_of(slot, &BLOCK_RANGE), Past::Survived(_)));
    }

    #[test]
    fn stage_1_maintenance_covers_no_leaf() {
        let (_, mut pool, _, slot) = setup(8, 8);
        let stats = InvalidationStats {
            end: u64::MAX,
            ..InvalidationStats::default()
        };
        pool.note_tlbi(Origin::default(), Some(7), false, stats);
        assert!(!matches!(pool.past_of(slot, &BLOCK_RANGE), Past::Survived(_)));
    }

    #[test]
    fn without_memory_nothing_is_known() {
        let (mut world, mut pool, _, slot) = setup(0, 0);
        let stats = pool.invalidate_ipa(7, Ipa::new(0), None, &mut world);
        pool.note_tlbi(Origin::default(), Some(7), true, stats);
        assert_eq!(pool.tlbis().count(), 0);
        assert_eq!(pool.past_of(slot, &BLOCK_RANGE), Past::Unknown);
    }
}
