//! The shadows, which of them is whose, and who may touch them when.
//!
//! A slot once made keeps its root page and its physical VMID until it is given up, so a CPU
//! that runs on a slot may keep using its `VTTBR_EL2` value while its contents come and go. What a
//! CPU has loaded it holds a reference to; only unreferenced slots are given to another key, the
//! least recently used first. Contents are expendable at any time: they are faulted in again.
//!
//! Each slot has a lock, and nearly everything needs one slot: a fault, a TLBI on one shadow after the
//! other, a look at it. So CPUs that run different guests do not wait for each other. A slot gets a shadow, loses it or
//! changes hands under one more lock, `assigning`, so that no two get one for the same key: who has that one owns the
//! shadow that it has taken out of its slot, and tears it down with no slot locked. What concerns several shadows
//! at once, because writes are logged or pages lack, takes [all](ShadowPool::all) locks, in the order of [`Rank`].
//!
//! What holds a lock is bounded: a fault by the levels of two tables, an invalidation by a
//! [piece](vmsa::stage2::Stage2Table::unmap_piece) of the table, after which the lock is given back and taken anew.

use crate::{
    all::AllShadows,
    dirty::DirtyLog,
    env::ShadowEnv,
    history::{Fills, Ring, Tlbi},
    key::ShadowKey,
    lock::{Lock, Locks, Rank},
    slot::{Held, Shadow, Slot, SlotId},
    vmids::Vmids,
};
use core::{
    array, fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use vmsa::stage2::{OutOfTables, Stage2Table};

/// The physical VMID of slot 0, the others follow. 0 is left alone and 1 is L1's own.
pub const FIRST_VMID: u16 = 2;

/// Why there is no shadow to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcquireError {
    /// Every slot is referenced. Cannot happen with more slots than CPUs hold references.
    NoFreeSlot,
    /// No page for a root table, and no unreferenced shadow to take one from.
    OutOfTables,
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFreeSlot => f.write_str("every shadow is in use"),
            Self::OutOfTables => OutOfTables.fmt(f),
        }
    }
}

impl core::error::Error for AcquireError {}

/// Up to `N` shadows. `N` is at most 64.
// What faults use comes first, where an instruction reaches it.
#[repr(C)]
pub struct ShadowPool<L: Locks, const N: usize> {
    /// Whether there is a log of writes. Changes while all slots are locked.
    pub(crate) is_logging: AtomicBool,
    /// Numbers what is remembered.
    events: AtomicU64,
    pub(crate) fills: Fills,
    /// Numbers acquisitions.
    uses: AtomicU64,
    pub(crate) tlbis: L::Of<Ring<Tlbi>>,
    /// Held by who puts shadows into slots, or takes them out.
    pub(crate) assigning: L::Of<()>,
    /// Changes while all slots are locked.
    pub(crate) dirty: L::Of<Option<DirtyLog>>,
    /// The slots that have a shadow, by its VMID.
    pub(crate) vmids: Vmids,
    slots: [Slot<L>; N],
    /// Whether L1 has `FEAT_LPA2`.
    has_lpa2: bool,
}

impl<L: Locks, const N: usize> Default for ShadowPool<L, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Locks, const N: usize> ShadowPool<L, N> {
    /// An empty pool, which owns no pages.
    #[must_use]
    pub fn new() -> Self {
        const { assert!(N > 0 && N <= 64, "a word has a bit for each slot") };
        Self {
            slots: array::from_fn(|slot| Slot::vacant(SlotId(slot as u16))),
            vmids: Vmids::new(),
            uses: AtomicU64::new(0),
            events: AtomicU64::new(0),
            fills: Fills::empty(),
            tlbis: Lock::new(Ring::empty(), Rank::Tlbis),
            assigning: Lock::new((), Rank::Assigning),
            dirty: Lock::new(None, Rank::Log),
            is_logging: AtomicBool::new(false),
            has_lpa2: false,
        }
    }

    /// L1's tables may hold addresses of 52 bits.
    pub fn offer_lpa2(&mut self) {
        self.has_lpa2 = true;
    }

