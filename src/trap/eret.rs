//! ERET at virtual EL2: within the host context, or down to what L1 runs.

use ::trace::Event;
use syndrome::{
    Esr,
    esr::EretKind,
    exception::{self, Target},
    pauth,
    regs::{pstate, sctlr},
    vncr,
};

use super::Exit;
use crate::{
    arch::{self, sysreg::*},
    nested::switch,
    trace,
    vcpu::{VCpu, context::GuestFrame, inject},
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
    let mut pc = ELR_EL1.get();
    if !exit.esr.is_plain_eret() {
        match authenticated(frame, exit.esr.eret(), pc) {
            Ok(authentic) => pc = authentic,
            Err(failure) => return inject::within_vel2(vcpu, frame, failure),
        }
    }
    if within_host(vcpu, frame) {
        frame.elr = pc;
        return;
    }
    let spsr = SPSR_EL1.get();
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

/// Where an ERET of that kind goes: to `address`, authenticated by L1's key if L1 has switched it on, with L1's stack pointer
/// as the modifier.
#[cold]
fn authenticated(frame: &GuestFrame, kind: EretKind, address: u64) -> Result<u64, Esr> {
    let sctlr_el2 = SCTLR_EL1.get();
    let is_key_b = match kind {
        EretKind::Eretaa if sctlr_el2 & sctlr::EnIA != 0 => false,
        EretKind::Eretab if sctlr_el2 & sctlr::EnIB != 0 => true,
        _ => return Ok(address),
    };
    let is_own_stack = frame.spsr & pstate::M == pstate::EL1H;
    let stack = if is_own_stack { SP_EL1.get() } else { SP_EL0.get() };
    let tcr = TCR_EL1.get();
    let signature = arch::pauth::signature(pauth::unsigned(address, tcr), stack, is_key_b);
    let level = pauth::Level(arch::pauth::level());
    pauth::authenticate(address, signature, tcr, level, is_key_b)
        .ok_or(Esr::pointer_authentication_failure(false, is_key_b))
}
