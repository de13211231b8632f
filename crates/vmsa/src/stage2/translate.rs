//! Translation of one address by a table of our own.
//!
//! [`walk`](super::walk()) does that too, as it does for anybody's tables. That ours have one granule and one start level
//! makes it a handful of instructions a level.

use super::{
    slot::{Place, Slot, Valid},
    table::Stage2Table,
    walk::{Mapping, RawLeaf},
};
use crate::{Addr, Fault, Level, Pa, Phys, ReadTable};

/// Translates by a table of our own that others change at the same time: they order it so that what is asked for here does
/// not change.
#[derive(Clone, Copy, Debug)]
pub struct Translator {
    root: Pa,
}

impl Translator {
    /// [`Stage2Table::root`].
    #[must_use]
    pub fn root(self) -> Pa {
        self.root
    }

    /// [`Stage2Table::translate_to_leaf`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline(always)]
    pub fn translate_to_leaf<I>(self, ia: Addr<I>, mem: &impl ReadTable<Phys>) -> Result<RawLeaf<Phys>, Fault> {
        let leaf = self.leaf_at(ia.bits(), mem).map_err(Fault::Translation)?;
        Ok(leaf.translate(ia))
    }

    /// The leaf that maps `ia`, or the level that has none.
    #[inline(always)]
    fn leaf_at(self, ia: u64, mem: &impl ReadTable<Phys>) -> Result<Valid, Level> {
        if ia >> Stage2Table::IPA_BITS != 0 {
            return Err(Level::ZERO);
        }
        let mut table = self.root;
        for level in [Level::ZERO, Level::ONE, Level::TWO, Level::THREE] {
            match Place::of(table, ia, level).read(mem) {
                Slot::Table(_, next) => table = next,
                Slot::Leaf(leaf) => return Ok(leaf),
                Slot::Vacant(_) => return Err(level),
            }
        }
        // There are no tables below level 3.
        Err(Level::THREE)
    }
}

impl Stage2Table {
    /// For who does not have the table at hand. It is not wide.
    #[must_use]
    #[inline(always)]
    pub fn translator(&self) -> Translator {
        Translator { root: self.root() }
    }

    /// What [`walk`](super::walk()) by [`config`](Self::config) says.
    ///
    /// # Errors
    ///
    /// A translation fault at the level of the hole.
    #[inline(always)]
    pub fn translate<I>(&self, ia: Addr<I>, mem: &impl ReadTable<Phys>) -> Result<Mapping<Phys>, Fault> {
        let mut mapping = self.translate_to_leaf(ia, mem)?.our_mapping();
        if self.is_wide() {
            mapping.attrs.sh = self.sh;
        }
        Ok(mapping)
    }

    /// [`translate`](Self::translate), with the attributes left in the descriptor.
    ///
    /// # Errors
    ///
    /// As [`translate`](Self::translate).
    #[inline(always)]
    pub fn translate_to_leaf<I>(&self, ia: Addr<I>, mem: &impl ReadTable<Phys>) -> Result<RawLeaf<Phys>, Fault> {
        let leaf = self.leaf_at(ia.bits(), mem).map_err(Fault::Translation)?;
        Ok(leaf.translate(ia))
    }

    /// The [tag](super::Stage2Desc::tag) of the leaf that maps `ia`, `None` if there is no leaf.
    pub fn tag_at<I>(&self, ia: Addr<I>, mem: &impl ReadTable<Phys>) -> Option<u8> {
        Some(self.leaf_at(ia.bits(), mem).ok()?.desc.tag())
    }

    /// The leaf that maps `ia`, or the level that has none.
    #[inline(always)]
    fn leaf_at(&self, ia: u64, mem: &impl ReadTable<Phys>) -> Result<Valid, Level> {
        let (root, ia) = self.part_of(ia, mem)?;
        Translator { root }.leaf_at(ia, mem)
    }
}

impl Valid {
    /// Where this leaf leads `ia` to.
    #[inline(always)]
    fn translate<I>(&self, ia: Addr<I>) -> RawLeaf<Phys> {
        let (level, size) = (self.place.level, self.place.size());
        RawLeaf {
            output: Addr::new(self.desc.output(level) | ia.offset_in(size)),
            level,
            size,
            desc_at: self.place.at,
            raw: self.desc.raw(),
        }
    }
}
