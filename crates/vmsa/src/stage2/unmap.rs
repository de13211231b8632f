//! Removing mappings, at a cost proportional to what is mapped.
//!
//! A guest invalidates whole address spaces with one instruction. So nothing here steps through
//! addresses: occupied entries are found through [`TableRef`]'s counts, a table that lies within
//! the range goes as a whole with one invalidation, and leaves that go singly share one per table.
//!
//! That may be much under one hold of a lock, so there are pieces: what a table of [`PIECE_PAGES`] pages maps, or in a larger
//! one what 1 GiB does, which is about as many pages at most.

use super::{
    occupancy::{ENTRIES, TableRef},
    slot::{Place, Slot, Stage2Env, Valid, index_of},
    table::{Holder, OutOfTables, Stage2Table},
};
use crate::{Granule, Level, Pa, Phys, ReadTable};
use core::ops::Range;

/// Pages of a table that is small enough to be removed at once: about as many as map 1 GiB.
pub const PIECE_PAGES: u64 = 512;
/// What one entry of level 1 maps.
const PIECE_BYTES: u64 = 1 << 30;

impl Stage2Table {
    /// Removes every leaf that maps any of the `size` bytes from `ia`, whole, even where it reaches
    /// beyond them. Returns the bytes that are no longer mapped. Tables that became empty are
    /// freed.
    ///
    /// This is what a shadow needs: an invalidation of part of a translation ends the translation.
    pub fn unmap_leaves(&mut self, ia: u64, size: u64, env: &mut impl Stage2Env) -> u64 {
        let limit = 1 << self.ipa_bits();
        let range = ia..ia.saturating_add(size).min(limit);
        if range.is_empty() {
            return 0;
        }
        if let Some(bytes) = self.unmap_one(&range, env) {
            return bytes;
        }
        let (root, bytes) = self.remove(self.root_ref(), self.start_level(), 0, &range, env);
        self.root = root.desc();
        bytes
    }

    /// Whether all of it goes as one piece.
    #[must_use]
    #[inline(always)]
    pub fn is_a_piece(&self) -> bool {
        self.table_pages <= PIECE_PAGES
    }

    /// [`unmap_leaves`](Self::unmap_leaves) of the first piece of `range` that has any. Returns the bytes that are no longer
    /// mapped, and the address to go on from, if there is more.
    #[inline(always)]
    pub fn unmap_piece(&mut self, range: &Range<u64>, env: &mut impl Stage2Env) -> (u64, Option<u64>) {
        if self.is_a_piece() {
            return (
                self.unmap_leaves(range.start, range.end.saturating_sub(range.start), env),
                None,
            );
        }
        self.unmap_first_gib(range, env)
    }

    #[cold]
    #[inline(never)]
    fn unmap_first_gib(&mut self, range: &Range<u64>, env: &mut impl Stage2Env) -> (u64, Option<u64>) {
        match self.first_gib(range.start, env) {
            Some(gib) if gib < range.end => {
                let end = (gib + PIECE_BYTES).min(range.end);
                let from = gib.max(range.start);
                let bytes = self.unmap_leaves(from, end - from, env);
                (bytes, (end < range.end).then_some(end))
            }
            _ => (0, None),
        }
    }

    /// The first GiB that has entries, from the one around `ia` on. Tables below the root are not empty, so that is found
    /// with three tables read at most, and one more for each level 0 that is wide.
    fn first_gib(&self, ia: u64, mem: &impl ReadTable<Phys>) -> Option<u64> {
        if ia >> self.ipa_bits() != 0 {
            return None;
        }
        self.first_gib_below(self.root(), self.start_level(), 0, ia, mem)
    }

