//! The shadows, which of them is whose, and what happens when there are not enough.
//!
//! A slot once made keeps its root page and its physical VMID until [`ShadowPool::clear`], so a CPU
//! that runs on a slot may keep using its `VTTBR_EL2` value while its contents come and go. What a
//! CPU has loaded it holds a reference to; only unreferenced slots are given to another key, the
//! least recently used first. Contents are expendable at any time: they are faulted in again.

use crate::{
    dirty::DirtyLog,
    env::{Scoped, ShadowEnv},
    history::History,
    key::ShadowKey,
    slot::{Shadow, SlotId},
    vmids::Vmids,
};
use core::fmt;
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

/// Why a name does not name a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindError {
    /// No shadow has this number or a name that begins so.
    NotFound,
    /// Several names begin so.
    Ambiguous,
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such shadow",
            Self::Ambiguous => "several shadows have names that begin so",
        })
    }
}

impl core::error::Error for FindError {}

/// Up to `N` shadows. `N` must leave room for the physical VMIDs, so be below 254 where these have
/// 8 bits.
pub struct ShadowPool<const N: usize> {
    pub(crate) slots: [Option<Shadow>; N],
    /// The slots that have a shadow, by its VMID.
    pub(crate) vmids: Vmids<N>,
    pub(crate) clock: u64,
    pub(crate) history: History,
    pub(crate) dirty: Option<DirtyLog>,
}

impl<const N: usize> Default for ShadowPool<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> ShadowPool<N> {
    /// An empty pool, which owns no pages.
    ///
    /// # Panics
    ///
    /// If `N` is 0 or there are not as many VMIDs; at compile time for a `static`.
    #[must_use]
    pub const fn new() -> Self {
        assert!(N > 0 && N <= (u16::MAX - FIRST_VMID) as usize, "each slot has a VMID");
        Self {
            slots: [const { None }; N],
            vmids: Vmids::new(),
            clock: 0,
            history: History::empty(),
            dirty: None,
        }
    }

    /// The shadow for `key`, with one more reference. It may be new or recycled, then it is empty.
    ///
    /// # Errors
    ///
    /// [`AcquireError`]; nothing has changed but that an unreferenced shadow may have lost its
    /// contents.
    pub fn acquire(&mut self, key: ShadowKey, env: &mut impl ShadowEnv) -> Result<SlotId, AcquireError> {
        let slot = match self.slot_of(key) {
            Some(slot) => slot,
            None => self.assign(key, env)?,
        };
        let now = self.tick();
        self.live_mut(slot).refer(now);
        Ok(slot)
    }

    /// [`acquire`](Self::acquire) of the shadow in `slot`, if that is the one for `key`, as when a vCPU runs the guest that
    /// it ran last. Gives [`vttbr`](Self::vttbr).
    #[inline]
    pub fn acquire_again(&mut self, slot: SlotId, key: ShadowKey) -> Option<u64> {
        let now = self.clock.wrapping_add(1);
        let shadow = self.slots.get_mut(slot.index())?.as_mut()?;
        if shadow.key != key {
            return None;
        }
        self.clock = now;
        shadow.refer(now);
        Some(shadow.vttbr())
    }

    /// Gives one reference back. The contents stay until the slot is needed for another key.
    ///
    /// # Panics
    ///
    /// If the pool has been cleared since the reference was taken.
    pub fn release(&mut self, slot: SlotId) {
        let shadow = self.live_mut(slot);
        debug_assert!(shadow.refs > 0, "a reference given back twice");
        shadow.refs = shadow.refs.wrapping_sub(1);
    }

    /// The value of the hardware's `VTTBR_EL2` to run on `slot`. It stays the same until
    /// [`clear`](Self::clear).
    ///
    /// # Panics
    ///
    /// If the pool has been cleared since the slot was acquired.
    #[must_use]
    pub fn vttbr(&self, slot: SlotId) -> u64 {
        self.live(slot).vttbr()
    }

    /// The shadow in `slot`, `None` if the pool has been cleared since.
    #[must_use]
    pub fn get(&self, slot: SlotId) -> Option<&Shadow> {
        self.slots.get(slot.index())?.as_ref()
    }

