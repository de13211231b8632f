//! `SCTLR_EL1`, and `SCTLR_EL2` when `HCR_EL2.E2H` is 1: the layouts agree.
//!
//! The bits of AArch32 state and of what is not in the architecture yet are not here.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// MMU on.
    M = 0;

    /// Alignment checking.
    A = 1;

    /// Data cacheability.
    C = 2;

    /// Stack alignment checking.
    SA = 3;

    /// Stack alignment checking at EL0.
    SA0 = 4;

    /// AArch32 barrier encodings at EL0.
    CP15BEN = 5;

    /// Relaxed alignment of atomics (FEAT_LSE2).
    nAA = 6;

    /// `SETEND` disabled at EL0.
    SED = 8;

    /// EL0 may change `PSTATE.DAIF`.
    UMA = 9;

    /// EL0 may use the prediction restriction instructions.
    EnRCTX = 10;

    /// Exception return is a context synchronisation event.
    EOS = 11;

    /// Instruction cacheability.
    I = 12;

    /// Key DB authenticates.
    EnDB = 13;

    /// EL0 may use `DC ZVA`.
    DZE = 14;

    /// EL0 may read `CTR_EL0`.
    UCT = 15;

    /// **0** traps `WFI` of EL0.
    nTWI = 16;

    /// **0** traps `WFE` of EL0.
    nTWE = 18;

    /// Writable memory is execute-never.
    WXN = 19;

    /// Traps `SCXTNUM_EL0` of EL0.
    TSCXT = 20;

    /// Implicit error synchronisation at exception entry and return.
    IESB = 21;

    /// Exception entry is a context synchronisation event.
    EIS = 22;

    /// **0** sets `PSTATE.PAN` on exceptions to this level.
    SPAN = 23;

    /// EL0 data is big-endian.
    E0E = 24;

    /// Data at this level, and its translation tables, are big-endian.
    EE = 25;

    /// EL0 may use cache maintenance.
    UCI = 26;

    /// Key DA authenticates.
    EnDA = 27;

    /// AArch32 multiple transfers to Device memory do not trap.
    nTLSMD = 28;

    /// AArch32 multiple transfers in order.
    LSMAOE = 29;

    /// Key IB authenticates.
    EnIB = 30;

    /// Key IA authenticates.
    EnIA = 31;

    /// Branch type check of `PACIxSP` at EL0.
    BT0 = 35;

    /// Branch type check of `PACIxSP` at this level.
    BT1 = 36;

    /// `PSTATE.SSBS` on exception entry.
    DSSBS = 44;

    /// PAN also guards against execute-only EL0 pages.
    EPAN = 57;

    /// **0** traps `FPMR` of EL0.
    EnFPM = 34;

    /// EL0 cache maintenance needs write permission.
    CMOW = 32;

    /// EL0 may use memory copy instructions.
    MSCEn = 33;

    /// Tag check faults are synchronised at exception entry.
    ITFSB = 37;

    /// Tag check faults of EL0.
    TCF0 = 38, 2;

    /// Tag check faults of this level.
    TCF = 40, 2;

    /// **0** makes allocation tags inaccessible at EL0.
    ATA0 = 42;

    /// **0** makes allocation tags inaccessible at this level.
    ATA = 43;

    /// `TWEDEL` delays trapped `WFE`s.
    TWEDEn = 45;

    /// Delay of a trapped `WFE`.
    TWEDEL = 46, 4;

    /// **0** traps `ST64BV` of EL0.
    EnASR = 54;

    /// **0** traps `ST64BV0` of EL0.
    EnAS0 = 55;

    /// **0** traps `LD64B` and `ST64B` of EL0.
    EnALS = 56;

    /// **0** traps `TPIDR2_EL0` of EL0.
    EnTP2 = 60;

    /// Non-maskable interrupts.
    NMI = 61;

    /// Interrupts are masked while on `SP_ELx`.
    SPINTMASK = 62;

    /// Traps implementation defined encodings of EL0.
    TIDCP = 63;
}
