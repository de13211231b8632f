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
mod tests;
