//! `HCRX_EL2`, more controls of what runs below EL2: those that mean something for what L1 is shown.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// TLB invalidations and barriers of EL1 do not wait for accesses with the XS attribute.
    FnXS = 3;

    /// The fine-grained traps of TLB invalidations do not trap their nXS forms.
    FGTnXS = 4;

    /// Memory copy and set instructions that EL1 executes in a wrong state are exceptions to EL2.
    MCE2 = 10;

    /// EL1 and EL0 may use memory copy and set instructions.
    MSCEn = 11;
}
