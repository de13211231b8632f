//! Interrupt numbers that are known to be in range.

/// An INTID of an SGI, PPI or SPI: 0 to 1019.
///
/// Interrupts live in words of 32, laid out as in the GIC's registers; an `IntId` is a word and a
/// bit in it, both in range by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntId(u16);

/// The number of words of 32 interrupts that the distributor's registers have room for.
pub(crate) const WORDS: usize = 32;

/// The first INTID that is not an SPI (1020 to 1023 are special).
pub(crate) const FIRST_SPECIAL: u32 = 1020;

impl IntId {
    /// The interrupt with number `intid`, or `None` for a special number, an LPI or beyond.
    pub(crate) fn new(intid: u32) -> Option<Self> {
        match u16::try_from(intid) {
            Ok(number) if intid < FIRST_SPECIAL => Some(Self(number)),
            _ => None,
        }
    }

    /// The interrupt at `bit` of register word `word`.
    pub(crate) fn at(word: usize, bit: u32) -> Option<Self> {
        let word = u32::try_from(word).ok()?;
        Self::new(word.checked_mul(32)?.checked_add(bit & 31)?)
    }

    /// The INTID.
    pub(crate) fn number(self) -> u32 {
        u32::from(self.0)
    }

    /// Index of its word, below [`WORDS`].
    pub(crate) fn word(self) -> usize {
        usize::from(self.0 >> 5) & (WORDS - 1)
    }

    /// Index in its word, below 32.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0 & 31)
    }

    /// Its bit in its word.
    pub(crate) fn mask(self) -> u32 {
        1 << (self.0 & 31)
    }

    /// Whether it is an SGI or PPI, of which each vCPU has its own.
    pub(crate) fn is_private(self) -> bool {
        self.0 < 32
    }
}

/// The set bits of a word, lowest first.
#[derive(Clone)]
pub(crate) struct Bits(pub(crate) u32);

impl Iterator for Bits {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn special_numbers_and_lpis_are_no_intids() {
        assert!(IntId::new(1019).is_some());
        for intid in [1020, 1023, 1024, 8192, u32::MAX] {
            assert_eq!(IntId::new(intid), None);
        }
        assert_eq!(IntId::at(31, 28), None);
        assert_eq!(IntId::at(usize::MAX, 0), None);
    }

    #[test]
    fn word_and_bit_are_those_of_the_registers() {
        let spi = IntId::new(70).unwrap();
        assert_eq!((spi.word(), spi.index(), spi.mask()), (2, 6, 1 << 6));
        assert_eq!(IntId::at(2, 6), Some(spi));
        assert!(!spi.is_private());
        assert!(IntId::new(31).unwrap().is_private());
    }

    #[test]
    fn bits_are_visited_lowest_first() {
        assert_eq!(Bits(0x8000_0005).collect::<Vec<_>>(), [0, 2, 31], "each once");
    }
}
