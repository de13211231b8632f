//! One entry of one of our tables, and the only ways it may change.
//!
//! Break-before-make is a type transition here. A [`Valid`] entry can be relaxed in place within
//! what the architecture allows, or broken, which writes an invalid descriptor and invalidates the
//! TLBs and only then gives a [`Vacant`] one; only a vacant entry can be filled.

use super::desc::{Stage2Desc, Stage2Entry};
use crate::{Granule, Level, Pa, Phys, ReadTable};

/// Memory for tables of our own.
pub trait TableMemory: ReadTable<Phys> {
    /// Stores a descriptor with one 64-bit store. Table walkers of all CPUs must observe the stores
    /// in the order they are made (a `DSB ISHST` after each, or before those that link a table).
    fn write(&mut self, at: Pa, desc: u64);

    /// Stores a word of a page that no walker reads, for notes of one's own.
    fn note(&mut self, at: Pa, word: u64) {
        self.write(at, word);
    }

    /// A zeroed, 4 KiB aligned page, `None` when there is no more.
    fn alloc_table(&mut self) -> Option<Pa>;

    /// The same, for a root. It may come out of a reserve that other tables are not taken from: without a root nothing can
    /// be done, while the contents of another table can be thrown away.
    fn alloc_root(&mut self) -> Option<Pa> {
        self.alloc_table()
    }

    /// Takes back a page from [`alloc_table`](Self::alloc_table). No TLB or walk cache refers to it
    /// any more; its contents are arbitrary.
    fn free_table(&mut self, at: Pa);
}

/// TLB maintenance for the VMID that a table is used under.
///
/// Each function returns when all CPUs have completed the invalidation, of stage-2 entries and of
/// whatever combines them with stage 1. It also orders the descriptor stores before it.
pub trait Stage2Tlb {
    /// Invalidates what was cached for `[ia, ia + size)`: leaves of `level` and of no lower one,
    /// and the table descriptors above them. `size` is a multiple of the size of a leaf at `level`.
    fn invalidate(&mut self, ia: u64, size: u64, level: Level);

    /// Invalidates everything of the VMID.
    fn invalidate_all(&mut self);
}

/// All that changing a table takes. One object, since both usually need the same state.
pub trait Stage2Env: TableMemory + Stage2Tlb {}

impl<T: TableMemory + Stage2Tlb> Stage2Env for T {}

/// Where an entry is and what it stands for.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) at: Pa,
    /// The first input address it covers.
    pub(super) ia: u64,
    pub(super) level: Level,
}

impl Place {
    /// The entry for `ia` in `table`, a table of `level`.
    // Where the level is known when this is compiled, here and below, little is left of it.
    #[inline(always)]
    pub(super) fn of(table: Pa, ia: u64, level: Level) -> Self {
        let size = Granule::K4.entry_bytes(level);
        Self {
            at: Pa::new(table.bits() + 8 * index_of(ia, level)),
            ia: ia & !(size - 1),
            level,
        }
    }

    #[inline(always)]
    pub(super) fn size(self) -> u64 {
        Granule::K4.entry_bytes(self.level)
    }

    pub(super) fn read(self, mem: &impl ReadTable<Phys>) -> Slot {
        self.classify(read_own(mem, self.at))
    }

    /// What the entry is when `desc` has been read from it.
    #[inline(always)]
    pub(super) fn classify(self, desc: Stage2Desc) -> Slot {
        match desc.decode(self.level, Granule::K4) {
            Stage2Entry::Invalid => Slot::Vacant(Vacant(self)),
            Stage2Entry::Table(table) => Slot::Table(Valid { place: self, desc }, table),
            Stage2Entry::Block(_) | Stage2Entry::Page(_) => Slot::Leaf(Valid { place: self, desc }),
        }
    }
}

/// The index of the entry for `ia` in a table of `level`.
#[inline]
pub(super) fn index_of(ia: u64, level: Level) -> u64 {
    ia >> Granule::K4.entry_shift(level) & 511
}

/// Reads a descriptor of our own. Our own tables are readable; were one not, hardware would fault
/// on it as on an invalid entry.
pub(super) fn read_own(mem: &impl ReadTable<Phys>, at: Pa) -> Stage2Desc {
    mem.read(at).map_or(Stage2Desc::INVALID, Stage2Desc::from_raw)
}

/// An entry as it was found.
pub(super) enum Slot {
    Vacant(Vacant),
    Leaf(Valid),
    Table(Valid, Pa),
}

/// An invalid entry that no TLB remembers as anything else.
pub(super) struct Vacant(Place);

impl Vacant {
    pub(super) fn fill(self, desc: Stage2Desc, mem: &mut impl TableMemory) {
        mem.write(self.0.at, desc.raw());
    }
}

/// A valid entry.
pub(super) struct Valid {
    pub(super) place: Place,
    pub(super) desc: Stage2Desc,
}

impl Valid {
    /// Makes the entry invalid and forgotten, with all below it if it is a table.
    pub(super) fn break_entry(self, env: &mut impl Stage2Env) -> Vacant {
        let place = self.place;
        env.write(place.at, Stage2Desc::INVALID.raw());
        let deepest = match self.desc.decode::<Phys>(place.level, Granule::K4) {
            Stage2Entry::Table(_) => Level::THREE,
            _ => place.level,
        };
        env.invalidate(place.ia, place.size(), deepest);
        Vacant(place)
    }

    /// Makes the descriptor of a table invalid and forgotten, all of whose entries are.
    pub(super) fn break_empty_table(self, env: &mut impl Stage2Env) {
        env.write(self.place.at, Stage2Desc::INVALID.raw());
        // Any address of the table will do to reach the walk caches.
        env.invalidate(self.place.ia, Granule::K4.bytes(), Level::THREE);
    }

    /// Makes a leaf invalid. It is not forgotten before the caller, who batches, has invalidated
    /// the TLBs.
    pub(super) fn clear_leaf(self, mem: &mut impl TableMemory) {
        mem.write(self.place.at, Stage2Desc::INVALID.raw());
    }

    /// Changes a leaf to `new`: in place where that is allowed, else by break-before-make.
    pub(super) fn change_leaf(self, new: Stage2Desc, env: &mut impl Stage2Env) {
        if self.desc.is_relaxable_to(new) {
            let place = self.place;
            env.write(place.at, new.raw());
            env.invalidate(place.ia, place.size(), place.level);
        } else {
            self.break_entry(env).fill(new, env);
        }
    }

    /// Changes bits of a table descriptor that hardware ignores.
    pub(super) fn annotate_table(self, desc: Stage2Desc, mem: &mut impl TableMemory) {
        mem.write(self.place.at, desc.raw());
    }
}
