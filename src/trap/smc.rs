//! SMC: PSCI and the rest of the SMC calling convention (DEN0028), which gnomon answers as the firmware would.

use super::Exit;
use crate::{
    psci,
    vcpu::{VCpu, context::GuestFrame},
};

/// What an unknown function returns.
const NOT_SUPPORTED: u64 = u64::MAX;

/// Answers the call that `exit` reports.
pub fn handle(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) {
    // ELR_EL2 is at the SMC: HCR_EL2.TSC traps it before it executes. Skipped first, because CPU_OFF does not return.
    frame.skip_instruction();
    if exit.esr.immediate() != 0 {
        frame.x[0] = NOT_SUPPORTED;
        return;
    }
    psci::call(vcpu, frame);
}
