//! Cache maintenance.

use core::arch::asm;

/// Makes the cache line that holds `va` visible to observers without caches (`DC CVAC`); complete after a `DSB`.
pub fn clean_to_point_of_coherency(va: u64) {
    // SAFETY: cleaning writes back what memory means already.
    unsafe { asm!("dc cvac, {}", in(reg) va, options(nostack, preserves_flags)) }
}
