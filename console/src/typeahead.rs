//! What was typed while a command runs.

/// Bytes kept.
const CAPACITY: usize = 256;

/// A queue of bytes.
pub struct TypeAhead {
    bytes: [u8; CAPACITY],
    /// Where the oldest byte is.
    start: usize,
    count: usize,
}

impl TypeAhead {
    /// Nothing typed.
    pub const fn new() -> Self {
        Self {
            bytes: [0; CAPACITY],
            start: 0,
            count: 0,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether nothing more fits.
    pub fn is_full(&self) -> bool {
        self.count == CAPACITY
    }

    /// Adds a byte; a full queue drops it.
    pub fn push(&mut self, byte: u8) {
        if self.is_full() {
            return;
        }
        if let Some(slot) = self.bytes.get_mut((self.start + self.count) % CAPACITY) {
            *slot = byte;
            self.count += 1;
        }
    }

    /// Takes the oldest byte.
    pub fn pop(&mut self) -> Option<u8> {
        self.count = self.count.checked_sub(1)?;
        let byte = self.bytes.get(self.start).copied();
        self.start = (self.start + 1) % CAPACITY;
        byte
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// Takes out everything up to the last `byte`, and that; says whether there was one.
    pub fn forget_through(&mut self, byte: u8) -> bool {
        let at = |index| self.bytes.get((self.start + index) % CAPACITY) == Some(&byte);
        let Some(last) = (0..self.count).rev().find(|index| at(*index)) else {
            return false;
        };
        self.start = (self.start + last + 1) % CAPACITY;
        self.count -= last + 1;
        true
    }
}
