//! `TTBR0_EL1` and `TTBR1_EL1`, and their EL2 counterparts when `HCR_EL2.E2H` is 1.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// The tables are common to all PEs of the inner shareable domain.
    CnP = 0;

    /// Base address of the tables, in place.
    BADDR = 1, 47;

    /// Address space identifier.
    ASID = 48, 16;
}