    /// The same in `table`, a table of `level` whose first entry is for `base`.
    fn first_gib_below(&self, table: Pa, level: Level, base: u64, ia: u64, mem: &impl ReadTable<Phys>) -> Option<u64> {
        let size = Granule::K4.entry_bytes(level);
        let first = if ia > base { index_of(ia, level) } else { 0 };
        for index in first..ENTRIES {
            let place = Place::of(table, base + index * size, level);
            let found = match place.read(mem) {
                Slot::Vacant(_) => None,
                // Two more calls at most.
                Slot::Table(_, next) if level < Level::ONE => {
                    self.first_gib_below(next, level.next().unwrap_or(Level::ONE), place.ia, ia, mem)
                }
                _ => Some(place.ia),
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Removes exactly the `size` bytes from `ia` (multiples of 4 KiB), splitting blocks that reach
    /// beyond them. Returns the bytes that are no longer mapped.
    ///
    /// # Errors
    ///
    /// `OutOfTables` when a block cannot be split; nothing is unmapped.
    pub fn unmap_range(&mut self, ia: u64, size: u64, env: &mut impl Stage2Env) -> Result<u64, OutOfTables> {
        let end = ia.saturating_add(size);
        self.split_at(ia, env)?;
        if end >> self.ipa_bits() == 0 {
            self.split_at(end, env)?;
        }
        Ok(self.unmap_leaves(ia, size, env))
    }

    /// Removes everything with one invalidation, which happens even if nothing was mapped. Returns
    /// the bytes that are no longer mapped.
    #[inline(never)]
    pub fn unmap_all(&mut self, env: &mut impl Stage2Env) -> u64 {
        self.unmap_all_in_line(env)
    }

    /// [`unmap_all`](Self::unmap_all) where it is hot.
    #[inline(always)]
    pub fn unmap_all_in_line(&mut self, env: &mut impl Stage2Env) -> u64 {
        if self.is_wide() {
            return self.unmap_all_parts(env);
        }
        let root = self.root_ref();
        // Unlink the subtrees, but remember where they are until no walker can be in them.
        let mut first = None;
        let mut entries = root.entries();
        while let Some((index, desc)) = entries.next(env) {
            env.write(root_entry(root, index).at, desc.raw() & !1);
            first = first.or(Some((index, desc)));
        }
        env.invalidate_all();
        let mut bytes = 0;
        // Most often there is one: then it is at hand.
        let mut next = first;
        let mut entries = if root.count() > 1 {
            root.entries()
        } else {
            TableRef::empty(root.page()).entries()
        };
        while let Some((index, desc)) = next {
            env.write(root_entry(root, index).at, 0);
            bytes += self.free_subtree(TableRef::from_desc(desc), Level::ONE, env);
            next = entries.next(env);
        }
        self.root = TableRef::empty(root.page()).desc();
        bytes
    }

    /// [`unmap_leaves`](Self::unmap_leaves) where `range` lies within one entry, vacant or a leaf whose table keeps
    /// others: what most invalidations of a page or a block are. Else `None`, and nothing is done.
    fn unmap_one(&mut self, range: &Range<u64>, env: &mut impl Stage2Env) -> Option<u64> {
        if self.is_wide() {
            return None;
        }
        let mut holder = Holder::Root;
        let mut table = self.root_ref();
        for level in [Level::ZERO, Level::ONE, Level::TWO, Level::THREE] {
            let place = Place::of(table.page(), range.start, level);
            if range.end - place.ia > place.size() {
                return None;
            }
            match place.read(env) {
                Slot::Vacant(_) => return Some(0),
                Slot::Table(slot, _) => {
                    holder = Holder::Entry(place.at);
                    table = TableRef::from_desc(slot.desc);
                }
                Slot::Leaf(slot) if table.count() > 1 => {
                    slot.clear_leaf(env);
                    self.store(holder, table.with_removed(), env);
                    self.generation = self.generation.wrapping_add(1);
                    self.mapped[level.index()] = self.mapped[level.index()].wrapping_sub(place.size());
                    env.invalidate(place.ia, place.size(), level);
                    return Some(place.size());
                }
                Slot::Leaf(_) => return None,
            }
        }
        None
    }

    /// Removes the leaves in `range` from `table`, a table of `level` whose first entry is for
    /// `base`. Returns the table's new occupancy and the bytes removed.
    fn remove(
        &mut self,
        table: TableRef,
        level: Level,
        base: u64,
        range: &Range<u64>,
        env: &mut impl Stage2Env,
    ) -> (TableRef, u64) {
        let (first, last) = indices(base, range, level);
        // Seeing all entries that there are ends the search early.
        let mut unseen = table.count();
        let mut after = table;
        let mut bytes = 0;
        let mut leaves = Leaves::default();
        for index in first.max(table.first())..=last {
            if unseen == 0 {
                break;
            }
            let place = Place::of(table.page(), base + (index << Granule::K4.entry_shift(level)), level);
            let (removed, is_gone) = match place.read(env) {
                Slot::Vacant(_) => continue,
                Slot::Leaf(slot) => {
                    slot.clear_leaf(env);
                    leaves.add(place);
                    self.generation += 1;
                    self.mapped[level.index()] -= place.size();
                    (place.size(), true)
                }
                // Two more calls at most.
                Slot::Table(slot, _) => self.remove_below(slot, range, env),
            };
            unseen -= 1;
            bytes += removed;
            if is_gone {
                after = after.with_removed();
            }
        }
        leaves.invalidate(level, env);
        if self.is_wide() {
            after = Self::recounted(table, env);
        }
        (after, bytes)
    }

    /// Removes the leaves in `range` from the table that `slot` points to. Returns the bytes
    /// removed and whether the table is gone.
    fn remove_below(&mut self, slot: Valid, range: &Range<u64>, env: &mut impl Stage2Env) -> (u64, bool) {
        let table = TableRef::from_desc(slot.desc);
        let place = slot.place;
        // There are no table descriptors at level 3.
        let level = place.level.next().unwrap_or(Level::THREE);
        if range.start <= place.ia && range.end - place.ia >= place.size() {
            slot.break_entry(env);
            return (self.free_subtree(table, level, env), true);
        }
        let (table, bytes) = self.remove(table, level, place.ia, range, env);
        let is_empty = table.count() == 0;
        if is_empty {
            slot.break_empty_table(env);
            self.free_subtree(table, level, env);
        } else {
            slot.annotate_table(table.desc(), env);
        }
        (bytes, is_empty)
    }
}

fn root_entry(root: TableRef, index: u64) -> Place {
    let level = Level::ZERO;
    Place::of(root.page(), index << Granule::K4.entry_shift(level), level)
}

/// The indices of the first and the last entry that `range` touches in the table of `level` whose
/// first entry is for `base`.
fn indices(base: u64, range: &Range<u64>, level: Level) -> (u64, u64) {
    let last_ia = base + 511 * Granule::K4.entry_bytes(level);
    let first = index_of(range.start.max(base), level);
    let last = index_of((range.end - 1).min(last_ia), level);
    (first, last)
}

/// Leaves of one table that are cleared and await one invalidation.
#[derive(Default)]
struct Leaves(Option<Range<u64>>);

impl Leaves {
    /// In address order.
    fn add(&mut self, place: Place) {
        let start = self.0.as_ref().map_or(place.ia, |leaves| leaves.start);
        self.0 = Some(start..place.ia + place.size());
    }

    fn invalidate(self, level: Level, env: &mut impl Stage2Env) {
        if let Some(leaves) = self.0 {
            env.invalidate(leaves.start, leaves.end - leaves.start, level);
        }
    }
}
