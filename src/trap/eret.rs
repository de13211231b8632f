//! ERET at virtual EL2: within the host context, or down to what L1 runs.

use ::trace::Event;
use syndrome::{
    exception::{self, Target},
    vncr,
};

use super::Exit;
use crate::{
    arch::sysreg::*,
    nested::switch,
    trace, unhandled,
    vcpu::{VCpu, context::GuestFrame},
};

/// Emulates an ERET without authentication that stays in the host context, if it does: what L1 calls EL2 is EL1 here, and its EL0 is EL0, with
/// nothing to switch. Says whether it did.
#[inline]
pub fn within_host(vcpu: &VCpu, frame: &mut GuestFrame) -> bool {
    let spsr = SPSR_EL1.get();
    let target = exception::check_eret(spsr, vcpu.vncr.get(vncr::HCR_EL2));
    if !target.is_ok_and(Target::is_host_context) {
        return false;
    }
    // FEAT_NV2 keeps L1's MDSCR_EL1 in memory. Where its single-stepping begins is an ERET, so here is the place to bring it
    // into force.
    MDSCR_EL1.set(vcpu.vncr.get(vncr::MDSCR_EL1));
    frame.elr = ELR_EL1.get();
    frame.spsr = exception::to_physical(spsr);
    true
}

/// Emulates the ERET that `exit` reports. FEAT_NV2 has L1's `ELR_EL2` and `SPSR_EL2` in the hardware's EL1 registers.
pub fn handle(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) {
    if !exit.esr.is_plain_eret() {
        return unhandled::exception(vcpu, frame, exit);
    }
    if within_host(vcpu, frame) {
        return;
    }
    let (pc, spsr) = (ELR_EL1.get(), SPSR_EL1.get());
    let hcr = vcpu.vncr.get(vncr::HCR_EL2);
    if exception::check_eret(spsr, hcr).is_ok() {
        trace::record(vcpu.cpu, || Event::NestedEret { elr: pc, spsr, hcr });
        switch::enter_nested(vcpu, frame, pc, spsr);
    } else {
        trace::record(vcpu.cpu, || Event::IllegalEret { elr: pc, spsr, hcr });
        let old = exception::to_virtual(frame.spsr);
        frame.elr = pc;
        frame.spsr = exception::to_physical(exception::illegal_return_pstate(old, spsr));
    }
}
