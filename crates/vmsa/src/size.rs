//! Sizes as people say them.

use core::fmt;

/// A number of bytes, printed in the largest unit in which it is a whole number: `2M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Size {
    /// The number and its unit, from `K` on, as Linux picks it. What is less than 1 KiB is lost.
    #[must_use]
    pub const fn in_units(self) -> (u64, char) {
        const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
        let (mut size, mut unit) = (self.0 >> 10, 0);
        while size & 1023 == 0 && unit + 1 < UNITS.len() {
            size >>= 10;
            unit += 1;
        }
        (size, UNITS[unit])
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, unit) = self.in_units();
        write!(f, "{size}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_use_the_largest_unit_that_divides() {
        assert_eq!(Size(0x1000).in_units(), (4, 'K'));
        assert_eq!(Size(1916 << 10).in_units(), (1916, 'K'));
        assert_eq!(Size(1006 << 20).in_units(), (1006, 'M'));
        assert_eq!(Size(1 << 30).in_units(), (1, 'G'));
        assert_eq!(Size(1 << 48).in_units(), (256, 'T'));
        assert_eq!(Size(u64::MAX ^ 0x3ff).in_units(), ((1 << 54) - 1, 'K'));
    }
}
