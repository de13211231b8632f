//! An input, taken apart from the front.

/// Bytes that are taken from the front; zeros follow the last one.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether there is nothing left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// A bit.
    pub fn bit(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    /// 16 bits.
    pub fn half(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// 64 bits.
    pub fn double(&mut self) -> u64 {
        u64::from_le_bytes(core::array::from_fn(|_| self.byte()))
    }

    /// A number below `end`, which is at most 256.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// One of `choices`, of which there are 256 at most.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// 64 bits, with few of them set, few of them clear, or any.
    pub fn word(&mut self) -> u64 {
        match self.below(8) {
            0 => 1 << (self.byte() & 63),
            1 => u64::from(self.half()),
            2 => !u64::from(self.half()),
            3 => u64::from(self.half()) << (self.byte() & 63),
            _ => self.double(),
        }
    }
}
