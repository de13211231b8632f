//! `CPACR_EL1`, and `CPTR_EL2` when `HCR_EL2.E2H` is 1 (which adds `TAM` and
//! `TCPAC`).
//!
//! The two-bit enables read alike: bit 0 clear traps EL1 and EL0; 0b01 traps EL0
//! only (for `CPTR_EL2`: only while `TGE` is 1).

use super::field::fields;

fields! {
    /// Of both registers.
    FIELDS:

    /// SVE enable.
    ZEN = 16, 2 { 0: "EL1 and EL0 trap", 1: "EL0 traps", 2: "EL1 and EL0 trap", 3: "no trap" };

    /// Floating point and Advanced SIMD enable.
    FPEN = 20, 2 { 0: "EL1 and EL0 trap", 1: "EL0 traps", 2: "EL1 and EL0 trap", 3: "no trap" };

    /// SME enable.
    SMEN = 24, 2 { 0: "EL1 and EL0 trap", 1: "EL0 traps", 2: "EL1 and EL0 trap", 3: "no trap" };

    /// Traps trace registers.
    TTA = 28;

    /// EL0 may use `POR_EL0`.
    E0POE = 29;
}

fields! {
    /// Of `CPTR_EL2` alone.
    CPTR_ONLY:

    /// Traps activity monitors (`CPTR_EL2` only).
    TAM = 30;

    /// Traps `CPACR_EL1` (`CPTR_EL2` only).
    TCPAC = 31;
}
