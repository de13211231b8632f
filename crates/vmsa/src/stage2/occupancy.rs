//! How full a table is, kept where it costs nothing: in the descriptor that points to it.
//!
//! Hardware ignores bits 11:2 and 58:52 of a stage-2 table descriptor (DDI 0487, "Translation table
//! descriptor formats"; without `FEAT_LPA2`). The number of valid entries in the table goes into
//! the former, and into the latter a lower bound for the index of the first. So a table is known to
//! be empty when its last entry goes, and going over the few entries of a sparse table does not
//! take reading all 512.

use super::{desc::Stage2Desc, slot::read_own};
use crate::{Pa, Phys, ReadTable};

const COUNT_SHIFT: u32 = 2;
const COUNT_MASK: u64 = (1 << 10) - 1;
const FIRST_SHIFT: u32 = 52;
const FIRST_MASK: u64 = (1 << 7) - 1;
/// The lower bound is kept in units of this many entries, to fit its seven bits.
const FIRST_UNIT: u64 = 4;
const ADDRESS_MASK: u64 = ((1 << 48) - 1) & !0xfff;

/// The number of entries in a table.
pub(super) const ENTRIES: u64 = 512;

/// A table of our own: what its descriptor says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TableRef(Stage2Desc);

impl TableRef {
    /// A reference to the table at `page`, which has no valid entries.
    pub(super) fn empty(page: Pa) -> Self {
        Self(Stage2Desc::from_raw(
            Stage2Desc::table(page).raw() | FIRST_MASK << FIRST_SHIFT,
        ))
    }

    /// A reference to the table at `page`, all of whose entries are valid.
    pub(super) fn full(page: Pa) -> Self {
        Self(Stage2Desc::from_raw(
            Stage2Desc::table(page).raw() | ENTRIES << COUNT_SHIFT,
        ))
    }

    /// From a valid table descriptor of ours.
    pub(super) fn from_desc(desc: Stage2Desc) -> Self {
        Self(desc)
    }

    pub(super) fn desc(self) -> Stage2Desc {
        self.0
    }

    pub(super) fn page(self) -> Pa {
        Pa::new(self.0.raw() & ADDRESS_MASK)
    }

    /// The number of valid entries.
    pub(super) fn count(self) -> u64 {
        self.0.raw() >> COUNT_SHIFT & COUNT_MASK
    }

    /// No entry below this index is valid.
    pub(super) fn first(self) -> u64 {
        (self.0.raw() >> FIRST_SHIFT & FIRST_MASK) * FIRST_UNIT
    }

    /// After the entry at `index` became valid.
    pub(super) fn with_added(self, index: u64) -> Self {
        let first = (self.first() / FIRST_UNIT).min(index / FIRST_UNIT);
        self.with(self.count() + 1, first)
    }

    /// After an entry became invalid.
    pub(super) fn with_removed(self) -> Self {
        match self.count().saturating_sub(1) {
            0 => Self::empty(self.page()),
            count => self.with(count, self.first() / FIRST_UNIT),
        }
    }

    fn with(self, count: u64, first_unit: u64) -> Self {
        let rest = self.0.raw() & !(COUNT_MASK << COUNT_SHIFT | FIRST_MASK << FIRST_SHIFT);
        Self(Stage2Desc::from_raw(
            rest | count << COUNT_SHIFT | first_unit << FIRST_SHIFT,
        ))
    }

    /// A cursor over all entries that are not zero.
    pub(super) fn entries(self) -> Entries {
        Entries {
            page: self.page(),
            index: self.first(),
            left: self.count(),
        }
    }
}

/// Goes over the entries of a table that are not zero. Holds no borrow, so the table may change
/// meanwhile; entries that were there at the start are counted whether they are still there or not.
pub(super) struct Entries {
    page: Pa,
    index: u64,
    left: u64,
}

impl Entries {
    /// The next entry's index and descriptor.
    pub(super) fn next(&mut self, mem: &impl ReadTable<Phys>) -> Option<(u64, Stage2Desc)> {
        while self.left > 0 && self.index < ENTRIES {
            let index = self.index;
            let desc = read_own(mem, Pa::new(self.page.bits() + 8 * index));
            self.index += 1;
            if desc != Stage2Desc::INVALID {
                self.left -= 1;
                return Some((index, desc));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Granule, Level, stage2::Stage2Entry};

    #[test]
    fn occupancy_is_invisible_to_the_walk() {
        let page = Pa::new(0xabcd_ef12_3000);
        let mut table = TableRef::empty(page);
        for index in (0..ENTRIES).rev() {
            table = table.with_added(index);
            assert_eq!(table.desc().decode(Level::ONE, Granule::K4), Stage2Entry::Table(page));
            assert_eq!(table.page(), page);
            assert_eq!(table.count(), ENTRIES - index);
            assert!(table.first() <= index && table.first() + FIRST_UNIT > index);
        }
        assert!(table == TableRef::full(page));
        for left in (0..ENTRIES).rev() {
            table = table.with_removed();
            assert_eq!(table.count(), left);
        }
        assert!(table == TableRef::empty(page));
    }
}