    /// All shadows, and nobody else has any of them, not even one that is in no slot.
    #[inline(never)]
    pub fn all(&self) -> AllShadows<'_, L, N> {
        AllShadows {
            _nobody_assigns: self.assigning.lock(),
            slots: self.slots.each_ref().map(Slot::lock),
            dirty: self.dirty.lock(),
            pool: self,
        }
    }

    /// The shadow for `key`, with one more reference, and its [`Shadow::vttbr`]. It may be new or recycled, then it is empty.
    ///
    /// # Errors
    ///
    /// [`AcquireError`]; nothing has changed but that an unreferenced shadow may have lost its
    /// contents.
    pub fn acquire(&self, key: ShadowKey, env: &mut impl ShadowEnv) -> Result<(SlotId, u64), AcquireError> {
        match self.acquire_existing(key) {
            Some(found) => Ok(found),
            None => self.assign(key, env),
        }
    }

    /// [`acquire`](Self::acquire), if there is a shadow for `key`.
    #[inline(never)]
    pub fn acquire_existing(&self, key: ShadowKey) -> Option<(SlotId, u64)> {
        let mut slots = self.vmids.slots(Some(key.vmid()));
        slots.find_map(|slot| Some((slot, self.acquire_in(self.slots.get(slot.index())?, key)?)))
    }

    /// [`acquire`](Self::acquire) of the shadow in `slot`, if that is the one for `key`, as when a vCPU runs the guest that
    /// it ran last. Gives [`Shadow::vttbr`].
    #[inline]
    pub fn acquire_again(&self, slot: SlotId, key: ShadowKey) -> Option<u64> {
        let slot = self.slots.get(slot.index())?;
        if slot.vttbr.load(Relaxed) != key.vttbr() {
            return None;
        }
        self.acquire_in(slot, key)
    }

    #[inline(always)]
    fn acquire_in(&self, slot: &Slot<L>, key: ShadowKey) -> Option<u64> {
        let mut held = slot.lock();
        let shadow = held.as_mut()?;
        if shadow.key != key {
            return None;
        }
        self.refer(slot, shadow);
        Some(shadow.vttbr())
    }

    /// Gives one reference back. The contents stay until the slot is needed for another key.
    #[inline]
    pub fn release(&self, slot: SlotId) {
        if let Some(slot) = self.slots.get(slot.index()) {
            slot.remove_user();
        }
    }

    /// The number of CPUs that run on `slot`.
    pub fn refs(&self, slot: SlotId) -> u32 {
        self.slots.get(slot.index()).map_or(0, Slot::users)
    }

    /// The slot, for as long as the result lives. To be given back before another one is locked.
    #[inline(always)]
    pub fn lock(&self, slot: SlotId) -> Option<Held<'_, L>> {
        Some(self.slots.get(slot.index())?.lock())
    }

    /// [`lock`](Self::lock) if nobody has it.
    pub fn try_lock(&self, slot: SlotId) -> Option<Held<'_, L>> {
        self.slots.get(slot.index())?.try_lock()
    }

    /// The numbers of all slots, with a shadow or without.
    pub fn slots() -> impl Iterator<Item = SlotId> {
        (0u16..).map(SlotId).take(N)
    }

    /// The number of slots.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// The locks of the slots, to count what CPUs have waited for them.
    pub fn locks(&self) -> impl Iterator<Item = &L::Of<Option<Shadow>>> {
        self.slots.iter().map(Slot::raw)
    }

    /// Finds or makes room for `key`: a vacant slot, else the least recently used unreferenced one. One slot is locked at
    /// a time, none that is in use, so those who run guests notice nothing.
    #[inline(never)]
    fn assign(&self, key: ShadowKey, env: &mut impl ShadowEnv) -> Result<(SlotId, u64), AcquireError> {
        let _others_wait = self.assigning.lock();
        if let Some(found) = self.acquire_existing(key) {
            return Ok(found);
        }
        loop {
            let (vacant, unused) = self.candidates();
            let created = match vacant {
                Some(slot) => self.create(slot, key, env),
                None => Err(AcquireError::NoFreeSlot),
            };
            let error = match created {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            // Between the look and the lock somebody may have begun to use it. Then somebody else has got on.
            if let Some(found) = self.recycle(unused.ok_or(error)?, key, env) {
                return Ok(found);
            }
        }
    }

    /// The first vacant slot, and the least recently used unreferenced one, as of when each was looked at.
    #[inline(never)]
    fn candidates(&self) -> (Option<SlotId>, Option<SlotId>) {
        let (mut vacant, mut unused) = (None, None);
        let mut oldest = u64::MAX;
        for slot in Self::slots().filter(|slot| self.refs(*slot) == 0) {
            match self.lock(slot).as_deref() {
                Some(None) => vacant = vacant.or(Some(slot)),
                Some(Some(shadow)) if shadow.last_use < oldest => (unused, oldest) = (Some(slot), shadow.last_use),
                _ => {}
            }
        }
        (vacant, unused)
    }

    /// A new shadow in the vacant `slot`.
    fn create(&self, slot: SlotId, key: ShadowKey, env: &mut impl ShadowEnv) -> Result<(SlotId, u64), AcquireError> {
        let table = Stage2Table::new(env).map_err(|OutOfTables| AcquireError::OutOfTables)?;
        Ok(self.put(slot, Shadow::new(key, table, FIRST_VMID + slot.number(), self.has_lpa2)))
    }

    /// Gives the shadow in `slot` to `key`, without its contents, if it is unreferenced.
    fn recycle(&self, slot: SlotId, key: ShadowKey, env: &mut impl ShadowEnv) -> Option<(SlotId, u64)> {
        let mut shadow = self.take(slot, self.lock(slot)?, |_| true)?;
        shadow.unmap_all(env);
        shadow.renew(key);
        Some(self.put(slot, shadow))
    }

    /// Takes the shadow in `slot` out, which the caller has locked, if it is unreferenced and `is_over`. The caller has locked
    /// `assigning`, too, and is its only owner then.
    pub(crate) fn take(
        &self,
        slot: SlotId,
        mut held: Held<'_, L>,
        is_over: impl FnOnce(&mut Shadow) -> bool,
    ) -> Option<Shadow> {
        let shadow = held.as_mut().filter(|_| self.refs(slot) == 0)?;
        if !is_over(shadow) {
            return None;
        }
        self.vmids.remove(shadow.guest_vmid, slot);
        held.take()
    }

    /// Puts a shadow into the vacant `slot`, for the caller to run on, who has locked `assigning`.
    #[inline(never)]
    fn put(&self, slot: SlotId, shadow: Shadow) -> (SlotId, u64) {
        let (vttbr, vmid) = (shadow.vttbr(), shadow.guest_vmid);
        if let Some(place) = self.slots.get(slot.index()) {
            let mut held = place.lock();
            place.vttbr.store(shadow.key.vttbr(), Relaxed);
            self.refer(place, held.insert(shadow));
            self.vmids.insert(vmid, slot);
        }
        (slot, vttbr)
    }

    /// One more CPU runs on `shadow`, which is locked.
    #[inline(always)]
    fn refer(&self, slot: &Slot<L>, shadow: &mut Shadow) {
        slot.add_user();
        shadow.idle_since = None;
        shadow.last_use = self.uses.fetch_add(1, Relaxed).wrapping_add(1);
    }

    /// Numbers an event. Events of one slot are in the order in which it was locked for them.
    #[inline(always)]
    pub(crate) fn event(&self) -> u64 {
        self.events.fetch_add(1, Relaxed).wrapping_add(1)
    }

    /// The last event there was.
    pub(crate) fn last_event(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Begins anew, with no shadow.
    pub(crate) fn forget(&self) {
        self.slots.iter().for_each(Slot::forget_users);
        self.vmids.clear();
        self.tlbis.lock().forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Access, FindError, Patience, find,
        testing::{IPA, ShadowPool, World, fill, guests, touch},
    };
    use std::{string::ToString, vec::Vec};
    use vmsa::Ipa;

    const PATIENCE: Patience = Patience {
        suspect_after: 1,
        drop_after: 1,
    };

    #[test]
    fn one_key_has_one_shadow() {
        let mut world = World::with_ram(100);
        let pool = ShadowPool::<4>::new();
        let guests = guests(2, &mut world);
        let first = pool.acquire(guests[0].key(), &mut world).unwrap().0;
        assert_eq!(
            pool.acquire(guests[0].key(), &mut world).map(|(slot, _)| slot),
            Ok(first)
        );
        assert_ne!(pool.acquire(guests[1].key(), &mut world).unwrap().0, first);
        assert_eq!(pool.refs(first), 2);
    }

    #[test]
    fn a_slot_is_used_again_only_by_its_key() {
        let mut world = World::with_ram(100);
        let pool = ShadowPool::<1>::new();
        let guests = guests(2, &mut world);
        let slot = pool.acquire(guests[0].key(), &mut world).unwrap().0;
        let used = pool.all().get(slot).unwrap().last_use();
        assert_eq!(pool.acquire_again(slot, guests[1].key()), None);
        assert_eq!(pool.refs(slot), 1);
        let vttbr = pool.all().get(slot).unwrap().vttbr();
        assert_eq!(pool.acquire_again(slot, guests[0].key()), Some(vttbr));
        let now = pool.with(slot, Shadow::last_use).unwrap();
        assert!(pool.refs(slot) == 2 && now > used);
        pool.release(slot);
        pool.release(slot);
        assert_eq!(
            pool.acquire(guests[1].key(), &mut world).map(|(slot, _)| slot),
            Ok(slot),
            "recycled"
        );
        assert_eq!(pool.acquire_again(slot, guests[0].key()), None);
    }

    #[test]
    fn each_shadow_has_a_vmid_of_its_own() {
        let mut world = World::with_ram(100);
        let pool = ShadowPool::<4>::new();
        for (guest, vmid) in guests(4, &mut world).iter().zip(FIRST_VMID..) {
            let slot = pool.acquire(guest.key(), &mut world).unwrap().0;
            let all = pool.all();
            let shadow = all.get(slot).unwrap();
            assert_eq!(shadow.vttbr() >> 48, u64::from(vmid));
            assert_eq!(shadow.vttbr() & 0xffff_ffff_ffff, shadow.table().root().bits());
        }
    }

    #[test]
    fn contents_outlive_the_last_reference() {
        let mut world = World::with_ram(100);
        let pool = ShadowPool::<2>::new();
        let guests = guests(1, &mut world);
        let slot = pool.acquire(guests[0].key(), &mut world).unwrap().0;
        fill(&pool, slot, &mut world);
        pool.release(slot);
        assert_eq!(
            pool.acquire(guests[0].key(), &mut world).map(|(slot, _)| slot),
            Ok(slot)
        );
        assert!(world.shadow_of(&pool, slot, IPA).is_some());
    }

    #[test]
    fn the_least_recently_used_unreferenced_shadow_is_recycled_empty() {
        let mut world = World::with_ram(100);
        let pool = ShadowPool::<3>::new();
        let guests = guests(5, &mut world);
        let slots: Vec<_> = (0..3)
            .map(|n| {
                let slot = pool.acquire(guests[n].key(), &mut world).unwrap().0;
                fill(&pool, slot, &mut world);
                slot
            })
            .collect();
        pool.release(slots[2]);
        pool.release(slots[1]);
        let recycled = pool.acquire(guests[3].key(), &mut world).unwrap().0;
        assert_eq!(recycled, slots[1]);
        assert!(world.shadow_of(&pool, recycled, IPA).is_none());
        world.assert_fresh(&pool);
        assert_eq!(
            pool.acquire(guests[4].key(), &mut world).map(|(slot, _)| slot),
            Ok(slots[2])
        );
        assert_eq!(pool.acquire(guests[1].key(), &mut world), Err(AcquireError::NoFreeSlot));
    }

    #[test]
    fn clearing_gives_every_page_back() {
        let mut world = World::with_ram(100);
        let pool = ShadowPool::<4>::new();
        for guest in guests(4, &mut world) {
            let slot = pool.acquire(guest.key(), &mut world).unwrap().0;
            fill(&pool, slot, &mut world);
        }
        assert_eq!(pool.all().table_pages(), 16);
        pool.all().clear(&mut world);
        assert_eq!(world.arena.used(), 0);
        assert_eq!(pool.all().iter().count(), 0);
        assert!(world.tlbs.values().all(vmsa::testing::Tlb::is_empty));
    }

    #[test]
    fn names_are_numbers_or_unique_prefixes() {
        let mut world = World::with_ram(100);
        let pool = ShadowPool::<4>::new();
        let guests = guests(3, &mut world);
        let slots: Vec<_> = guests
            .iter()
            .map(|guest| pool.acquire(guest.key(), &mut world).unwrap().0)
            .collect();
        let by_name = |name: &str| {
            let found = find(name, ShadowPool::<4>::slots(), |slot| pool.with(slot, Shadow::key));
            found.map(|(slot, _)| slot)
        };
        let name = guests[1].key().to_string();
        assert_eq!(by_name(&name), Ok(slots[1]));
        assert_eq!(by_name("0x0001"), Ok(slots[1]));
        assert_eq!(by_name("2"), Ok(slots[2]));
        assert_eq!(by_name("0x"), Err(FindError::Ambiguous));
        assert_eq!(by_name("3"), Err(FindError::NotFound));
        assert_eq!(by_name(""), Err(FindError::NotFound));
        assert_eq!(by_name(&(name + "x")), Err(FindError::NotFound));
    }

    #[test]
    #[should_panic(expected = "Slot(0) is taken after Some(Slot(1))")]
    fn locks_taken_out_of_order_are_found() {
        let pool = ShadowPool::<2>::new();
        let _second = pool.lock(SlotId(1));
        let _first = pool.lock(SlotId(0));
    }

    /// What would wait for ever in one thread does not wait at all.
    #[test]
    fn who_has_another_shadow_is_not_waited_for() {
        let mut world = World::with_ram(100);
        let pool = ShadowPool::<3>::new();
        let guests = guests(3, &mut world);
        let (held, _) = pool.acquire(guests[2].key(), &mut world).unwrap();
        let _busy = pool.lock(held);
        // The check of the order would say so before it came to waiting.
        let wait_free = |pool: &ShadowPool<3>, world: &mut World| {
            for guest in &guests[..2] {
                let (slot, _) = pool.acquire(guest.key(), world).unwrap();
                touch(pool, slot, IPA, Access::Read, world);
                pool.invalidate_ipa(guest.vmid, Ipa::new(IPA), None, world);
                pool.invalidate_vmid(guest.vmid, world);
                assert!(pool.acquire_again(slot, guest.key()).is_some());
                pool.release(slot);
                pool.release(slot);
            }
            pool.sweep(0, PATIENCE, world);
        };
        std::thread::scope(|scope| scope.spawn(|| wait_free(&pool, &mut world)).join()).unwrap();
    }
}
