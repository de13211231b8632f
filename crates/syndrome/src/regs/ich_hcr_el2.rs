//! `ICH_HCR_EL2`, Interrupt Controller Hyp Control Register.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// The virtual CPU interface is on.
    En = 0;

    /// Maintenance on underflow.
    UIE = 1;

    /// Maintenance on an EOI without list register.
    LRENPIE = 2;

    /// Maintenance when nothing is pending.
    NPIE = 3;

    /// Maintenance when group 0 is enabled.
    VGrp0EIE = 4;

    /// Maintenance when group 0 is disabled.
    VGrp0DIE = 5;

    /// Maintenance when group 1 is enabled.
    VGrp1EIE = 6;

    /// Maintenance when group 1 is disabled.
    VGrp1DIE = 7;

    /// Traps the registers common to both groups.
    TC = 10;

    /// Traps the group 0 registers.
    TALL0 = 11;

    /// Traps the group 1 registers.
    TALL1 = 12;

    /// Traps locally made SEIs.
    TSEI = 13;

    /// Traps `ICC_DIR_EL1`.
    TDIR = 14;

    /// EOIs that met no list register.
    EOIcount = 27, 5;
}
