//! `CNTHCTL_EL2`, whose first bits move with `HCR_EL2.E2H`.
//!
//! With `E2H` = 1 bits 0 to 9 speak of EL0 under `TGE`, as `CNTKCTL_EL1` does, and
//! the enables for EL1 are bits 10 and 11; with `E2H` = 0 those enables are bits 0
//! and 1. From bit 12 up the layouts agree.

/// `E2H` = 1: EL0 may read the physical counter.
pub const EL0PCTEN: u64 = 1 << 0;

/// `E2H` = 1: EL0 may read the virtual counter.
pub const EL0VCTEN: u64 = 1 << 1;

/// `E2H` = 0: **0** traps the physical counter.
pub const NVHE_EL1PCTEN: u64 = 1 << 0;

/// `E2H` = 0: **0** traps the physical timer.
pub const NVHE_EL1PCEN: u64 = 1 << 1;

/// Event stream on.
pub const EVNTEN: u64 = 1 << 2;

/// Event on a 1 to 0 transition.
pub const EVNTDIR: u64 = 1 << 3;

/// Counter bit that makes events (four bits).
pub const EVNTI: u64 = 0xf << 4;

/// `E2H` = 1: EL0 may use the virtual timer.
pub const EL0VTEN: u64 = 1 << 8;

/// `E2H` = 1: EL0 may use the physical timer.
pub const EL0PTEN: u64 = 1 << 9;

/// `E2H` = 1: **0** traps the physical counter.
pub const EL1PCTEN: u64 = 1 << 10;

/// `E2H` = 1: **0** traps the physical timer.
pub const EL1PTEN: u64 = 1 << 11;

/// `CNTPOFF_EL2` is in force.
pub const ECV: u64 = 1 << 12;

/// Traps the virtual timer.
pub const EL1TVT: u64 = 1 << 13;

/// Traps the virtual counter.
pub const EL1TVCT: u64 = 1 << 14;

/// Traps `CNTP_*_EL02` of a virtual EL2.
pub const EL1NVPCT: u64 = 1 << 15;

/// Traps `CNTV_*_EL02` of a virtual EL2.
pub const EL1NVVCT: u64 = 1 << 16;

/// Event stream from the counter shifted by 8.
pub const EVNTIS: u64 = 1 << 17;
