//! Memory: EL2's own stage 1, the heap, page-table frames, and access to the guest's RAM.
//!
//! gnomon owns one contiguous carve-out at the start of RAM: the image, then the heap, then frames. The heap serves
//! boot and the console; frames serve page tables and nothing else. Neither ever borrows from the other, so what L1
//! makes gnomon map can never starve the console.

pub mod frames;
pub mod heap;
pub mod phys;
pub mod place;
pub mod stage1;

use core::ops::Range;

use crate::layout;

/// The page size of gnomon's own tables, in bytes.
pub const PAGE_BYTES: u64 = 4096;
/// Host stage 2 and L1's RAM start on a boundary that 2 MiB blocks fit.
const BLOCK_BYTES: u64 = 2 << 20;
/// How far above the start of RAM QEMU puts an image; what else lies below it is given up.
const IMAGE_OFFSET: u64 = 2 << 20;
/// Bytes of heap: the device trees at boot, the console's snapshots afterwards.
const HEAP_BYTES: u64 = 16 << 20;
/// What the carve-out takes of any machine, plus one part in [`RAM_SHARE`] of its RAM.
const CARVE_OUT_BASE_BYTES: u64 = 64 << 20;
/// One table page maps 512 pages, so 1/512 of RAM holds the leaves of one full shadow; two make it comfortable.
const RAM_SHARE: u64 = 256;

/// How the carve-out is divided.
#[derive(Clone, Debug)]
pub struct CarveOut {
    /// All of it: from the start of RAM, so that what the boot loader left below the image is covered too.
    pub whole: Range<u64>,
    /// Page-table frames.
    pub frames: Range<u64>,
}

impl CarveOut {
    /// Lays out the carve-out of a machine whose RAM bank `ram` holds the image.
    pub fn of(ram: &Range<u64>) -> Self {
        let bytes = CARVE_OUT_BASE_BYTES + (ram.end - ram.start) / RAM_SHARE;
        let end = (layout::image().start - IMAGE_OFFSET + bytes).next_multiple_of(BLOCK_BYTES);
        Self {
            whole: ram.start..end,
            frames: heap_range().end..end,
        }
    }
}

/// The heap: right behind the image, so that it is known before anything is known of the machine.
pub fn heap_range() -> Range<u64> {
    let start = layout::image().end.next_multiple_of(PAGE_BYTES);
    start..start + HEAP_BYTES
}
