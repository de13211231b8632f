//! What calls the console, and how often: a guest is to have its CPU at least as long as the console has.
//!
//! An idle console listens: the UART interrupts when something arrives. One that had something to do rests for as long
//! as that took, with the UART's interrupt off, and is then called by the EL2 virtual timer, which nothing else uses.
//! So neither a long dump nor a flood of input can starve the vCPU of this CPU.

use hyp::{
    arch::sysreg::{CNTFRQ_EL0, CNTHV_CTL, CNTHV_CVAL_EL2, Readable},
    nested::timer,
};

use super::terminal::Terminal;

/// The shortest rest, as a part of a second: 100 µs.
const REST_MIN: u64 = 10_000;
const CTL_ENABLE: u64 = 1 << 0;

/// Waits for something to arrive.
pub fn listen(terminal: &mut Terminal) {
    CNTHV_CTL.set(0);
    terminal.set_receive_interrupt(true);
}

/// Calls again when the guest has had its share after `ticks` of work.
pub fn rest(ticks: u64, terminal: &mut Terminal) {
    terminal.set_receive_interrupt(false);
    // The EL2 virtual timer has no offset: it counts as the physical counter does.
    CNTHV_CVAL_EL2.set(timer::now().saturating_add(ticks.max(CNTFRQ_EL0.get() / REST_MIN)));
    CNTHV_CTL.set(CTL_ENABLE);
}
