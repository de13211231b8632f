//! Numbers drawn from a seed, and which of them are worth drawing.

use bare::rng::SplitMix64;

use crate::places;

/// A generator of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rng(SplitMix64);

impl Rng {
    /// The numbers of one step of one CPU. They do not depend on the steps before.
    pub(crate) fn of_step(seed: u64, cpu: u64, step: u64) -> Self {
        let of_seed = SplitMix64(seed).next();
        Self(SplitMix64(of_seed ^ cpu << 56 ^ step))
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0.next()
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.below(end)
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
