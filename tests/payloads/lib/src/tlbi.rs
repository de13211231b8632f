//! TLB maintenance of a guest's translations. Each completes before it returns.
//!
//! All act on the VMID in `VTTBR_EL2`, but for [`alle1is`] and those of EL2.
#![expect(unsafe_code, reason = "TLB maintenance is done by instructions")]

use core::arch::asm;

macro_rules! maintenance {
    ($($(#[$doc:meta])* $name:ident = $instruction:literal;)*) => {$(
        $(#[$doc])*
        pub fn $name() {
            // SAFETY: forgetting translations is always allowed.
            unsafe { asm!("dsb ishst", concat!("tlbi ", $instruction), "dsb ish", "isb", options(nostack, preserves_flags)) }
        }
    )*};
}

maintenance! {
    /// Stage 1 of the VMID.
    vmalle1is = "vmalle1is";
    /// Both stages of the VMID.
    vmalls12e1is = "vmalls12e1is";
    /// Everything of all VMIDs.
    alle1is = "alle1is";
    /// Everything of EL2's own regime.
    alle2is = "alle2is";
}

/// Stage 2 of the page at `ipa`.
pub fn ipas2e1is(ipa: u64) {
    // SAFETY: as above.
    unsafe {
        asm!("dsb ishst", "tlbi ipas2e1is, {}", "dsb ish", "isb", in(reg) ipa >> 12, options(nostack, preserves_flags))
    }
}

/// EL2's own regime, the page at `va`.
pub fn vae2is(va: u64) {
    // SAFETY: as above.
    unsafe {
        asm!("dsb ishst", "tlbi vae2is, {}", "dsb ish", "isb", in(reg) va << 8 >> 20, options(nostack, preserves_flags))
    }
}

/// EL2's own regime, the last level of the page at `va`.
pub fn vale2is(va: u64) {
    // SAFETY: as above.
    unsafe {
        asm!("dsb ishst", "tlbi vale2is, {}", "dsb ish", "isb", in(reg) va << 8 >> 20, options(nostack, preserves_flags))
    }
}

/// EL2's own regime, two pages of 4 KiB from `va` on.
pub fn rvae2is(va: u64) {
    const GRANULE_4K: u64 = 1 << 46;
    let operand = GRANULE_4K | va >> 12 & ((1 << 37) - 1);
    // SAFETY: as above. It goes by its encoding, RVAE2IS.
    unsafe {
        asm!("dsb ishst", "sys #4, c8, c2, #1, {}", "dsb ish", "isb", in(reg) operand, options(nostack, preserves_flags))
    }
}
