//! `CNTHCTL_EL2`, whose first bits move with `HCR_EL2.E2H`.
//!
//! With `E2H` = 1 bits 0 to 9 speak of EL0 under `TGE`, as `CNTKCTL_EL1` does, and
//! the enables for EL1 are bits 10 and 11; with `E2H` = 0 those enables are bits 0
//! and 1. From bit 12 up the layouts agree.

use super::field::fields;

fields! {
    /// With `E2H` = 1: about EL0, and the enables for EL1.
    VHE:

    /// `E2H` = 1: EL0 may read the physical counter.
    EL0PCTEN = 0;

    /// `E2H` = 1: EL0 may read the virtual counter.
    EL0VCTEN = 1;

    /// `E2H` = 1: EL0 may use the virtual timer.
    EL0VTEN = 8;

    /// `E2H` = 1: EL0 may use the physical timer.
    EL0PTEN = 9;

    /// `E2H` = 1: **0** traps the physical counter.
    EL1PCTEN = 10;

    /// `E2H` = 1: **0** traps the physical timer.
    EL1PTEN = 11;
}

fields! {
    /// With `E2H` = 0: the enables for EL1.
    CLASSIC:

    /// `E2H` = 0: **0** traps the physical counter.
    NVHE_EL1PCTEN = 0;

    /// `E2H` = 0: **0** traps the physical timer.
    NVHE_EL1PCEN = 1;
}

fields! {
    /// With either.
    COMMON:

    /// Event stream on.
    EVNTEN = 2;

    /// Event on a 1 to 0 transition.
    EVNTDIR = 3;

    /// Counter bit that makes events.
    EVNTI = 4, 4;

    /// `CNTPOFF_EL2` is in force.
    ECV = 12;

    /// Traps the virtual timer.
    EL1TVT = 13;

    /// Traps the virtual counter.
    EL1TVCT = 14;

    /// Traps `CNTP_*_EL02` of a virtual EL2.
    EL1NVPCT = 15;

    /// Traps `CNTV_*_EL02` of a virtual EL2.
    EL1NVVCT = 16;

    /// Event stream from the counter shifted by 8.
    EVNTIS = 17;
}
