//! Cache maintenance.

use core::arch::asm;

use super::sysreg::DCZID_EL0;

/// Makes the cache line that holds `va` visible to observers without caches (`DC CVAC`); complete after a `DSB`.
pub fn clean_to_point_of_coherency(va: u64) {
    // SAFETY: cleaning writes back what memory means already.
    unsafe { asm!("dc cvac, {}", in(reg) va, options(nostack, preserves_flags)) }
}

/// The bytes that [`zero_block`] clears; `None` where there is no such instruction.
pub fn zero_block_bytes() -> Option<u64> {
    const PROHIBITED: u64 = 1 << 4;
    const LOG2_WORDS: u64 = 0b1111;
    let dczid = DCZID_EL0.get();
    (dczid & PROHIBITED == 0).then(|| 4 << (dczid & LOG2_WORDS))
}

/// Clears the block of memory around `va` (`DC ZVA`).
///
/// # Safety
///
/// As for a store to all of the block, which is Normal memory.
pub unsafe fn zero_block(va: u64) {
    // SAFETY: the caller vouches for it.
    unsafe { asm!("dc zva, {}", in(reg) va, options(nostack, preserves_flags)) }
}
