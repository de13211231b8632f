//! `ICH_VMCR_EL2`, Interrupt Controller Virtual Machine Control Register.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// Group 0 is enabled.
    VENG0 = 0;

    /// Group 1 is enabled.
    VENG1 = 1;

    /// Group 1 may be acknowledged through group 0.
    VAckCtl = 2;

    /// Group 0 is signalled as FIQ.
    VFIQEn = 3;

    /// Group 1 uses group 0's binary point.
    VCBPR = 4;

    /// Priority drop and deactivation are split.
    VEOIM = 9;

    /// Binary point of group 1.
    VBPR1 = 18, 3;

    /// Binary point of group 0.
    VBPR0 = 21, 3;

    /// Priority mask.
    VPMR = 24, 8;
}
