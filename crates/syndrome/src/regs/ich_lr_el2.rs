//! `ICH_LR<n>_EL2`, a list register. Bits 41 and 44 to 32 depend on `HW`.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Of every list register.
    COMMON:

    /// The interrupt as the guest sees it.
    vINTID = 0, 32;

    /// Lower is more urgent.
    Priority = 48, 8;

    /// Group 1, signalled as IRQ.
    Group = 60;

    /// Deactivation deactivates a physical interrupt too.
    HW = 61;

    /// State of the interrupt.
    State = 62, 2 { 0: "inactive", 1: "pending", 2: "active", 3: "pending and active" };
}

fields! {
    /// With `HW` = 1.
    LINKED:

    /// The physical interrupt.
    pINTID = 32, 13;
}

fields! {
    /// With `HW` = 0.
    UNLINKED:

    /// Its end raises the maintenance interrupt.
    EOI = 41;
}
