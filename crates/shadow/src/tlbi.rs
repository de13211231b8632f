//! L1's TLB maintenance, done on the shadows.
//!
//! To L1 a shadow is a TLB that was filled from its stage 2. A TLBI of L1 names a VMID, and applies
//! to every shadow with that VMID, whatever its tables and whether stage 2 is on. How much it
//! covers is measured in L1's leaves, not ours: L1 invalidates a 1 GiB block by naming one address
//! in it, while the shadow may hold any number of pieces of it. The size comes from the TTL hint if
//! L1 gives one, else from the level noted in the shadow leaf, else it is the largest block there
//! is.

use crate::{
    env::ShadowEnv,
    key::ShadowKey,
    lock::Locks,
    pool::ShadowPool,
    slot::{EVERYTHING, Held, Shadow, SlotId},
    tlbi_operand::Ttl,
};
use core::ops::Range;
use vmsa::{EntryKind, Granule, Ipa, L2, Level, Phys, ReadTable, TableFormat, stage2::Stage2Desc};

/// What an invalidation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InvalidationStats {
    /// The shadows it applied to.
    pub shadows: u32,
    /// The same as a set, one bit for each number.
    pub slots: u64,
    /// The bytes that are no longer mapped.
    pub bytes: u64,
    /// The shadow leaves that mapped them.
    pub leaves: u64,
    /// The first address that it ended translations of, in all of the shadows.
    pub start: u64,
    /// The end of these.
    pub end: u64,
}

impl InvalidationStats {
    /// Before it is done, of something that is to cover `range` at least.
    const fn of(range: Range<u64>) -> Self {
        Self {
            shadows: 0,
            slots: 0,
            bytes: 0,
            leaves: 0,
            start: range.start,
            end: range.end,
        }
    }

    /// Adds that something was done to the shadow in `slot`.
    fn count(&mut self, slot: SlotId) {
        self.shadows = self.shadows.wrapping_add(1);
        self.slots |= 1 << slot.number();
    }

    /// Adds that `range` was unmapped in `slot`, and what that removed.
    #[inline(always)]
    fn add(&mut self, slot: SlotId, range: &Range<u64>, removed: Removed) {
        if self.shadows == 0 {
            (self.start, self.end) = (range.start, range.end);
        } else {
            (self.start, self.end) = (self.start.max(range.start), self.end.min(range.end));
        }
        self.count(slot);
        // There is not as much.
        self.bytes = self.bytes.wrapping_add(removed.bytes);
        self.leaves = self.leaves.wrapping_add(removed.leaves);
    }
}

/// What an invalidation is about.
#[derive(Clone, Debug)]
pub enum Reach {
    /// What was derived from the guest leaf around an address.
    Leaf(Ipa<L2>, Option<Ttl>),
    /// What was derived from guest leaves in a range.
    Range(Range<u64>),
    /// All of it.
    Everything,
}

impl Reach {
    /// What it covers at least.
    #[inline(always)]
    fn least(&self) -> Range<u64> {
        match self {
            Self::Leaf(ipa, ttl) => {
                let size = ttl.map_or(Granule::K4.bytes(), Ttl::bytes);
                let start = ipa.align_down(size).bits();
                start..start.wrapping_add(size)
            }
            Self::Range(range) => range.clone(),
            Self::Everything => EVERYTHING,
        }
    }

    /// What it covers in `shadow`.
    #[inline(always)]
    fn within(&self, shadow: &Shadow, mem: &impl ReadTable<Phys>) -> Range<u64> {
        match self {
            Self::Leaf(ipa, ttl) => {
                let size = match ttl {
                    Some(ttl) => ttl.bytes(),
                    None => guest_leaf_bytes(shadow, *ipa, mem).unwrap_or_else(|| largest_leaf_bytes(shadow)),
                };
                let start = ipa.align_down(size).bits();
                start..start.wrapping_add(size)
            }
            Self::Range(range) => widen(shadow, range, mem),
            Self::Everything => EVERYTHING,
        }
    }
}

/// What was mapped.
#[derive(Clone, Copy, Default)]
struct Removed {
    bytes: u64,
    leaves: u64,
}

