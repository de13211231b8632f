//! `ICH_HCR_EL2`, Interrupt Controller Hyp Control Register.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

/// The virtual CPU interface is on.
pub const En: u64 = 1 << 0;

/// Maintenance on underflow.
pub const UIE: u64 = 1 << 1;

/// Maintenance on an EOI without list register.
pub const LRENPIE: u64 = 1 << 2;

/// Maintenance when nothing is pending.
pub const NPIE: u64 = 1 << 3;

/// Maintenance when group 0 is enabled.
pub const VGrp0EIE: u64 = 1 << 4;

/// Maintenance when group 0 is disabled.
pub const VGrp0DIE: u64 = 1 << 5;

/// Maintenance when group 1 is enabled.
pub const VGrp1EIE: u64 = 1 << 6;

/// Maintenance when group 1 is disabled.
pub const VGrp1DIE: u64 = 1 << 7;

/// Traps the registers common to both groups.
pub const TC: u64 = 1 << 10;

/// Traps the group 0 registers.
pub const TALL0: u64 = 1 << 11;

/// Traps the group 1 registers.
pub const TALL1: u64 = 1 << 12;

/// Traps locally made SEIs.
pub const TSEI: u64 = 1 << 13;

/// Traps `ICC_DIR_EL1`.
pub const TDIR: u64 = 1 << 14;

/// EOIs that met no list register (five bits).
pub const EOIcount: u64 = 0x1f << 27;
