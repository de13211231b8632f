//! TLB maintenance. Each function is one instruction without its barriers, unless it says so.
//!
//! Everything is broadcast to the inner shareable domain, even what a guest asked of its own CPU alone: a guest
//! cannot tell, and shadow translations may be cached by any CPU that ran its sibling.

use core::arch::asm;

macro_rules! tlbi {
    ($($(#[$doc:meta])* $name:ident($($operand:ident)?) = $text:literal;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name($($operand: u64)?) {
            // SAFETY: invalidating cached translations changes no memory; the tables stay what they are.
            unsafe { asm!(concat!("tlbi ", $text, tlbi!(@slot $($operand)?)), $(in(reg) $operand,)? options(nostack, preserves_flags)) }
        }
    )*};
    (@slot $operand:ident) => { ", {}" };
    (@slot) => { "" };
}

tlbi! {
    /// EL2's own stage 1, this CPU.
    alle2() = "alle2";
    /// EL2's own stage 1 by VA, last level, all CPUs.
    vale2is(page) = "vale2is";
    /// Stage 1 and 2 of the current VMID.
    vmalls12e1is() = "vmalls12e1is";
    /// Stage 1 of the current VMID, and what combines it with stage 2.
    vmalle1is() = "vmalle1is";
    /// Stage 2 of the current VMID by IPA: operand `IPA[51:12]`, any level.
    ipas2e1is(ipa) = "ipas2e1is";
    /// Stage 1 by VA and ASID.
    vae1is(operand) = "vae1is";
    /// Stage 1 by ASID.
    aside1is(operand) = "aside1is";
    /// Stage 1 by VA, all ASIDs.
    vaae1is(operand) = "vaae1is";
    /// Stage 1 by VA and ASID, last level.
    vale1is(operand) = "vale1is";
    /// Stage 1 by VA, all ASIDs, last level.
    vaale1is(operand) = "vaale1is";
}

macro_rules! tlbi_by_encoding {
    ($($name:ident = $text:literal;)*) => {$(
        /// The range form of FEAT_TLBIRANGE that its name says.
        #[inline(always)]
        pub fn $name(operand: u64) {
            // SAFETY: as above.
            unsafe { asm!(concat!("sys ", $text, ", {}"), in(reg) operand, options(nostack, preserves_flags)) }
        }
    )*};
}
tlbi_by_encoding! {
    range_vae1is = "#0, c8, c2, #1";
    range_vaae1is = "#0, c8, c2, #3";
    range_vale1is = "#0, c8, c2, #5";
    range_vaale1is = "#0, c8, c2, #7";
}
