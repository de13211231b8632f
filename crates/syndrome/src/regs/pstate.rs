//! The bits of `PSTATE` as `SPSR_ELx` holds them, and the modes of AArch64.
//!
//! A mode is a level and a stack: `M[3:2]` the exception level, `M[0]` 1 for the
//! level's own `SP_ELx` (h) and 0 for `SP_EL0` (t).
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

/// Negative.
pub const N: u64 = 1 << 31;

/// Zero.
pub const Z: u64 = 1 << 30;

/// Carry.
pub const C: u64 = 1 << 29;

/// Overflow.
pub const V: u64 = 1 << 28;

/// The four condition flags.
pub const NZCV: u64 = N | Z | C | V;

/// Tag check override (FEAT_MTE).
pub const TCO: u64 = 1 << 25;

/// Data independent timing.
pub const DIT: u64 = 1 << 24;

/// User access override.
pub const UAO: u64 = 1 << 23;

/// Privileged access never.
pub const PAN: u64 = 1 << 22;

/// Software step.
pub const SS: u64 = 1 << 21;

/// Illegal execution state.
pub const IL: u64 = 1 << 20;

/// All interrupts masked, superpriority too (FEAT_NMI).
pub const ALLINT: u64 = 1 << 13;

/// Speculative store bypass safe.
pub const SSBS: u64 = 1 << 12;

/// Branch type for FEAT_BTI (two bits).
pub const BTYPE: u64 = 0x3 << 10;

/// Debug exceptions masked.
pub const D: u64 = 1 << 9;

/// SError masked.
pub const A: u64 = 1 << 8;

/// IRQ masked.
pub const I: u64 = 1 << 7;

/// FIQ masked.
pub const F: u64 = 1 << 6;

/// All four masks.
pub const DAIF: u64 = D | A | I | F;

/// Execution state: 1 is AArch32.
pub const nRW: u64 = 1 << 4;

/// Mode of AArch64: exception level and stack.
pub const M: u64 = 0xf;

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
