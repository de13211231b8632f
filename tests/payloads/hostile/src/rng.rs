//! Numbers drawn from a seed, and which of them are worth drawing.

use crate::places;

/// SplitMix64: a state that is counted up, and a hash of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The numbers of one step of one CPU. They do not depend on the steps before.
    pub(crate) fn of_step(seed: u64, cpu: u64, step: u64) -> Self {
        let mut rng = Self(seed);
        rng.0 = rng.draw() ^ cpu << 56 ^ step;
        rng
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut hash = self.0;
        hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ hash >> 31
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn choose<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// A value for a register: corners, few bits, many bits, an address.
    pub(crate) fn value(&mut self) -> u64 {
        match self.below(9) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << self.below(64),
            3 => !(1 << self.below(64)),
            4 => self.draw(),
            5 => self.draw() & self.draw() & self.draw(),
            6 => self.draw() | self.draw() | self.draw(),
            7 => self.below(0x1_0000),
            _ => self.address(),
        }
    }

    /// Where something may be, or nothing: never what this program needs to go on.
    pub(crate) fn address(&mut self) -> u64 {
        let (start, bytes) = self.choose(&places::RANGES);
        let at = start + self.below(bytes);
        match self.below(8) {
            0 => at,
            1 => at & !3,
            2 | 3 => at & !7,
            _ => at & !0xfff,
        }
    }
}
