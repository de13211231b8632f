//! `CPTR_EL2` when `HCR_EL2.E2H` is 0, the layout gnomon itself uses: everything
//! here traps when 1. The VHE layout is in [`cpacr`](super::cpacr).

/// Bits that are RES1 whatever is implemented.
pub const RES1: u64 = 0x22ff;

/// Traps SVE.
pub const TZ: u64 = 1 << 8;

/// Traps floating point and Advanced SIMD.
pub const TFP: u64 = 1 << 10;

/// Traps SME.
pub const TSM: u64 = 1 << 12;

/// Traps trace registers.
pub const TTA: u64 = 1 << 20;

/// Traps activity monitors.
pub const TAM: u64 = 1 << 30;

/// Traps `CPACR_EL1`.
pub const TCPAC: u64 = 1 << 31;
