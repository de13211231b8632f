//! `ICH_MISR_EL2`, why the maintenance interrupt is asserted.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// An interrupt ended that asked for it.
    EOI = 0;

    /// At most one list register is valid.
    U = 1;

    /// An interrupt ended that was in no list register.
    LRENP = 2;

    /// No list register is pending.
    NP = 3;

    /// Group 0 is enabled.
    VGrp0E = 4;

    /// Group 0 is disabled.
    VGrp0D = 5;

    /// Group 1 is enabled.
    VGrp1E = 6;

    /// Group 1 is disabled.
    VGrp1D = 7;
}
