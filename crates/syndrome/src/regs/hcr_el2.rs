//! `HCR_EL2`, Hypervisor Configuration Register.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

/// Stage 2 translation of the EL1&0 regime.
pub const VM: u64 = 1 << 0;

/// Set/way invalidate made clean and invalidate; often RES1.
pub const SWIO: u64 = 1 << 1;

/// A stage 1 walk that touches Device memory at stage 2 faults.
pub const PTW: u64 = 1 << 2;

/// Physical FIQs go to EL2, virtual FIQs exist.
pub const FMO: u64 = 1 << 3;

/// Physical IRQs go to EL2, virtual IRQs exist.
pub const IMO: u64 = 1 << 4;

/// Physical SErrors go to EL2, virtual SErrors exist.
pub const AMO: u64 = 1 << 5;

/// A virtual FIQ is pending.
pub const VF: u64 = 1 << 6;

/// A virtual IRQ is pending.
pub const VI: u64 = 1 << 7;

/// A virtual SError is pending; cleared by hardware when taken.
pub const VSE: u64 = 1 << 8;

/// Local TLB and instruction cache maintenance of EL1 is broadcast.
pub const FB: u64 = 1 << 9;

/// Minimum shareability of EL1's barriers (two bits).
pub const BSU: u64 = 0x3 << 10;

/// Default cacheability: with stage 1 off, Normal write-back, and `VM` acts as 1.
pub const DC: u64 = 1 << 12;

/// Traps `WFI`.
pub const TWI: u64 = 1 << 13;

/// Traps `WFE`.
pub const TWE: u64 = 1 << 14;

/// Traps ID group 0 (AArch32 only).
pub const TID0: u64 = 1 << 15;

/// Traps reads of ID group 1: `REVIDR_EL1`, `AIDR_EL1`, `SMIDR_EL1`.
pub const TID1: u64 = 1 << 16;

/// Traps ID group 2: `CTR_EL0` and the cache ID registers.
pub const TID2: u64 = 1 << 17;

/// Traps reads of ID group 3: the feature registers.
pub const TID3: u64 = 1 << 18;

/// Traps `SMC`.
pub const TSC: u64 = 1 << 19;

/// Traps IMPLEMENTATION DEFINED encodings.
pub const TIDCP: u64 = 1 << 20;

/// Traps `ACTLR_EL1`.
pub const TACR: u64 = 1 << 21;

/// Traps cache maintenance by set/way.
pub const TSW: u64 = 1 << 22;

/// Traps cache maintenance to the point of coherency or persistence (`TPC` before Armv8.2).
pub const TPCP: u64 = 1 << 23;

/// Traps cache maintenance to the point of unification.
pub const TPU: u64 = 1 << 24;

/// Traps every `TLBI` of EL1.
pub const TTLB: u64 = 1 << 25;

/// Traps writes of the virtual memory control registers.
pub const TVM: u64 = 1 << 26;

/// Trap general exceptions: EL0 belongs to EL2, there is no EL1.
pub const TGE: u64 = 1 << 27;

/// Traps `DC ZVA` and the tag forms of it.
pub const TDZ: u64 = 1 << 28;

/// `HVC` is UNDEFINED (exists only without EL3).
pub const HCD: u64 = 1 << 29;

/// Traps reads of the virtual memory control registers.
pub const TRVM: u64 = 1 << 30;

/// EL1 is AArch64.
pub const RW: u64 = 1 << 31;

/// Stage 2 data accesses are Non-cacheable.
pub const CD: u64 = 1 << 32;

/// Stage 2 instruction fetches are Non-cacheable.
pub const ID: u64 = 1 << 33;

/// EL2 host: EL2 has the EL2&0 regime and EL1's register layouts (FEAT_VHE).
pub const E2H: u64 = 1 << 34;

/// Traps the LORegion registers.
pub const TLOR: u64 = 1 << 35;

/// Traps the RAS error record registers.
pub const TERR: u64 = 1 << 36;

/// Synchronous external aborts of lower levels go to EL2.
pub const TEA: u64 = 1 << 37;

/// Mismatched inner/outer cacheability may lose coherency.
pub const MIOCNCE: u64 = 1 << 38;

/// Transactions are not trapped.
pub const TME: u64 = 1 << 39;

/// **0** traps the pointer authentication key registers.
pub const APK: u64 = 1 << 40;

/// **0** traps pointer authentication instructions.
pub const API: u64 = 1 << 41;

/// EL1 is a virtual EL2: EL2 accesses and `ERET` trap (FEAT_NV).
pub const NV: u64 = 1 << 42;

/// The guest hypervisor at EL1 believes `E2H` = 0.
pub const NV1: u64 = 1 << 43;

/// Traps stage 1 `AT` instructions of EL1.
pub const AT: u64 = 1 << 44;

/// EL2 registers read at EL1 are in memory or EL1 registers, instead of trapping (FEAT_NV2).
pub const NV2: u64 = 1 << 45;

/// Stage 2 descriptors hold the final memory type (FEAT_S2FWB).
pub const FWB: u64 = 1 << 46;

/// **0** traps the RAS fault injection registers.
pub const FIEN: u64 = 1 << 47;

/// Granule protection faults of lower levels go to EL2.
pub const GPF: u64 = 1 << 48;

/// Traps the cache ID registers, without `CTR_EL0`.
pub const TID4: u64 = 1 << 49;

/// Traps `IC IALLUIS`.
pub const TICAB: u64 = 1 << 50;

/// Virtual offsets of the activity monitors.
pub const AMVOFFEN: u64 = 1 << 51;

/// Traps `IC IVAU`, `IC IALLU` and `DC CVAU`.
pub const TOCU: u64 = 1 << 52;

/// **0** traps `SCXTNUM_EL0` and `SCXTNUM_EL1`.
pub const EnSCXT: u64 = 1 << 53;

/// Traps inner shareable `TLBI` of EL1.
pub const TTLBIS: u64 = 1 << 54;

/// Traps outer shareable `TLBI` of EL1.
pub const TTLBOS: u64 = 1 << 55;

/// **0** makes allocation tags inaccessible below EL2.
pub const ATA: u64 = 1 << 56;

/// With `DC`, memory is Tagged.
pub const DCT: u64 = 1 << 57;

/// Traps `GMID_EL1`.
pub const TID5: u64 = 1 << 58;

/// `TWEDEL` delays trapped `WFE`s.
pub const TWEDEn: u64 = 1 << 59;

/// Delay of a trapped `WFE` (four bits).
pub const TWEDEL: u64 = 0xf << 60;