    /// All shadows, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (SlotId, &Shadow)> {
        (0u16..)
            .map(SlotId)
            .zip(&self.slots)
            .filter_map(|(slot, shadow)| Some((slot, shadow.as_ref()?)))
    }

    /// The shadow that a user means by `name`: the number in decimal, or the beginning of exactly
    /// one name.
    ///
    /// # Errors
    ///
    /// [`FindError`].
    pub fn find(&self, name: &str) -> Result<SlotId, FindError> {
        if let Ok(number) = name.parse() {
            let slot = SlotId(number);
            return self.get(slot).map(|_| slot).ok_or(FindError::NotFound);
        }
        let mut matching = self
            .iter()
            .filter(|(_, shadow)| !name.is_empty() && is_prefix(name, shadow.key));
        let (slot, _) = matching.next().ok_or(FindError::NotFound)?;
        match matching.next() {
            None => Ok(slot),
            Some(_) => Err(FindError::Ambiguous),
        }
    }

    /// The number of pages in all tables.
    #[must_use]
    pub fn table_pages(&self) -> u64 {
        self.iter().map(|(_, shadow)| shadow.table.table_pages()).sum()
    }

    /// Ends all shadows, referenced or not, and gives their pages back: for a reset of L1, when no
    /// CPU runs on one.
    pub fn clear(&mut self, env: &mut impl ShadowEnv) {
        self.end_log(env);
        for slot in &mut self.slots {
            if let Some(shadow) = slot.take() {
                let vttbr = shadow.vttbr();
                shadow.table.destroy(&mut Scoped { env: &mut *env, vttbr });
            }
        }
        self.vmids = Vmids::new();
        self.clock = 0;
        self.history.forget();
    }

    /// Numbers an event. There are not as many as there are numbers.
    pub(crate) fn tick(&mut self) -> u64 {
        self.clock = self.clock.wrapping_add(1);
        self.clock
    }

    /// The shadow for `key`, if there is one.
    #[must_use]
    pub fn slot_of(&self, key: ShadowKey) -> Option<SlotId> {
        let mut chain = self.vmids.chain(key.vmid());
        chain.find(|&slot| self.get(slot).is_some_and(|shadow| shadow.key == key))
    }

    /// Finds or makes room for `key`.
    fn assign(&mut self, key: ShadowKey, env: &mut impl ShadowEnv) -> Result<SlotId, AcquireError> {
        let vacant = (0u16..)
            .map(SlotId)
            .zip(&self.slots)
            .find(|(_, shadow)| shadow.is_none());
        let created = match vacant {
            Some((slot, _)) => self.create(slot, key, env),
            None => Err(AcquireError::NoFreeSlot),
        };
        match created {
            Ok(slot) => Ok(slot),
            Err(error) => self.recycle(key, env).ok_or(error),
        }
    }

    /// A new shadow in the vacant `slot`.
    fn create(&mut self, slot: SlotId, key: ShadowKey, env: &mut impl ShadowEnv) -> Result<SlotId, AcquireError> {
        let table = Stage2Table::new(env).map_err(|OutOfTables| AcquireError::OutOfTables)?;
        let vmid = FIRST_VMID + slot.number();
        self.slots[slot.index()] = Some(Shadow {
            key,
            table,
            refs: 0,
            last_use: 0,
            faults: 0,
            vmid,
            reading: None,
            idle_since: None,
        });
        self.vmids.insert(key.vmid(), slot);
        Ok(slot)
    }

    /// Gives the least recently used unreferenced shadow to `key`, without its contents.
    fn recycle(&mut self, key: ShadowKey, env: &mut impl ShadowEnv) -> Option<SlotId> {
        let (slot, _) = self
            .iter()
            .filter(|(_, shadow)| shadow.refs == 0)
            .min_by_key(|(_, shadow)| shadow.last_use)?;
        let shadow = self.live_mut(slot);
        shadow.unmap_all(env);
        let old = core::mem::replace(&mut shadow.key, key);
        shadow.faults = 0;
        shadow.reading = None;
        shadow.idle_since = None;
        self.vmids.remove(old.vmid(), slot);
        self.vmids.insert(key.vmid(), slot);
        Some(slot)
    }

    /// The shadow in a slot that the caller holds a reference to.
    #[expect(clippy::panic, reason = "a slot id that outlives its shadow is our own mistake")]
    pub(crate) fn live(&self, slot: SlotId) -> &Shadow {
        match self.get(slot) {
            Some(shadow) => shadow,
            None => panic!("no shadow in slot {slot}"),
        }
    }

    /// As [`live`](Self::live).
    #[expect(clippy::panic, reason = "a slot id that outlives its shadow is our own mistake")]
    pub(crate) fn live_mut(&mut self, slot: SlotId) -> &mut Shadow {
        match self.slots.get_mut(slot.index()).and_then(Option::as_mut) {
            Some(shadow) => shadow,
            None => panic!("no shadow in slot {slot}"),
        }
    }
}

