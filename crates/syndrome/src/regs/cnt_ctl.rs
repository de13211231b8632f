//! The control register of a timer, `CNT*_CTL_EL*`.

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// The timer is on.
    ENABLE = 0;

    /// Its interrupt is masked.
    IMASK = 1;

    /// Its condition is met.
    ISTATUS = 2;
}
