//! What L1 invalidated, and when shadow leaves were made: short memories, to judge by.
//!
//! A shadow leaf that no longer agrees with L1's tables is legal until L1 invalidates it. Whether one that is found so
//! is L1's mistake, ours, or nobody's, depends on the order of two events: the leaf was made, and a TLBI covered it. So
//! the last of each are kept in two rings, with the numbers of the pool's events. A TLBI has its number from before its
//! first shadow was locked, a leaf from while its shadow was: a leaf with a lower number was there when the TLBI came
//! to that shadow. Noting either is a few stores. Memory is the caller's
//! ([`ShadowPool::keep_history`](crate::ShadowPool::keep_history)); without any, nothing is kept and [`Past::Unknown`]
//! is the answer to everything.

use crate::{
    compose::NewLeaf,
    lock::{Lock, Locks},
    pool::ShadowPool,
    slot::SlotId,
    tlbi::InvalidationStats,
};
use core::{
    ops::{Range, RangeInclusive},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use vmsa::{Granule, Level};

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

/// A leaf that was put into a shadow, to be remembered.
#[derive(Debug, Default)]
pub struct Fill {
    event: AtomicU64,
    /// Page number, level, slot, and the lower bits of the event.
    leaf: AtomicU64,
}

impl Fill {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            event: AtomicU64::new(0),
            leaf: AtomicU64::new(0),
        }
    }
}

const PAGE_SHIFT: u32 = 12;
const PAGE_BITS: u32 = 36;
const LEVEL_SHIFT: u32 = PAGE_BITS;
const SLOT_SHIFT: u32 = 40;
const EVENT_SHIFT: u32 = 48;

/// [`Fill`] as it was noted.
#[derive(Clone, Copy)]
struct Noted {
    event: u64,
    leaf: u64,
}

impl Noted {
    fn is_of(self, slot: SlotId, range: &Range<u64>) -> bool {
        let start = (self.leaf & ((1 << PAGE_BITS) - 1)) << PAGE_SHIFT;
        let level = Level::new((self.leaf >> LEVEL_SHIFT & 3) as i8);
        let size = level.map_or(0, |level| Granule::K4.entry_bytes(level));
        let number = (self.leaf >> SLOT_SHIFT & 0xff) as u16;
        number == slot.number() && start <= range.start && range.end <= start + size
    }
}

/// The last leaves that were put into shadows, each at the place that its event's number says.
///
/// CPUs note them without waiting for each other.
#[derive(Debug)]
pub(crate) struct Fills(&'static [Fill]);

impl Fills {
    pub(crate) const fn empty() -> Self {
        Self(&[])
    }

    fn at(&self, event: u64) -> Option<&Fill> {
        self.0.get(event as usize & self.0.len().wrapping_sub(1))
    }

    /// At `event`, `leaf` was put into `slot`.
    #[inline(always)]
    pub(crate) fn note(&self, event: u64, slot: SlotId, leaf: &NewLeaf) {
        if let Some(fill) = self.at(event) {
            let page = leaf.ia.bits() >> PAGE_SHIFT;
            let rest = (leaf.level.index() as u64) << LEVEL_SHIFT | u64::from(slot.number()) << SLOT_SHIFT;
            fill.event.store(event, Relaxed);
            fill.leaf.store(page | rest | event << EVENT_SHIFT, Relaxed);
        }
    }

    /// The events up to `last` that are remembered.
    fn kept(&self, last: u64) -> RangeInclusive<u64> {
        last.saturating_sub(self.0.len() as u64) + 1..=last
    }

    /// From the latest to the oldest, up to event `last`. One whose two words were written by two CPUs, as when one of them
    /// slept while all others were noted, is none.
    fn latest_first(&self, last: u64) -> impl Iterator<Item = Noted> {
        self.kept(last).rev().filter_map(|event| {
            let fill = self.at(event)?;
            let leaf = fill.leaf.load(Relaxed);
            let is_of_it = fill.event.load(Relaxed) == event && leaf >> EVENT_SHIFT == event & 0xffff;
            is_of_it.then_some(Noted { event, leaf })
        })
    }

    /// When the leaf of `slot` at `range` was made: after an event, and before another if that is not all of it.
    fn made(&self, slot: SlotId, range: &Range<u64>, last: u64) -> Made {
        // A piece of a block that was split since is as old as the block.
        match self.latest_first(last).find(|fill| fill.is_of(slot, range)) {
            Some(fill) => Made::At(fill.event),
            None if *self.kept(last).start() > 1 && !self.0.is_empty() => Made::Before(*self.kept(last).start()),
            // All there ever was is remembered, but not this.
            None => Made::Unknown,
        }
    }
}

/// The last values of a kind.
#[derive(Debug)]
pub(crate) struct Ring<T: 'static> {
    values: &'static mut [T],
    /// Where the next one goes.
    next: usize,
    is_full: bool,
}

