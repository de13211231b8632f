//! `HPFAR_EL2`, where a stage 2 fault was.

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// Bits 55 to 12 of the faulting IPA.
    FIPA = 4, 44;

    /// The IPA is in non-secure space.
    NS = 63;
}
