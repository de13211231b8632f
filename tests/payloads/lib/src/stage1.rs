//! A page of EL2's own stage 1 beyond the identity map of `boot`.
#![expect(unsafe_code, reason = "the root table is reached by its symbol")]

use crate::host::AP1;
use crate::memory::Frames;
use crate::stage2::TableMemory;

/// Where the page is: nothing is there in the identity map.
pub const BASE: u64 = 100 << 30;

/// A leaf may not be written.
pub const READ_ONLY: u64 = 1 << 7;
/// A leaf of level 3: valid, Normal memory, inner shareable, the Access flag.
pub const PAGE: u64 = 1 << 10 | 3 << 8 | AP1 | 1 << 2 | 0b11;
const TABLE: u64 = 0b11;

unsafe extern "C" {
    static mut __translation_table: [u64; 512];
}

/// The tables of one page.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    entry: u64,
}

impl Window {
    /// A window of one page at [`BASE`], which leads nowhere.
    pub fn new(frames: &mut Frames) -> Self {
        let (second, third) = (frames.page(), frames.page());
        frames.write(second, third | TABLE);
        // SAFETY: the table is this program's own, nobody has a reference to it, and nothing uses the entry's range.
        unsafe {
            let entries = &raw mut __translation_table;
            entries
                .cast::<u64>()
                .add((BASE >> 30) as usize)
                .write_volatile(second | TABLE);
        }
        // Once more, for its barriers.
        frames.write(second, third | TABLE);
        crate::tlbi::alle2is();
        Self { entry: third }
    }

    /// Makes `desc` the leaf. What was there is for the caller to invalidate.
    pub fn set(&self, desc: u64, frames: &mut Frames) {
        frames.write(self.entry, desc);
    }
}