/// Whether `key`'s name begins with `prefix`.
fn is_prefix(prefix: &str, key: ShadowKey) -> bool {
    /// What of the prefix has not been met yet; an error as soon as the name differs.
    struct Rest<'a>(&'a str);

    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            if let Some(rest) = self.0.strip_prefix(part) {
                self.0 = rest;
                return Ok(());
            }
            let is_end = part.starts_with(self.0);
            self.0 = "";
            if is_end { Ok(()) } else { Err(fmt::Error) }
        }
    }

    let mut rest = Rest(prefix);
    fmt::write(&mut rest, format_args!("{key}")).is_ok() && rest.0.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{IPA, World, fill, guests};
    use std::{string::ToString, vec::Vec};

    #[test]
    fn one_key_has_one_shadow() {
        let mut world = World::with_ram(100);
        let mut pool = ShadowPool::<4>::new();
        let guests = guests(2, &mut world);
        let first = pool.acquire(guests[0].key(), &mut world).unwrap();
        assert_eq!(pool.acquire(guests[0].key(), &mut world), Ok(first));
        assert_ne!(pool.acquire(guests[1].key(), &mut world), Ok(first));
        assert_eq!(pool.get(first).unwrap().refs(), 2);
    }

    #[test]
    fn a_slot_is_used_again_only_by_its_key() {
        let mut world = World::with_ram(100);
        let mut pool = ShadowPool::<1>::new();
        let guests = guests(2, &mut world);
        let slot = pool.acquire(guests[0].key(), &mut world).unwrap();
        let used = pool.get(slot).unwrap().last_use();
        assert_eq!(pool.acquire_again(slot, guests[1].key()), None);
        assert_eq!(pool.get(slot).unwrap().refs(), 1);
        let vttbr = pool.vttbr(slot);
        assert_eq!(pool.acquire_again(slot, guests[0].key()), Some(vttbr));
        let shadow = pool.get(slot).unwrap();
        assert!(shadow.refs() == 2 && shadow.last_use() > used);
        pool.release(slot);
        pool.release(slot);
        assert_eq!(pool.acquire(guests[1].key(), &mut world), Ok(slot), "recycled");
        assert_eq!(pool.acquire_again(slot, guests[0].key()), None);
    }

    #[test]
    fn each_shadow_has_a_vmid_of_its_own() {
        let mut world = World::with_ram(100);
        let mut pool = ShadowPool::<4>::new();
        for (guest, vmid) in guests(4, &mut world).iter().zip(FIRST_VMID..) {
            let slot = pool.acquire(guest.key(), &mut world).unwrap();
            assert_eq!(pool.vttbr(slot) >> 48, u64::from(vmid));
            assert_eq!(
                pool.vttbr(slot) & 0xffff_ffff_ffff,
                pool.get(slot).unwrap().table().root().bits()
            );
        }
    }

    #[test]
    fn contents_outlive_the_last_reference() {
        let mut world = World::with_ram(100);
        let mut pool = ShadowPool::<2>::new();
        let guests = guests(1, &mut world);
        let slot = pool.acquire(guests[0].key(), &mut world).unwrap();
        fill(&mut pool, slot, &mut world);
        pool.release(slot);
        assert_eq!(pool.acquire(guests[0].key(), &mut world), Ok(slot));
        assert!(world.shadow_of(&pool, slot, IPA).is_some());
    }

    #[test]
    fn the_least_recently_used_unreferenced_shadow_is_recycled_empty() {
        let mut world = World::with_ram(100);
        let mut pool = ShadowPool::<3>::new();
        let guests = guests(5, &mut world);
        let slots: Vec<_> = (0..3)
            .map(|n| {
                let slot = pool.acquire(guests[n].key(), &mut world).unwrap();
                fill(&mut pool, slot, &mut world);
                slot
            })
            .collect();
        pool.release(slots[2]);
        pool.release(slots[1]);
        let recycled = pool.acquire(guests[3].key(), &mut world).unwrap();
        assert_eq!(recycled, slots[1]);
        assert!(world.shadow_of(&pool, recycled, IPA).is_none());
        world.assert_fresh(&pool);
        assert_eq!(pool.acquire(guests[4].key(), &mut world), Ok(slots[2]));
        assert_eq!(pool.acquire(guests[1].key(), &mut world), Err(AcquireError::NoFreeSlot));
    }

    #[test]
    fn clearing_gives_every_page_back() {
        let mut world = World::with_ram(100);
        let mut pool = ShadowPool::<4>::new();
        for guest in guests(4, &mut world) {
            let slot = pool.acquire(guest.key(), &mut world).unwrap();
            fill(&mut pool, slot, &mut world);
        }
        assert_eq!(pool.table_pages(), 16);
        pool.clear(&mut world);
        assert_eq!(world.arena.used(), 0);
        assert_eq!(pool.iter().count(), 0);
        assert!(world.tlbs.values().all(vmsa::testing::Tlb::is_empty));
    }

    #[test]
    fn names_are_numbers_or_unique_prefixes() {
        let mut world = World::with_ram(100);
        let mut pool = ShadowPool::<4>::new();
        let guests = guests(3, &mut world);
        let slots: Vec<_> = guests
            .iter()
            .map(|guest| pool.acquire(guest.key(), &mut world).unwrap())
            .collect();
        let name = guests[1].key().to_string();
        assert_eq!(pool.find(&name), Ok(slots[1]));
        assert_eq!(pool.find("0x0001"), Ok(slots[1]));
        assert_eq!(pool.find("2"), Ok(slots[2]));
        assert_eq!(pool.find("0x"), Err(FindError::Ambiguous));
        assert_eq!(pool.find("3"), Err(FindError::NotFound));
        assert_eq!(pool.find(""), Err(FindError::NotFound));
        assert_eq!(pool.find(&(name + "x")), Err(FindError::NotFound));
    }
}
