//! Pages for tables and guests, behind the payload's image, and the words in them.
//!
//! This memory is no part of any Rust object: it is reached by volatile accesses of whole words, because the MMU and the
//! guest read and write it too.
#![expect(unsafe_code, reason = "the words are reached by address")]

use core::arch::asm;
use core::ops::Range;

use crate::stage2::{PAGE_BYTES, TableMemory};

/// All frames. The image ends before (`payload.ld`), and a machine with 256 MiB of RAM still has all of it.
pub const FRAMES: Range<u64> = 0x4900_0000..0x4f00_0000;

/// A part of [`FRAMES`], given out in order and never taken back.
#[derive(Debug)]
pub struct Frames {
    range: Range<u64>,
    next: u64,
}

impl Frames {
    /// Part `index` of `count` equal parts of all frames. Whoever takes the same part twice gets the same frames twice.
    #[must_use]
    pub fn part(index: u64, count: u64) -> Self {
        let bytes = (FRAMES.end - FRAMES.start) / count / PAGE_BYTES * PAGE_BYTES;
        let start = FRAMES.start + index * bytes;
        Self {
            range: start..start + bytes,
            next: start,
        }
    }

    /// All frames.
    #[must_use]
    pub fn all() -> Self {
        Self::part(0, 1)
    }

    /// Whether this part has the page at `at`.
    #[must_use]
    pub fn has(&self, at: u64) -> bool {
        self.range.contains(&at)
    }

    /// One zeroed page.
    pub fn page(&mut self) -> u64 {
        self.alloc(1)
    }
}

impl TableMemory for Frames {
    fn alloc(&mut self, count: u64) -> u64 {
        let at = self.next.next_multiple_of(count * PAGE_BYTES);
        self.next = at + count * PAGE_BYTES;
        assert!(self.next <= self.range.end, "out of frames");
        for word in (at..self.next).step_by(8) {
            write(word, 0);
        }
        at
    }

    fn read(&self, at: u64) -> u64 {
        read(at)
    }

    fn write(&mut self, at: u64, desc: u64) {
        write(at, desc);
        // SAFETY: it waits for the store to be seen by the walks of all CPUs.
        unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) }
    }
}

fn word(at: u64) -> *mut u64 {
    assert!(FRAMES.contains(&at) && at.is_multiple_of(8), "{at:#x} is in no frame");
    at as *mut u64
}

/// The word at `at`, which is in a frame.
#[must_use]
pub fn read(at: u64) -> u64 {
    // SAFETY: `word` has checked that it is a whole word of memory that no Rust object is in.
    unsafe { word(at).read_volatile() }
}

/// Writes the word at `at`, which is in a frame.
pub fn write(at: u64, value: u64) {
    // SAFETY: as for `read`.
    unsafe { word(at).write_volatile(value) }
}

/// Makes `words` the code at `at`, which is in a frame.
pub fn put_code(at: u64, words: &[u32]) {
    for (pair, at) in words.chunks(2).zip((at..).step_by(8)) {
        let high = pair.get(1).copied().unwrap_or(0);
        write(at, u64::from(high) << 32 | u64::from(pair[0]));
    }
    // SAFETY: forgets instructions that were fetched before.
    unsafe {
        asm!(
            "dsb ish",
            "ic iallu",
            "dsb ish",
            "isb",
            options(nostack, preserves_flags)
        )
    }
}
