//! Tables of our own for addresses of more than 48 bits.
//!
//! They have one level more, at the top, so that a page is a root here, too. Nobody has many of them: what they cost, they
//! cost only those who have them.

use super::{
    attrs::Shareability,
    occupancy::TableRef,
    slot::{Place, Slot, Stage2Env},
    table::Stage2Table,
};
use crate::{Level, Pa, Phys, ReadTable};

impl Stage2Table {
    /// Makes a table that maps nothing one for addresses of 52 bits, or of 48 again.
    ///
    /// It starts at level −1 (`VTCR_EL2.SL2` = 1) and is read with `VTCR_EL2.DS`. Then there is no shareability in a leaf,
    /// and what `VTCR_EL2.SH0` is to be is said here. Nor is there room for occupancy in table descriptors: a table with
    /// anything in it counts as full, and is gone over where another has a count.
    pub fn make_wide(&mut self, wide: Option<Shareability>) {
        debug_assert!(self.table_pages == 1);
        self.is_wide = wide.is_some();
        self.sh = wide.unwrap_or(Shareability::Non);
    }

    pub(super) const fn is_wide(&self) -> bool {
        self.is_wide
    }

    /// The level of the root.
    pub(super) const fn start_level(&self) -> Level {
        if self.is_wide() { Level::MINUS_ONE } else { Level::ZERO }
    }

    pub(super) const fn ipa_bits(&self) -> u32 {
        if self.is_wide() {
            Self::IPA_BITS_WIDE
        } else {
            Self::IPA_BITS
        }
    }

    /// `table` after its entry at `index` became valid.
    pub(super) fn added(&self, table: TableRef, index: u64) -> TableRef {
        if self.is_wide() {
            TableRef::full(table.page())
        } else {
            table.with_added(index)
        }
    }

    /// The table of level 0 for `ia`, and where `ia` is in it.
    ///
    /// # Errors
    ///
    /// The level that has no entry for it.
    // A call in it would be one to save registers for where it is hot, in tables that are not wide.
    #[inline(always)]
    pub(super) fn part_of(&self, ia: u64, mem: &impl ReadTable<Phys>) -> Result<(Pa, u64), Level> {
        if !self.is_wide() {
            return Ok((self.root(), ia));
        }
        if ia >> Self::IPA_BITS_WIDE != 0 {
            return Err(Level::ZERO);
        }
        match Place::of(self.root(), ia, Level::MINUS_ONE).read(mem) {
            Slot::Table(_, part) => Ok((part, ia & ((1 << Self::IPA_BITS) - 1))),
            _ => Err(Level::MINUS_ONE),
        }
    }

    /// [`unmap_all`](Self::unmap_all) of a wide one.
    #[cold]
    #[inline(never)]
    pub(super) fn unmap_all_parts(&mut self, env: &mut impl Stage2Env) -> u64 {
        let bytes = self.unmap_leaves(0, u64::MAX, env);
        env.invalidate_all();
        bytes
    }

    /// The number of valid entries in `table` of a wide one.
    #[cold]
    #[inline(never)]
    pub(super) fn counted(table: TableRef, mem: &impl ReadTable<Phys>) -> u64 {
        let (mut entries, mut count) = (table.entries(), 0);
        while entries.next(mem).is_some() {
            count += 1;
        }
        count
    }

    /// `table` of a wide one after some of its entries became invalid: it counts as full if any is left.
    #[cold]
    #[inline(never)]
    pub(super) fn recounted(table: TableRef, mem: &impl ReadTable<Phys>) -> TableRef {
        match table.entries().next(mem) {
            Some(_) => table,
            None => TableRef::empty(table.page()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stage2::Stage2Attrs, testing::Arena};

    #[test]
    fn a_wide_table_goes_in_pieces_whatever_part_they_are_in() {
        const PAGES: u64 = 600;
        let mut arena = Arena::new(usize::MAX);
        let mut table = Stage2Table::new(&mut arena).unwrap();
        table.make_wide(Some(Shareability::Inner));
        arena.set_wide(table.root(), true);
        let parts = [0, 1 << 48 | 5 << 39, 15 << 48];
        for page in 0..PAGES {
            let ia = parts[page as usize % 3] | (page / 3) << 21;
            let pa = Pa::new(page << 12);
            table
                .map_leaf(ia, pa, Level::THREE, &Stage2Attrs::RAM, 0, &mut arena)
                .unwrap();
        }
        assert!(!table.is_a_piece());
        let (mut next, mut bytes, mut pieces) = (Some(0), 0, 0);
        while let Some(from) = next {
            let removed;
            (removed, next) = table.unmap_piece(&(from..u64::MAX), &mut arena);
            (bytes, pieces) = (bytes + removed, pieces + 1);
        }
        assert_eq!((bytes, table.table_pages()), (PAGES << 12, 1));
        assert!(pieces < 6, "{pieces} pieces");
        table.destroy(&mut arena);
        assert_eq!(arena.used(), 0);
    }
}