impl Removed {
    /// Unmaps by `unmap` what it says of a shadow, or a piece of that. Says also where to go on.
    #[inline(always)]
    fn by(shadow: &mut Shadow, unmap: impl FnOnce(&mut Shadow) -> (u64, Option<u64>)) -> (Self, Option<u64>) {
        // Each leaf that goes is one change.
        let before = shadow.table.generation();
        let (bytes, next) = unmap(shadow);
        let leaves = shadow.table.generation().wrapping_sub(before);
        (Self { bytes, leaves }, next)
    }

    fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            leaves: self.leaves + other.leaves,
        }
    }
}

impl<L: Locks, const N: usize> ShadowPool<L, N> {
    /// `TLBI IPAS2E1` and its variants: ends what was derived from the guest leaf around `ipa`.
    pub fn invalidate_ipa(
        &self,
        vmid: u16,
        ipa: Ipa<L2>,
        ttl: Option<Ttl>,
        env: &mut impl ShadowEnv,
    ) -> InvalidationStats {
        self.invalidate(Some(vmid), &Reach::Leaf(ipa, ttl), env)
    }

    /// `TLBI RIPAS2E1` and its variants: ends what was derived from guest leaves in the `size`
    /// bytes from `base`.
    ///
    /// Where a guest leaf that is known to reach across an end of the range, all of it goes.
    pub fn invalidate_range(&self, vmid: u16, base: Ipa<L2>, size: u64, env: &mut impl ShadowEnv) -> InvalidationStats {
        let end = base.bits().saturating_add(size);
        self.invalidate(Some(vmid), &Reach::Range(base.bits()..end), env)
    }

    /// `TLBI VMALLS12E1` and its variants.
    pub fn invalidate_vmid(&self, vmid: u16, env: &mut impl ShadowEnv) -> InvalidationStats {
        self.invalidate(Some(vmid), &Reach::Everything, env)
    }

    /// `TLBI ALLE1` and its variants; also for any change of the host stage 2, since there is no
    /// reverse map.
    pub fn invalidate_all(&self, env: &mut impl ShadowEnv) -> InvalidationStats {
        self.invalidate(None, &Reach::Everything, env)
    }

    /// Throws away what `slot` maps of the `size` bytes from `ia`. It refaults.
    pub fn drop_range(&self, slot: SlotId, ia: Ipa<L2>, size: u64, env: &mut impl ShadowEnv) -> u64 {
        let end = ia.bits().saturating_add(size);
        self.with(slot, Shadow::key)
            .map_or(0, |key| self.unmap_rest(slot, key, ia.bits()..end, env).bytes)
    }

    /// Does `maintenance`, which is given the physical `VTTBR_EL2`, once for each shadow with L1's `vmid`: what
    /// stage-1 TLB maintenance by L1 is.
    pub fn for_each_vttbr(&self, vmid: u16, maintenance: impl Fn(u64)) -> InvalidationStats {
        let mut stats = InvalidationStats::default();
        self.for_each(Some(vmid), |slot, held| {
            if let Some(shadow) = held.as_ref() {
                maintenance(shadow.vttbr());
                stats.count(slot);
            }
        });
        stats
    }

    /// Unmaps what `reach` says from all shadows, or those of one VMID.
    ///
    /// A shadow that has much of it is unlocked between two pieces. What is put into it meanwhile was read from L1's tables
    /// after the TLBI began, so it may stay.
    #[inline(always)]
    pub fn invalidate(&self, vmid: Option<u16>, reach: &Reach, env: &mut impl ShadowEnv) -> InvalidationStats {
        let mut stats = InvalidationStats::of(reach.least());
        self.for_each(vmid, |slot, mut held| {
            let Some(shadow) = held.as_mut() else { return };
            let range = reach.within(shadow, env);
            let (mut removed, next) = Removed::by(shadow, |shadow| shadow.unmap_piece_in_line(&range, env));
            if let Some(next) = next {
                let key = shadow.key;
                drop(held);
                removed = removed.and(self.unmap_rest(slot, key, next..range.end, env));
            }
            stats.add(slot, &range, removed);
        });
        stats
    }

