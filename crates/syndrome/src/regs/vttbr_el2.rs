//! `VTTBR_EL2`, Virtualization Translation Table Base Register.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

/// The tables are common to all PEs of the inner shareable domain.
pub const CnP: u64 = 1 << 0;

/// Base address of the tables, bits 47 to 1.
pub const BADDR: u64 = 0x7fff_ffff_ffff << 1;

/// Virtual machine identifier (sixteen bits).
pub const VMID: u64 = 0xffff << 48;
