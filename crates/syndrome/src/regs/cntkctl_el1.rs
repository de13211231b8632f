//! `CNTKCTL_EL1`, Counter-timer Kernel Control Register.

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// EL0 may read the physical counter.
    EL0PCTEN = 0;

    /// EL0 may read the virtual counter.
    EL0VCTEN = 1;

    /// Event stream on.
    EVNTEN = 2;

    /// Event on a 1 to 0 transition.
    EVNTDIR = 3;

    /// Counter bit that makes events.
    EVNTI = 4, 4;

    /// EL0 may use the virtual timer.
    EL0VTEN = 8;

    /// EL0 may use the physical timer.
    EL0PTEN = 9;

    /// Event stream from the counter shifted by 8.
    EVNTIS = 17;
}