    /// All shadows, or those with L1's `vmid`, each locked when it is its turn.
    #[inline(always)]
    fn for_each(&self, vmid: Option<u16>, mut f: impl FnMut(SlotId, Held<'_, L>)) {
        for slot in self.vmids.slots(vmid) {
            if let Some(held) = self.lock(slot)
                && let Some(shadow) = held.as_ref()
                && vmid.is_none_or(|vmid| shadow.guest_vmid == vmid)
            {
                f(slot, held);
            }
        }
    }

    /// Goes on where one hold of the lock ended, if the shadow is still that of `key`: if not, its owner has emptied it.
    #[cold]
    #[inline(never)]
    fn unmap_rest(&self, slot: SlotId, key: ShadowKey, rest: Range<u64>, env: &mut impl ShadowEnv) -> Removed {
        let (mut next, end) = (Some(rest.start), rest.end);
        let mut removed = Removed::default();
        while let Some(from) = next {
            let Some(mut held) = self.lock(slot) else { break };
            let Some(shadow) = held.as_mut().filter(|shadow| shadow.key == key) else {
                break;
            };
            let piece;
            (piece, next) = Removed::by(shadow, |shadow| shadow.unmap_piece(&(from..end), env));
            removed = removed.and(piece);
            if next.is_none() && end == EVERYTHING.end {
                // What stage 1 alone was cached for goes with everything.
                env.invalidate_vmid(shadow.vttbr());
            }
        }
        removed
    }
}

/// The size of the guest leaf that the shadow's leaf at `ipa` was made from, `None` if there is no
/// leaf.
fn guest_leaf_bytes(shadow: &Shadow, ipa: Ipa<L2>, mem: &impl ReadTable<Phys>) -> Option<u64> {
    bytes_of(shadow.guest_format(), shadow.table.tag_at(ipa, mem)?)
}

/// The size of a guest leaf of the level that a shadow leaf has noted.
fn bytes_of(format: TableFormat, tag: u8) -> Option<u64> {
    let level = Level::new(i8::try_from(tag).ok()?)?;
    format.has_leaf_at(level).then(|| format.granule.entry_bytes(level))
}

/// The size of the largest leaf that a guest's tables can have.
fn largest_leaf_bytes(shadow: &Shadow) -> u64 {
    let format = shadow.guest_format();
    let level = format.block_levels().next().unwrap_or(Level::ONE);
    format.granule.entry_bytes(level)
}

/// The size of the guest leaf around `ia`, if the shadow maps any of it. If it does not map `ia`, what else it maps of a
/// block tells: all of that is from one guest leaf if any of it is.
fn known_leaf_bytes(shadow: &Shadow, ia: u64, mem: &impl ReadTable<Phys>) -> Option<u64> {
    let format = shadow.guest_format();
    guest_leaf_bytes(shadow, Ipa::new(ia), mem).or_else(|| {
        let mut sizes = format.block_levels().map(|level| format.granule.entry_bytes(level));
        sizes.find(|size| {
            let tag = first_tag(shadow, ia & !(size - 1), *size, mem);
            tag.and_then(|tag| bytes_of(format, tag)) == Some(*size)
        })
    })
}

/// The tag of the first leaf in the block of `size` bytes at `start`. Tables in which there is nothing do not stay, so that
/// is a table of holes at most, and one below it.
fn first_tag(shadow: &Shadow, start: u64, size: u64, mem: &impl ReadTable<Phys>) -> Option<u8> {
    const CHUNK: usize = 16;
    let (mut found, mut next) = (None, Some(start));
    while let Some(from) = next.filter(|from| found.is_none() && from - start < size) {
        next = shadow.visit(mem, from, CHUNK, &mut |entry| {
            if entry.kind == EntryKind::Leaf && entry.ia < start + size {
                found.get_or_insert(Stage2Desc::from_raw(entry.raw).tag());
            }
        });
    }
    found
}

/// `range`, widened by the rest of the guest leaves at its ends.
#[inline(never)]
fn widen(shadow: &Shadow, range: &Range<u64>, mem: &impl ReadTable<Phys>) -> Range<u64> {
    let mut widened = range.clone();
    for ia in [range.start, range.end.saturating_sub(1)] {
        if let Some(size) = known_leaf_bytes(shadow, ia, mem) {
            let start = ia & !(size - 1);
            widened = widened.start.min(start)..widened.end.max(start + size);
        }
    }
    widened
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Access, FaultAction, ShadowKey,
        testing::{BLOCK, GuestTables, K4, ShadowPool, World, touch},
    };
    use vmsa::stage2::Stage2Attrs;

