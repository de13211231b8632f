//! `AT` on behalf of the console.

use crate::arch::{
    at::{self, Stage1, Stage12},
    barrier,
    sysreg::{PAR_EL1, Readable, Writeable},
};

/// An address translation instruction of the EL1&0 regime. In the host context that is L1's own EL2&0 regime, with L1's
/// IPA equal to the PA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// By stage 1: to an IPA.
    Stage1(Stage1),
    /// By both stages: to a PA. What the shadow lacks is a fault here; nothing is filled in.
    Both(Stage12),
}

impl At {
    /// Executes it with the registers of the context that runs, and returns its `PAR_EL1`. The guest's own is kept.
    pub fn execute(self, va: u64) -> u64 {
        let guests = PAR_EL1.get();
        // What the guest left unfinished in its registers is in force before the walk.
        barrier::isb();
        let par = match self {
            Self::Stage1(instruction) => at::stage1(instruction, va),
            Self::Both(instruction) => at::stage12(instruction, va),
        };
        PAR_EL1.set(guests);
        par
    }
}
