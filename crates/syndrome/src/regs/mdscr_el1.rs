//! `MDSCR_EL1`, Monitor Debug System Control Register.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// Software step.
    SS = 0;

    /// Debug communication channel error.
    ERR = 6;

    /// Traps the debug communication channel of EL0.
    TDCC = 12;

    /// Debug exceptions within the level that takes them.
    KDE = 13;

    /// Halting debug.
    HDE = 14;

    /// Breakpoints and watchpoints.
    MDE = 15;

    /// Transmit underrun.
    TXU = 26;

    /// Receive overrun.
    RXO = 27;

    /// Transmit full.
    TXfull = 29;

    /// Receive full.
    RXfull = 30;
}
