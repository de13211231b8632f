//! `MIDR_EL1` and `VPIDR_EL2`: which processor this is.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// Minor revision.
    Revision = 0, 4;

    /// Part number.
    PartNum = 4, 12;

    /// 15: see the ID registers.
    Architecture = 16, 4;

    /// Major revision.
    Variant = 20, 4;

    /// Who made it.
    Implementer = 24, 8 { 0x41: "Arm", 0x61: "Apple", 0xc0: "Ampere", 0x00: "software" };
}
