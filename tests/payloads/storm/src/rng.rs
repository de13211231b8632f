//! Numbers that look random, and are the same for the same seed.

/// A generator (`splitmix64`).
pub(crate) struct Rng(u64);

impl Rng {
    /// One for a seed and somebody who has it in common with others.
    pub(crate) const fn new(seed: u64, of: u64) -> Self {
        Self(seed ^ of.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    /// The next number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// One below `end`.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
