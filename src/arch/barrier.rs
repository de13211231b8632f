//! Barriers and hints.

use core::arch::asm;

macro_rules! instruction {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            // SAFETY: a barrier or hint changes no register and no memory.
            unsafe { asm!($text, options(nostack, preserves_flags)) }
        }
    };
}

instruction!(
    /// Later instructions see the effects of earlier register writes.
    isb, "isb"
);
instruction!(
    /// Earlier memory accesses and TLB maintenance complete for the inner shareable domain.
    dsb_ish, "dsb ish"
);
instruction!(
    /// Earlier stores are visible to the table walkers of the inner shareable domain.
    dsb_ishst, "dsb ishst"
);
instruction!(
    /// Everything earlier completes, for the whole system.
    dsb_sy, "dsb sy"
);
instruction!(
    /// Sleeps until an interrupt is pending, masked or not.
    wfi, "wfi"
);
