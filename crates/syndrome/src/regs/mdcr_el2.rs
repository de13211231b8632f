//! `MDCR_EL2`, Monitor Debug Configuration Register.

/// Event counters EL1 and EL0 may use (five bits).
pub const HPMN: u64 = 0x1f;

/// Traps `PMCR_EL0`.
pub const TPMCR: u64 = 1 << 5;

/// Traps every performance monitor register.
pub const TPM: u64 = 1 << 6;

/// EL2's own event counters run.
pub const HPME: u64 = 1 << 7;

/// Debug exceptions go to EL2; acts as `TDRA`, `TDOSA` and `TDA` too.
pub const TDE: u64 = 1 << 8;

/// Traps debug registers.
pub const TDA: u64 = 1 << 9;

/// Traps the debug powerdown and OS lock registers.
pub const TDOSA: u64 = 1 << 10;

/// Traps `MDRAR_EL1`.
pub const TDRA: u64 = 1 << 11;

/// Owner of the statistical profiling buffer (two bits).
pub const E2PB: u64 = 0x3 << 12;

/// Traps the statistical profiling registers.
pub const TPMS: u64 = 1 << 14;

/// Traps `TRFCR_EL1`.
pub const TTRF: u64 = 1 << 19;

/// Owner of the trace buffer (two bits).
pub const E2TB: u64 = 0x3 << 24;

/// Traps the debug communication channel.
pub const TDCC: u64 = 1 << 27;