    const ROOT: u64 = 0x1000_0000;
    const BASE: u64 = 0x4000_0000;
    const GIB: u64 = 1 << 30;

    /// A guest whose 1 GiB block lies on host pages of 4 KiB, with the first, second and last page
    /// touched.
    fn with_fractured_block() -> (World, ShadowPool<3>, SlotId) {
        let mut world = World::new(100);
        for page in [0, 0x1000, GIB - 0x1000] {
            let at = 0x8000_0000 + page;
            world.map_host_leaf(at, at, Level::THREE, &Stage2Attrs::RAM);
        }
        let mut tables = GuestTables::new(K4, 7, ROOT, &mut world);
        tables.map(BASE, 0x8000_0000, Level::ONE, BLOCK, &mut world);
        let pool = ShadowPool::new();
        let slot = pool.acquire(tables.key(), &mut world).unwrap().0;
        for page in [0, 0x1000, GIB - 0x1000] {
            let action = touch(&pool, slot, BASE + page, Access::Read, &mut world);
            assert_eq!(action, FaultAction::Retry);
        }
        world.fill_tlbs(&pool);
        (world, pool, slot)
    }

    #[test]
    fn without_a_hint_the_noted_level_tells_the_size() {
        let (mut world, pool, _) = with_fractured_block();
        let stats = pool.invalidate_ipa(7, Ipa::new(BASE + 0x1000), None, &mut world);
        assert_eq!(
            stats,
            InvalidationStats {
                shadows: 1,
                slots: 1,
                bytes: 0x3000,
                leaves: 3,
                start: BASE,
                end: BASE + GIB,
            }
        );
        world.assert_fresh(&pool);
    }

    #[test]
    fn without_a_hint_and_without_an_entry_it_is_the_largest_block() {
        let (mut world, pool, _) = with_fractured_block();
        let stats = pool.invalidate_ipa(7, Ipa::new(BASE + 0x20_0000), None, &mut world);
        assert_eq!(stats.bytes, 0x3000);
        world.assert_fresh(&pool);
    }

    #[test]
    fn a_hint_tells_the_size() {
        let (mut world, pool, slot) = with_fractured_block();
        let ttl = Ttl::decode(0b0110);
        let stats = pool.invalidate_ipa(7, Ipa::new(BASE + 0x5000), ttl, &mut world);
        assert_eq!(stats.bytes, 0x2000);
        assert!(world.shadow_of(&pool, slot, BASE + GIB - 1).is_some());
        let ttl = Ttl::decode(0b0101);
        let stats = pool.invalidate_ipa(7, Ipa::new(BASE + 0x5000), ttl, &mut world);
        assert_eq!(stats.bytes, 0x1000);
        world.assert_fresh(&pool);
    }

    #[test]
    fn a_range_includes_all_of_the_leaves_at_its_ends() {
        let (mut world, pool, _) = with_fractured_block();
        let range = Ipa::new(BASE + GIB - 0x2000);
        let stats = pool.invalidate_range(7, range, 0x2000, &mut world);
        assert_eq!(stats.bytes, 0x3000);
        world.assert_fresh(&pool);
    }

    #[test]
    fn a_range_within_a_leaf_that_was_touched_elsewhere_ends_all_of_it() {
        let (mut world, pool, _) = with_fractured_block();
        let stats = pool.invalidate_range(7, Ipa::new(BASE + 0x20_0000), 0x2000, &mut world);
        assert_eq!((stats.bytes, stats.start, stats.end), (0x3000, BASE, BASE + GIB));
        world.assert_fresh(&pool);
    }

    #[test]
    fn a_range_among_small_leaves_ends_no_others() {
        let mut world = World::with_ram(100);
        let mut tables = GuestTables::new(K4, 7, ROOT, &mut world);
        let pool = ShadowPool::<1>::new();
        let slot = pool.acquire(tables.key(), &mut world).unwrap().0;
        for (ia, level) in [(BASE, Level::THREE), (BASE + (4 << 20), Level::TWO)] {
            tables.map(ia, 0x8000_0000, level, BLOCK, &mut world);
            let action = touch(&pool, slot, ia, Access::Read, &mut world);
            assert_eq!(action, FaultAction::Retry);
        }
        for start in [BASE + 0x1000, BASE + (2 << 20), BASE + (6 << 20), BASE + GIB] {
            assert_eq!(pool.invalidate_range(7, Ipa::new(start), 0x2000, &mut world).bytes, 0);
        }
    }

