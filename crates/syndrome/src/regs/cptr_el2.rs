//! `CPTR_EL2` when `HCR_EL2.E2H` is 0, the layout gnomon itself uses: everything
//! here traps when 1. The VHE layout is in [`cpacr`](super::cpacr).

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// Traps SVE.
    TZ = 8;

    /// Traps floating point and Advanced SIMD.
    TFP = 10;

    /// Traps SME.
    TSM = 12;

    /// Traps trace registers.
    TTA = 20;

    /// Traps activity monitors.
    TAM = 30;

    /// Traps `CPACR_EL1`.
    TCPAC = 31;
}

/// Bits that are RES1 whatever is implemented.
pub const RES1: u64 = 0x22ff;
