//! `MDCR_EL2`, Monitor Debug Configuration Register.

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// Event counters EL1 and EL0 may use.
    HPMN = 0, 5;

    /// Traps `PMCR_EL0`.
    TPMCR = 5;

    /// Traps every performance monitor register.
    TPM = 6;

    /// EL2's own event counters run.
    HPME = 7;

    /// Debug exceptions go to EL2; acts as `TDRA`, `TDOSA` and `TDA` too.
    TDE = 8;

    /// Traps debug registers.
    TDA = 9;

    /// Traps the debug powerdown and OS lock registers.
    TDOSA = 10;

    /// Traps `MDRAR_EL1`.
    TDRA = 11;

    /// Owner of the statistical profiling buffer.
    E2PB = 12, 2;

    /// Traps the statistical profiling registers.
    TPMS = 14;

    /// Event counters of EL1 do not count at EL2.
    HPMD = 17;

    /// Traps `TRFCR_EL1`.
    TTRF = 19;

    /// The cycle counter does not count at EL2.
    HCCD = 23;

    /// Owner of the trace buffer.
    E2TB = 24, 2;

    /// EL2's own event counters overflow at 64 bits.
    HLP = 26;

    /// Traps the debug communication channel.
    TDCC = 27;
}
