//! `AT` on behalf of the console.

use crate::arch::{
    at::{self, Stage12},
    barrier,
    sysreg::{PAR_EL1, Readable, Writeable},
};

/// Executes `instruction` with the registers of the context that runs, and returns its `PAR_EL1`; the guest's own is kept.
///
/// In the host context stage 1 is L1's own EL2&0 regime. What the shadow lacks is a fault here; nothing is filled in.
pub fn execute(instruction: Stage12, va: u64) -> u64 {
    let guests = PAR_EL1.get();
    // What the guest left unfinished in its registers is in force before the walk.
    barrier::isb();
    let par = at::stage12(instruction, va);
    PAR_EL1.set(guests);
    par
}
