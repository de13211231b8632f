//! Translation granules and lookup levels, and the sizes that follow from the two.

use core::fmt;

/// A translation lookup level, −1 to 3. Level −1 exists only with `FEAT_LPA2` and the 4 KiB granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(Number);

/// An enumeration lets the compiler know that there are no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i8)]
enum Number {
    MinusOne = -1,
    Zero = 0,
    One = 1,
    Two = 2,
    Three = 3,
}

impl Level {
    /// Level −1, the root of 4 KiB tables for addresses of 49 to 52 bits.
    pub const MINUS_ONE: Self = Self(Number::MinusOne);
    /// Level 0, whose entries map 512 GiB each with the 4 KiB granule.
    pub const ZERO: Self = Self(Number::Zero);
    /// Level 1, whose entries map 1 GiB each with the 4 KiB granule.
    pub const ONE: Self = Self(Number::One);
    /// Level 2, whose entries map 2 MiB each with the 4 KiB granule.
    pub const TWO: Self = Self(Number::Two);
    /// Level 3, the last, whose entries are pages.
    pub const THREE: Self = Self(Number::Three);

    /// How many levels there are.
    pub(crate) const COUNT: usize = 5;

    /// The level with this number, −1 to 3.
    #[must_use]
    pub const fn new(number: i8) -> Option<Self> {
        match number {
            -1 => Some(Self::MINUS_ONE),
            0 => Some(Self::ZERO),
            1 => Some(Self::ONE),
            2 => Some(Self::TWO),
            3 => Some(Self::THREE),
            _ => None,
        }
    }

    /// The number, −1 to 3.
    #[must_use]
    pub const fn get(self) -> i8 {
        self.0 as i8
    }

    /// The number as an index of what there is one of for each level 0 to 3. Level −1, which has no leaves and is in no
    /// table of ours, counts as level 0.
    #[must_use]
    pub const fn index(self) -> usize {
        if self.get() < 0 { 0 } else { self.get() as usize }
    }

    /// How many levels come before this one at most: 0 for level −1, 4 for level 3.
    pub(crate) const fn depth(self) -> usize {
        (self.get() + 1) as usize
    }

    /// How many levels a walk that starts here has.
    #[must_use]
    pub const fn count_to_last(self) -> u32 {
        (4 - self.get()) as u32
    }

    /// The level that a table descriptor at this one leads to: `None` at level 3.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        Self::new(self.get() + 1)
    }

    /// The level looked up before this one: `None` at level −1.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        Self::new(self.get() - 1)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "level {}", self.get())
    }
}

/// A translation granule: the size of a page, and of a table. Its number is the number of address bits within a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Granule {
    /// 4 KiB.
    K4 = 12,
    /// 16 KiB.
    K16 = 14,
    /// 64 KiB.
    K64 = 16,
}

impl Granule {
    /// The number of address bits within a page.
    #[must_use]
    pub const fn shift(self) -> u32 {
        self as u32
    }

    /// The number of address bits one level resolves.
    #[must_use]
    pub const fn stride(self) -> u32 {
        self.shift() - 3
    }

    /// The size of a page and of a table, in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << self.shift()
    }

    /// The number of address bits below those that index a table at `level`.
    #[must_use]
    #[inline]
    pub const fn entry_shift(self, level: Level) -> u32 {
        self.shift() + self.stride() * (3 - level.get()) as u32
    }

    /// The bytes of input address space that one entry at `level` stands for.
    #[must_use]
    #[inline]
    pub const fn entry_bytes(self, level: Level) -> u64 {
        1 << self.entry_shift(level)
    }

    /// Whether a valid descriptor at `level` may be a leaf, a page or a block, whatever the address size (DDI 0487,
    /// "Translation table descriptor formats"). `FEAT_LPA` and `FEAT_LPA2` add one level each; see
    /// [`TableFormat`](crate::TableFormat).
    #[must_use]
    pub const fn has_leaf_at(self, level: Level) -> bool {
        match self {
            Self::K4 => level.get() >= 1,
            Self::K16 | Self::K64 => level.get() >= 2,
        }
    }
}

impl Granule {
    /// How many neighbouring leaves at `level` the Contiguous hint joins (DDI 0487, "The Contiguous bit"); `None` where
    /// it has no meaning.
    #[must_use]
    pub const fn contiguous_count(self, level: Level) -> Option<u64> {
        match (self, level.get()) {
            (Self::K4, 1..=3) => Some(16),
            (Self::K16, 3) => Some(128),
            (Self::K16, 2) | (Self::K64, 2 | 3) => Some(32),
            _ => None,
        }
    }
}

impl fmt::Display for Granule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}K", self.bytes() >> 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_sizes_are_those_of_the_architecture() {
        assert_eq!(Granule::K4.entry_bytes(Level::ZERO), 512 << 30);
        assert_eq!(Granule::K4.entry_bytes(Level::ONE), 1 << 30);
        assert_eq!(Granule::K4.entry_bytes(Level::TWO), 2 << 20);
        assert_eq!(Granule::K16.entry_bytes(Level::TWO), 32 << 20);
        assert_eq!(Granule::K64.entry_bytes(Level::TWO), 512 << 20);
        for granule in [Granule::K4, Granule::K16, Granule::K64] {
            assert_eq!(granule.entry_bytes(Level::THREE), granule.bytes());
        }
    }

    #[test]
    fn levels_end_at_minus_one_and_three() {
        assert_eq!(Level::THREE.next(), None);
        assert_eq!(Level::ZERO.previous(), Some(Level::MINUS_ONE));
        assert_eq!(Level::MINUS_ONE.previous(), None);
        assert_eq!((Level::new(-2), Level::new(4)), (None, None));
        assert_eq!(Level::MINUS_ONE.count_to_last(), 5);
        assert!(Level::MINUS_ONE < Level::ZERO);
    }

    #[test]
    fn contiguous_runs_are_those_of_the_architecture() {
        let bytes = |granule: Granule, level| granule.contiguous_count(level).map(|n| n * granule.entry_bytes(level));
        assert_eq!(bytes(Granule::K4, Level::THREE), Some(64 << 10));
        assert_eq!(bytes(Granule::K4, Level::TWO), Some(32 << 20));
        assert_eq!(bytes(Granule::K4, Level::ONE), Some(16 << 30));
        assert_eq!(bytes(Granule::K16, Level::THREE), Some(2 << 20));
        assert_eq!(bytes(Granule::K16, Level::TWO), Some(1 << 30));
        assert_eq!(bytes(Granule::K64, Level::THREE), Some(2 << 20));
        assert_eq!(bytes(Granule::K64, Level::TWO), Some(16 << 30));
        assert_eq!(bytes(Granule::K4, Level::ZERO), None);
    }
}
