//! Translation granules and lookup levels, and the sizes that follow from the two.

use core::fmt;

/// A translation lookup level, 0 to 3. Level −1 exists only with `FEAT_LPA2`, which is not
/// modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// Level 0, whose entries map 512 GiB each with the 4 KiB granule.
    pub const ZERO: Self = Self(0);
    /// Level 1, whose entries map 1 GiB each with the 4 KiB granule.
    pub const ONE: Self = Self(1);
    /// Level 2, whose entries map 2 MiB each with the 4 KiB granule.
    pub const TWO: Self = Self(2);
    /// Level 3, the last, whose entries are pages.
    pub const THREE: Self = Self(3);

    /// The level with this number, `None` above 3.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number <= 3 { Some(Self(number)) } else { None }
    }

    /// The number, 0 to 3.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The number as an array index, 0 to 3.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The level that a table descriptor at this one leads to: `None` at level 3.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// The level looked up before this one: `None` at level 0.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "level {}", self.0)
    }
}

/// A translation granule: the size of a page, and of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Granule {
    /// 4 KiB.
    K4,
    /// 16 KiB.
    K16,
    /// 64 KiB.
    K64,
}

impl Granule {
    /// The number of address bits within a page.
    #[must_use]
    pub const fn shift(self) -> u32 {
        match self {
            Self::K4 => 12,
            Self::K16 => 14,
            Self::K64 => 16,
        }
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
    pub const fn entry_shift(self, level: Level) -> u32 {
        self.shift() + self.stride() * (3 - level.get() as u32)
    }

    /// The bytes of input address space that one entry at `level` stands for.
    #[must_use]
    pub const fn entry_bytes(self, level: Level) -> u64 {
        1 << self.entry_shift(level)
    }

    /// Whether a valid descriptor at `level` may be a leaf, a page or a block (DDI 0487,
    /// "Translation table descriptor formats", without `FEAT_LPA2`).
    #[must_use]
    pub const fn has_leaf_at(self, level: Level) -> bool {
        match self {
            Self::K4 => level.get() >= 1,
            Self::K16 | Self::K64 => level.get() >= 2,
        }
    }

    /// The size of the largest block, in bytes: 1 GiB, 32 MiB or 512 MiB.
    #[must_use]
    pub const fn largest_leaf_bytes(self) -> u64 {
        match self {
            Self::K4 => self.entry_bytes(Level::ONE),
            Self::K16 | Self::K64 => self.entry_bytes(Level::TWO),
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
    fn levels_end_at_zero_and_three() {
        assert_eq!(Level::THREE.next(), None);
        assert_eq!(Level::ZERO.previous(), None);
        assert_eq!(Level::new(4), None);
    }
}