impl<T: Copy> Ring<T> {
    pub(crate) const fn empty() -> Self {
        Self {
            values: &mut [],
            next: 0,
            is_full: false,
        }
    }

    // In line, so that the fields are stored one by one where they are to be.
    #[inline(always)]
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

    pub(crate) fn forget(&mut self) {
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

/// When a leaf was made.
#[derive(Clone, Copy)]
enum Made {
    At(u64),
    /// Before that event.
    Before(u64),
    Unknown,
}

impl<L: Locks, const N: usize> ShadowPool<L, N> {
    /// Remembers as many TLBIs and leaves as there is room for in these.
    ///
    /// # Panics
    ///
    /// If the room for leaves is not for a power of two of them.
    pub fn keep_history(&mut self, tlbis: &'static mut [Tlbi], fills: &'static [Fill]) {
        assert!(
            fills.is_empty() || fills.len().is_power_of_two(),
            "a place is found by masking"
        );
        self.tlbis.lock().values = tlbis;
        self.fills = Fills(fills);
    }

    /// The number of a TLBI that begins now. What it covers and is older has to go; [`note_tlbi`](Self::note_tlbi) says so
    /// to those who look.
    pub fn begin_tlbi(&self) -> u64 {
        self.event()
    }

    /// [`note_tlbi`](Self::note_tlbi) where it is not hot.
    #[inline(never)]
    pub fn note_tlbi_in_few_bytes(&self, tlbi: &Tlbi) {
        self.note_tlbi(tlbi);
    }

    /// Notes a TLBI of L1's that has just been done on the shadows.
    #[inline(always)]
    pub fn note_tlbi(&self, tlbi: &Tlbi) {
        self.tlbis.lock().push(*tlbi);
    }

    /// The latest TLBI with a lower number than `event`. Two that were done at the same time may be remembered in either
    /// order.
    pub fn tlbi_before(&self, event: u64) -> Option<Tlbi> {
        let tlbis = self.tlbis.lock();
        let before = tlbis.latest_first().filter(|tlbi| tlbi.event < event);
        before.max_by_key(|tlbi| tlbi.event)
    }

    /// What is known of the leaf of `slot`, the shadow of a guest with `vmid`, that maps `range`.
    #[must_use]
    pub fn past_of(&self, slot: SlotId, vmid: u16, range: &Range<u64>) -> Past {
        let tlbis = self.tlbis.lock();
        let made = self.fills.made(slot, range, self.last_event());
        let covering = tlbis.latest_first().find(|tlbi| tlbi.covers(vmid, range));
        let elsewhere = |since: u64| {
            tlbis
                .latest_first()
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
        testing::{AF, BLOCK, GuestTables, K4, ShadowPool, World, touch},
    };
    use std::{boxed::Box, vec, vec::Vec};
    use vmsa::Ipa;

    const IPA: u64 = 0x4000_0000;
    const BLOCK_RANGE: Range<u64> = IPA..IPA + (2 << 20);

    fn pool(tlbis: usize, fills: usize) -> ShadowPool<3> {
        let mut pool = ShadowPool::new();
        pool.keep_history(
            Box::leak(vec![Tlbi::default(); tlbis].into_boxed_slice()),
            Box::leak((0..fills).map(|_| Fill::default()).collect()),
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
        let pool = pool(tlbis, fills);
        let slot = pool.acquire(tables.key(), &mut world).unwrap().0;
        touch(&pool, slot, IPA, Access::Read, &mut world);
        (world, pool, tables, slot)
    }

    fn tlbis(pool: &ShadowPool<3>) -> Vec<Tlbi> {
        let next = |before: &Tlbi| pool.tlbi_before(before.event);
        core::iter::successors(pool.tlbi_before(u64::MAX), next).collect()
    }

    /// A TLBI of stage 2 that did `stats`.
    fn done(event: u64, vmid: Option<u16>, stats: InvalidationStats) -> Tlbi {
        Tlbi {
            event,
            vmid,
            is_stage2: true,
            stats,
            ..Tlbi::default()
        }
    }

    /// L1 invalidates an IPA under a VMID.
    fn tlbi(pool: &ShadowPool<3>, vmid: u16, ipa: u64, world: &mut World) -> Tlbi {
        let event = pool.begin_tlbi();
        let stats = pool.invalidate_ipa(vmid, Ipa::new(ipa), None, world);
        pool.note_tlbi(&done(event, Some(vmid), stats));
        pool.tlbi_before(u64::MAX).unwrap()
    }

    #[test]
    fn the_latest_are_kept_in_their_order() {
        let (mut world, pool, ..) = setup(3, 1);
        assert_eq!(tlbis(&pool).len(), 0);
        for ipa in 1..=5 {
            tlbi(&pool, 9, ipa << 12, &mut world);
        }
        let starts: Vec<u64> = tlbis(&pool).iter().map(|tlbi| tlbi.stats.start).collect();
        assert_eq!(starts, [0x5000, 0x4000, 0x3000]);
    }

    #[test]
    fn a_leaf_made_after_the_last_tlbi_was_not_invalidated() {
        let (mut world, pool, _, slot) = setup(8, 8);
        let nothing = Past::NotInvalidated {
            before: None,
            elsewhere: None,
        };
        assert_eq!(pool.past_of(slot, 7, &BLOCK_RANGE), nothing);
        let before = tlbi(&pool, 7, IPA, &mut world);
        touch(&pool, slot, IPA, Access::Read, &mut world);
        let expected = Past::NotInvalidated {
            before: Some(before),
            elsewhere: None,
        };
        assert_eq!(pool.past_of(slot, 7, &BLOCK_RANGE), expected);
    }

    #[test]
    fn a_tlbi_under_another_vmid_is_told() {
        let (mut world, pool, _, slot) = setup(8, 8);
        let wrong = tlbi(&pool, 9, IPA, &mut world);
        let expected = Past::NotInvalidated {
            before: None,
            elsewhere: Some(wrong),
        };
        assert_eq!(pool.past_of(slot, 7, &BLOCK_RANGE), expected);
    }

    #[test]
    fn a_leaf_that_a_tlbi_left_is_one_that_survived() {
        let (_, pool, _, slot) = setup(8, 8);
        // As if it had been done, with nothing removed.
        let stats = InvalidationStats {
            start: IPA,
            end: IPA + 0x1000,
            ..InvalidationStats::default()
        };
        pool.note_tlbi(&done(pool.begin_tlbi(), Some(7), stats));
        assert!(matches!(pool.past_of(slot, 7, &BLOCK_RANGE), Past::Survived(_)));
    }

    #[test]
    fn a_leaf_older_than_all_fills_that_are_remembered_is_judged_by_the_oldest() {
        let (mut world, pool, _, slot) = setup(8, 2);
        for block in 1..4 {
            touch(&pool, slot, IPA + (block << 21), Access::Read, &mut world);
        }
        assert_eq!(pool.past_of(slot, 7, &BLOCK_RANGE), Past::Unknown);
        let stats = InvalidationStats {
            end: u64::MAX,
            ..InvalidationStats::default()
        };
        pool.note_tlbi(&done(pool.begin_tlbi(), None, stats));
        assert!(matches!(pool.past_of(slot, 7, &BLOCK_RANGE), Past::Survived(_)));
    }

    #[test]
    fn stage_1_maintenance_covers_no_leaf() {
        let (_, pool, _, slot) = setup(8, 8);
        let stats = InvalidationStats {
            end: u64::MAX,
            ..InvalidationStats::default()
        };
        pool.note_tlbi(&Tlbi {
            is_stage2: false,
            ..done(pool.begin_tlbi(), Some(7), stats)
        });
        assert!(!matches!(pool.past_of(slot, 7, &BLOCK_RANGE), Past::Survived(_)));
    }

    #[test]
    fn without_memory_nothing_is_known() {
        let (mut world, pool, _, slot) = setup(0, 0);
        let stats = pool.invalidate_ipa(7, Ipa::new(0), None, &mut world);
        pool.note_tlbi(&done(pool.begin_tlbi(), Some(7), stats));
        assert_eq!(tlbis(&pool).len(), 0);
        assert_eq!(pool.past_of(slot, 7, &BLOCK_RANGE), Past::Unknown);
    }
}
