//! Page-table frames: 4 KiB each, counted, never used for anything else.
//!
//! Free frames form a list through their own first words. Invariant I3 rests on the two counters here: every frame
//! is on the list or in exactly one table, and the sum never changes.
//!
//! The last frames are for roots. Each CPU runs on one shadow at most, so with as many roots in reserve as there are CPUs
//! there is a root for every CPU, or a shadow that no CPU runs on.

use core::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use vmsa::Pa;

use super::{PAGE_BYTES, phys};
use crate::{layout::CPU_COUNT_MAX, lock::Mutex};

/// End of the free list: no frame has this address, because address 0 is a device on the board.
const END: u64 = 0;

struct Frames {
    /// First free frame, or [`END`].
    head: u64,
    free_count: usize,
    total_count: usize,
}

/// See [`note_baseline`].
static BASELINE: AtomicUsize = AtomicUsize::new(0);

static FRAMES: Mutex<Frames> = Mutex::new(Frames {
    head: END,
    free_count: 0,
    total_count: 0,
});

/// Gives the allocator its memory.
///
/// # Safety
///
/// `range` is RAM mapped writable at EL2 and used by nothing else from now on. Called once.
pub unsafe fn init(range: Range<u64>) {
    let mut frames = FRAMES.lock();
    // From the end, so that frames are handed out in address order.
    let page_count = (range.end - range.start) / PAGE_BYTES;
    for frame in (0..page_count).rev().map(|page| range.start + page * PAGE_BYTES) {
        phys::write(Pa::new(frame), frames.head);
        frames.head = frame;
        frames.free_count += 1;
    }
    frames.total_count = frames.free_count;
}

/// Takes a zeroed frame; `None` when all are in use but those for roots.
pub fn alloc() -> Option<Pa> {
    take(CPU_COUNT_MAX)
}

/// Takes a zeroed frame for a root; `None` when all are in use.
pub fn alloc_root() -> Option<Pa> {
    take(0)
}

/// Takes a frame if more than `reserve` are free.
fn take(reserve: usize) -> Option<Pa> {
    let frame = {
        let mut frames = FRAMES.lock();
        if frames.free_count <= reserve {
            return None;
        }
        let frame = Pa::new(frames.head);
        frames.head = phys::read(frame);
        frames.free_count -= 1;
        frame
    };
    phys::zero_page(frame);
    Some(frame)
}

/// Gives `frame` back.
pub fn free(frame: Pa) {
    let mut frames = FRAMES.lock();
    phys::write(frame, frames.head);
    frames.head = frame.bits();
    frames.free_count = frames.free_count.wrapping_add(1);
}

/// Remembers how many frames are free, as what must be free again once L1 has nothing left. Called once, when boot is
/// done.
pub fn note_baseline() {
    let (free, _) = usage();
    BASELINE.store(free, Relaxed);
}

/// Frames that were free when boot was done.
pub fn baseline() -> usize {
    BASELINE.load(Relaxed)
}

/// Frames free, frames in all.
pub fn usage() -> (usize, usize) {
    let frames = FRAMES.lock();
    (frames.free_count, frames.total_count)
}
