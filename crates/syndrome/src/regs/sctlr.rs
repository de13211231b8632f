//! `SCTLR_EL1`, and `SCTLR_EL2` when `HCR_EL2.E2H` is 1: the layouts agree.
//!
//! Only the bits the hypervisor itself decides by or shows are here.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

/// MMU on.
pub const M: u64 = 1 << 0;

/// Alignment checking.
pub const A: u64 = 1 << 1;

/// Data cacheability.
pub const C: u64 = 1 << 2;

/// Stack alignment checking.
pub const SA: u64 = 1 << 3;

/// Stack alignment checking at EL0.
pub const SA0: u64 = 1 << 4;

/// AArch32 barrier encodings at EL0.
pub const CP15BEN: u64 = 1 << 5;

/// Relaxed alignment of atomics (FEAT_LSE2).
pub const nAA: u64 = 1 << 6;

/// `SETEND` disabled at EL0.
pub const SED: u64 = 1 << 8;

/// EL0 may change `PSTATE.DAIF`.
pub const UMA: u64 = 1 << 9;

/// EL0 may use the prediction restriction instructions.
pub const EnRCTX: u64 = 1 << 10;

/// Exception return is a context synchronisation event.
pub const EOS: u64 = 1 << 11;

/// Instruction cacheability.
pub const I: u64 = 1 << 12;

/// Key DB authenticates.
pub const EnDB: u64 = 1 << 13;

/// EL0 may use `DC ZVA`.
pub const DZE: u64 = 1 << 14;

/// EL0 may read `CTR_EL0`.
pub const UCT: u64 = 1 << 15;

/// **0** traps `WFI` of EL0.
pub const nTWI: u64 = 1 << 16;

/// **0** traps `WFE` of EL0.
pub const nTWE: u64 = 1 << 18;

/// Writable memory is execute-never.
pub const WXN: u64 = 1 << 19;

/// Traps `SCXTNUM_EL0` of EL0.
pub const TSCXT: u64 = 1 << 20;

/// Implicit error synchronisation at exception entry and return.
pub const IESB: u64 = 1 << 21;

/// Exception entry is a context synchronisation event.
pub const EIS: u64 = 1 << 22;

/// **0** sets `PSTATE.PAN` on exceptions to this level.
pub const SPAN: u64 = 1 << 23;

/// EL0 data is big-endian.
pub const E0E: u64 = 1 << 24;

/// Data at this level, and its translation tables, are big-endian.
pub const EE: u64 = 1 << 25;

/// EL0 may use cache maintenance.
pub const UCI: u64 = 1 << 26;

/// Key DA authenticates.
pub const EnDA: u64 = 1 << 27;

/// AArch32 multiple transfers to Device memory do not trap.
pub const nTLSMD: u64 = 1 << 28;

/// AArch32 multiple transfers in order.
pub const LSMAOE: u64 = 1 << 29;

/// Key IB authenticates.
pub const EnIB: u64 = 1 << 30;

/// Key IA authenticates.
pub const EnIA: u64 = 1 << 31;

/// Branch type check of `PACIxSP` at EL0.
pub const BT0: u64 = 1 << 35;

/// Branch type check of `PACIxSP` at this level.
pub const BT1: u64 = 1 << 36;

/// `PSTATE.SSBS` on exception entry.
pub const DSSBS: u64 = 1 << 44;

/// PAN also guards against execute-only EL0 pages.
pub const EPAN: u64 = 1 << 57;