    #[test]
    fn ranges_at_the_end_of_everything_are_harmless() {
        let (mut world, pool, _) = with_fractured_block();
        for (base, size) in [
            (u64::MAX - 0xfff, u64::MAX),
            (1 << 48, 0x1000),
            (BASE - 0x2000, 0x2000),
            (0, 0),
        ] {
            assert_eq!(pool.invalidate_range(7, Ipa::new(base), size, &mut world).bytes, 0);
        }
    }

    #[test]
    fn the_largest_block_is_that_of_l1s_granule() {
        let mut world = World::with_ram(100);
        let mut tables = GuestTables::new(Granule::K64, 7, ROOT, &mut world);
        let size = 512 << 20;
        tables.map(2 * size, 4 * size, Level::TWO, BLOCK, &mut world);
        let pool = ShadowPool::<1>::new();
        let slot = pool.acquire(tables.key(), &mut world).unwrap().0;
        for ipa in [2 * size, 3 * size - 1] {
            let action = touch(&pool, slot, ipa, Access::Read, &mut world);
            assert_eq!(action, FaultAction::Retry);
        }
        let stats = pool.invalidate_ipa(7, Ipa::new(2 * size + (8 << 20)), None, &mut world);
        assert_eq!(stats.bytes, 2 * (2 << 20));
    }

    #[test]
    fn every_shadow_with_the_vmid_is_hit_and_no_other() {
        let mut world = World::with_ram(100);
        let pool = ShadowPool::<4>::new();
        let keys = [(7, ROOT), (7, ROOT + 0x100_0000), (8, ROOT + 0x200_0000)].map(|(vmid, root)| {
            let mut tables = GuestTables::new(K4, vmid, root, &mut world);
            tables.map(BASE, 0x8000_0000, Level::TWO, BLOCK, &mut world);
            tables.key()
        });
        let off = ShadowKey::new(7 << 48, 0, false);
        let slots = [keys[0], keys[1], keys[2], off].map(|key| {
            let slot = pool.acquire(key, &mut world).unwrap().0;
            assert_eq!(touch(&pool, slot, BASE, Access::Read, &mut world), FaultAction::Retry);
            slot
        });
        world.fill_tlbs(&pool);
        assert_eq!(pool.for_each_vttbr(7, |vttbr| assert_ne!(vttbr, 0)).shadows, 3);

        let stats = pool.invalidate_ipa(7, Ipa::new(BASE), None, &mut world);
        // The narrowest of what was done to the three is what all of them lack now.
        assert_eq!(
            stats,
            InvalidationStats {
                shadows: 3,
                slots: 0b1011,
                bytes: 2 * (2 << 20) + GIB,
                leaves: 3,
                start: BASE,
                end: BASE + (2 << 20),
            }
        );
        world.assert_fresh(&pool);

        world.vmid_invalidations.clear();
        assert_eq!(
            pool.invalidate_vmid(8, &mut world),
            InvalidationStats {
                shadows: 1,
                slots: 0b100,
                bytes: 2 << 20,
                leaves: 1,
                start: 0,
                end: u64::MAX,
            }
        );
        assert_eq!(
            world.vmid_invalidations,
            [u64::from(pool.all().get(slots[2]).unwrap().physical_vmid())]
        );
        world.assert_fresh(&pool);
    }

    #[test]
    fn invalidating_all_reaches_the_tlb_even_of_empty_shadows() {
        let mut world = World::with_ram(100);
        let pool = ShadowPool::<4>::new();
        for vmid in 0..3 {
            pool.acquire(ShadowKey::new(vmid << 48, 0, false), &mut world).unwrap();
        }
        assert_eq!(pool.invalidate_all(&mut world).shadows, 3);
        assert_eq!(world.vmid_invalidations.len(), 3);
    }
}
