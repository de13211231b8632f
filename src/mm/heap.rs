//! The heap, for boot and the console. Nothing on an exit path allocates.

use core::ops::Range;

use buddy_system_allocator::LockedHeap;

#[global_allocator]
static HEAP: LockedHeap<32> = LockedHeap::empty();

/// Gives the heap its memory.
///
/// # Safety
///
/// `range` is mapped, writable, and used by nothing else from now on. Called once.
pub unsafe fn init(range: Range<u64>) {
    // SAFETY: the caller vouches for the range.
    unsafe {
        HEAP.lock()
            .init(range.start as usize, (range.end - range.start) as usize)
    }
}

/// Bytes that nobody has. Not all of them can be had in one piece.
pub fn free_bytes() -> usize {
    let heap = HEAP.lock();
    heap.stats_total_bytes() - heap.stats_alloc_actual()
}
