//! `CPACR_EL1`, and `CPTR_EL2` when `HCR_EL2.E2H` is 1 (which adds `TAM` and
//! `TCPAC`).
//!
//! The two-bit enables read alike: bit 0 clear traps EL1 and EL0; 0b01 traps EL0
//! only (for `CPTR_EL2`: only while `TGE` is 1).

/// SVE enable.
pub const ZEN: u64 = 0x3 << 16;

/// Floating point and Advanced SIMD enable.
pub const FPEN: u64 = 0x3 << 20;

/// SME enable.
pub const SMEN: u64 = 0x3 << 24;

/// Traps trace registers.
pub const TTA: u64 = 1 << 28;

/// EL0 may use `POR_EL0`.
pub const E0POE: u64 = 1 << 29;

/// Traps activity monitors (`CPTR_EL2` only).
pub const TAM: u64 = 1 << 30;

/// Traps `CPACR_EL1` (`CPTR_EL2` only).
pub const TCPAC: u64 = 1 << 31;
