//! `VTTBR_EL2`, Virtualization Translation Table Base Register.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// The tables are common to all PEs of the inner shareable domain.
    CnP = 0;

    /// Base address of the tables, bits 47 to 1.
    BADDR = 1, 47;

    /// Virtual machine identifier.
    VMID = 48, 16;
}
