//! `HCR_EL2`, Hypervisor Configuration Register.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// Stage 2 translation of the EL1&0 regime.
    VM = 0;

    /// Set/way invalidate made clean and invalidate; often RES1.
    SWIO = 1;

    /// A stage 1 walk that touches Device memory at stage 2 faults.
    PTW = 2;

    /// Physical FIQs go to EL2, virtual FIQs exist.
    FMO = 3;

    /// Physical IRQs go to EL2, virtual IRQs exist.
    IMO = 4;

    /// Physical SErrors go to EL2, virtual SErrors exist.
    AMO = 5;

    /// A virtual FIQ is pending.
    VF = 6;

    /// A virtual IRQ is pending.
    VI = 7;

    /// A virtual SError is pending; cleared by hardware when taken.
    VSE = 8;

    /// Local TLB and instruction cache maintenance of EL1 is broadcast.
    FB = 9;

    /// Minimum shareability of EL1's barriers.
    BSU = 10, 2 { 0: "no effect", 1: "Inner Shareable", 2: "Outer Shareable", 3: "full system" };

    /// Default cacheability: with stage 1 off, Normal write-back, and `VM` acts as 1.
    DC = 12;

    /// Traps `WFI`.
    TWI = 13;

    /// Traps `WFE`.
    TWE = 14;

    /// Traps ID group 0 (AArch32 only).
    TID0 = 15;

    /// Traps reads of ID group 1: `REVIDR_EL1`, `AIDR_EL1`, `SMIDR_EL1`.
    TID1 = 16;

    /// Traps ID group 2: `CTR_EL0` and the cache ID registers.
    TID2 = 17;

    /// Traps reads of ID group 3: the feature registers.
    TID3 = 18;

    /// Traps `SMC`.
    TSC = 19;

    /// Traps IMPLEMENTATION DEFINED encodings.
    TIDCP = 20;

    /// Traps `ACTLR_EL1`.
    TACR = 21;

    /// Traps cache maintenance by set/way.
    TSW = 22;

    /// Traps cache maintenance to the point of coherency or persistence (`TPC` before Armv8.2).
    TPCP = 23;

    /// Traps cache maintenance to the point of unification.
    TPU = 24;

    /// Traps every `TLBI` of EL1.
    TTLB = 25;

    /// Traps writes of the virtual memory control registers.
    TVM = 26;

    /// Trap general exceptions: EL0 belongs to EL2, there is no EL1.
    TGE = 27;

    /// Traps `DC ZVA` and the tag forms of it.
    TDZ = 28;

    /// `HVC` is UNDEFINED (exists only without EL3).
    HCD = 29;

    /// Traps reads of the virtual memory control registers.
    TRVM = 30;

    /// EL1 is AArch64.
    RW = 31;

    /// Stage 2 data accesses are Non-cacheable.
    CD = 32;

    /// Stage 2 instruction fetches are Non-cacheable.
    ID = 33;

    /// EL2 host: EL2 has the EL2&0 regime and EL1's register layouts (FEAT_VHE).
    E2H = 34;

    /// Traps the LORegion registers.
    TLOR = 35;

    /// Traps the RAS error record registers.
    TERR = 36;

    /// Synchronous external aborts of lower levels go to EL2.
    TEA = 37;

    /// Mismatched inner/outer cacheability may lose coherency.
    MIOCNCE = 38;

    /// Transactions are not trapped.
    TME = 39;

    /// **0** traps the pointer authentication key registers.
    APK = 40;

    /// **0** traps pointer authentication instructions.
    API = 41;

    /// EL1 is a virtual EL2: EL2 accesses and `ERET` trap (FEAT_NV).
    NV = 42;

    /// The guest hypervisor at EL1 believes `E2H` = 0.
    NV1 = 43;

    /// Traps stage 1 `AT` instructions of EL1.
    AT = 44;

    /// EL2 registers read at EL1 are in memory or EL1 registers, instead of trapping (FEAT_NV2).
    NV2 = 45;

    /// Stage 2 descriptors hold the final memory type (FEAT_S2FWB).
    FWB = 46;

    /// **0** traps the RAS fault injection registers.
    FIEN = 47;

    /// Granule protection faults of lower levels go to EL2.
    GPF = 48;

    /// Traps the cache ID registers, without `CTR_EL0`.
    TID4 = 49;

    /// Traps `IC IALLUIS`.
    TICAB = 50;

    /// Virtual offsets of the activity monitors.
    AMVOFFEN = 51;

    /// Traps `IC IVAU`, `IC IALLU` and `DC CVAU`.
    TOCU = 52;

    /// **0** traps `SCXTNUM_EL0` and `SCXTNUM_EL1`.
    EnSCXT = 53;

    /// Traps inner shareable `TLBI` of EL1.
    TTLBIS = 54;

    /// Traps outer shareable `TLBI` of EL1.
    TTLBOS = 55;

    /// **0** makes allocation tags inaccessible below EL2.
    ATA = 56;

    /// With `DC`, memory is Tagged.
    DCT = 57;

    /// Traps `GMID_EL1`.
    TID5 = 58;

    /// `TWEDEL` delays trapped `WFE`s.
    TWEDEn = 59;

    /// Delay of a trapped `WFE`.
    TWEDEL = 60, 4;
}
