//! Chance that is the same in every run.

/// Numbers that look like chance (SplitMix64).
pub struct Chance(pub u64);

impl Chance {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// One below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// Fewer than `max` bytes.
    pub fn bytes(&mut self, max: usize) -> Vec<u8> {
        let count = self.below(max);
        (0..count).map(|_| self.number() as u8).collect()
    }
}
