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

use super::{Exit, abort};
use crate::{
    arch::{self, sysreg::*},
    nested::switch,
    trace,
    vcpu::{VCpu, context::GuestFrame, inject},
};

/// Where the ERET at hand goes, by L1's `SPSR_EL2` and `HCR_EL2`. FEAT_NV2 has the former in the hardware's `SPSR_EL1`.
#[inline(always)]
pub fn target(vcpu: &VCpu, spsr: u64) -> Option<Target> {
    exception::check_eret(spsr, vcpu.vncr.get(vncr::HCR_EL2), vcpu.vm.is_e2h0).ok()
}

/// Emulates an ERET that stays in the host context: what L1 calls EL2 is EL1 here, and its EL0 is EL0, with nothing to
/// switch.
#[inline(always)]
pub fn within_host(vcpu: &VCpu, frame: &mut GuestFrame, spsr: u64) {
    // FEAT_NV2 keeps L1's MDSCR_EL1 in memory. Where its single-stepping begins is an ERET, so here is the place to bring it
    // into force.
    MDSCR_EL1.set(vcpu.vncr.get(vncr::MDSCR_EL1));
    frame.elr = ELR_EL1.get();
    frame.spsr = exception::to_physical(spsr);
}

/// An ERET to L1's guest, at `pc`.
#[inline(always)]
pub fn to_guest(vcpu: &mut VCpu, frame: &mut GuestFrame, pc: u64, spsr: u64) {
    switch::enter_nested(vcpu, frame, pc, spsr);
    if vcpu.refused.is_some() {
        abort::try_again(vcpu, frame);
    }
}

/// Emulates the ERET that `exit` reports, which is illegal, or one with authentication.
pub fn handle(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) {
    let mut pc = ELR_EL1.get();
    if !exit.esr.is_plain_eret() {
        match authenticated(frame, exit.esr.eret(), pc) {
            Ok(authentic) => pc = authentic,
            Err(failure) => return inject::within_vel2(vcpu, frame, failure),
        }
        record(vcpu);
    }
    let spsr = SPSR_EL1.get();
    match target(vcpu, spsr) {
        Some(target) if target.is_host_context() => {
            within_host(vcpu, frame, spsr);
            frame.elr = pc;
        }
        Some(_) => to_guest(vcpu, frame, pc, spsr),
        None => {
            let old = exception::to_virtual(frame.spsr);
            frame.elr = pc;
            frame.spsr = exception::to_physical(exception::illegal_return_pstate(old, spsr));
        }
    }
}

/// Records the ERET at hand, unless it stays in the host context.
pub fn record(vcpu: &VCpu) {
    let (elr, spsr) = (ELR_EL1.get(), SPSR_EL1.get());
    let hcr = vcpu.vncr.get(vncr::HCR_EL2);
    match target(vcpu, spsr) {
        Some(target) if target.is_host_context() => {}
        Some(_) => trace::record(vcpu.cpu, || Event::NestedEret { elr, spsr, hcr }),
        None => trace::record(vcpu.cpu, || Event::IllegalEret { elr, spsr, hcr }),
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
