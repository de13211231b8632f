//! `MPIDR_EL1` and `VMPIDR_EL2`: affinity.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// Affinity level 0.
    Aff0 = 0, 8;

    /// Affinity level 1.
    Aff1 = 8, 8;

    /// Affinity level 2.
    Aff2 = 16, 8;

    /// The lowest level is threads.
    MT = 24;

    /// The only processor.
    U = 30;

    /// Affinity level 3.
    Aff3 = 32, 8;
}
