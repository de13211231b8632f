//! The bits of `PSTATE` as `SPSR_ELx` holds them, and the modes of AArch64.
//!
//! A mode is a level and a stack: `M[3:2]` the exception level, `M[0]` 1 for the
//! level's own `SP_ELx` (h) and 0 for `SP_EL0` (t).
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// Negative.
    N = 31;

    /// Zero.
    Z = 30;

    /// Carry.
    C = 29;

    /// Overflow.
    V = 28;

    /// Tag check override (FEAT_MTE).
    TCO = 25;

    /// Data independent timing.
    DIT = 24;

    /// User access override.
    UAO = 23;

    /// Privileged access never.
    PAN = 22;

    /// Software step.
    SS = 21;

    /// Illegal execution state.
    IL = 20;

    /// All interrupts masked, superpriority too (FEAT_NMI).
    ALLINT = 13;

    /// Speculative store bypass safe.
    SSBS = 12;

    /// Branch type for FEAT_BTI.
    BTYPE = 10, 2;

    /// Debug exceptions masked.
    D = 9;

    /// SError masked.
    A = 8;

    /// IRQ masked.
    I = 7;

    /// FIQ masked.
    F = 6;

    /// Execution state: 1 is AArch32.
    nRW = 4;

    /// Mode of AArch64: exception level and stack.
    M = 0, 4 { 0: "EL0t", 4: "EL1t", 5: "EL1h", 8: "EL2t", 9: "EL2h" };
}

/// The four condition flags.
pub const NZCV: u64 = N | Z | C | V;

/// All four masks.
pub const DAIF: u64 = D | A | I | F;

/// EL0.
pub const EL0T: u64 = 0b0000;

/// EL1 on `SP_EL0`.
pub const EL1T: u64 = 0b0100;

/// EL1 on `SP_EL1`.
pub const EL1H: u64 = 0b0101;

/// EL2 on `SP_EL0`.
pub const EL2T: u64 = 0b1000;

/// EL2 on `SP_EL2`.
pub const EL2H: u64 = 0b1001;
