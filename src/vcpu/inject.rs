//! Exceptions given to a guest: into virtual EL2, or into the EL1 of L1's guest.
//!
//! The hardware's EL1 registers are virtual EL2's in the host context and the guest's own in the nested context, so in
//! both cases taking an exception "at EL1" is the same few writes. Only where an exception of L1's guest goes to virtual
//! EL2 does the context switch first.

use ::trace::{Event, ExceptionKind};
use syndrome::{
    Esr,
    esr::{Origin, SysRegTrap, ec, hpfar},
    exception::{self, Entry, Kind},
    forward,
    regs::pstate,
    vncr,
};
use vgic::Signal;

use super::{
    Context, VCpu,
    context::{GuestFrame, INSTRUCTION_BYTES},
};
use crate::{
    arch::{features, sysreg::*},
    nested::switch,
    trace,
    trap::Exit,
};

/// Where the processor state of an exception goes, and what decides it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Virtual EL2; the hardware's EL1 registers are L1's.
    Vel2,
    /// EL1 of L1's guest; the hardware's EL1 registers are the guest's.
    El1,
}

/// Takes an exception at the hardware's EL1: SPSR, ELR, the vector and the new processor state.
#[inline]
fn enter(vcpu: &VCpu, frame: &mut GuestFrame, target: Target, old_pstate: u64, kind: Kind) {
    let sctlr_el2 = SCTLR_EL1.get();
    let (old, is_host) = match target {
        Target::Vel2 => {
            let hcr = vcpu.vncr.get(vncr::HCR_EL2);
            (old_pstate, exception::is_host(hcr, vcpu.vm.is_e2h0))
        }
        // EL1 enters like an EL2 that hosts: PSTATE.PAN follows SCTLR_EL1.SPAN.
        Target::El1 => (exception::to_virtual(old_pstate), true),
    };
    let entered = exception::enter_vel2(&Entry {
        pstate: old,
        sctlr_el2,
        is_host,
        kind,
        has_mte: false,
    });
    SPSR_EL1.set(match target {
        Target::Vel2 => entered.spsr_el2,
        // With FEAT_NV in force for the guest, too, the hardware would call its EL1 EL2.
        Target::El1 if vcpu.is_guest_nesting() => old,
        Target::El1 => old_pstate,
    });
    ELR_EL1.set(frame.elr);
    frame.elr = VBAR_EL1.get().wrapping_add(entered.vector_offset);
    frame.spsr = exception::to_physical(entered.pstate);
}

/// A synchronous exception in the context that runs, to its own EL1 or virtual EL2.
#[inline]
fn synchronous(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr, far: Option<u64>) {
    match vcpu.context {
        Context::Host => {
            ESR_EL1.set(esr.0);
            let old = exception::to_virtual(frame.spsr);
            enter(vcpu, frame, Target::Vel2, old, Kind::Sync);
        }
        Context::Nested if vcpu.is_guest_el0_alone() => to_vel2(vcpu, frame, Kind::Sync, Some(esr)),
        Context::Nested => {
            ESR_EL1.set(esr.0);
            enter(vcpu, frame, Target::El1, frame.spsr, Kind::Sync);
        }
    }
    if let Some(far) = far {
        FAR_EL1.set(far);
    }
}

/// An exception of L1's guest into virtual EL2. The nested context is left; `frame` goes on in L1.
///
/// `esr` is what L1 finds in its `ESR_EL2`; an interrupt leaves that alone.
#[inline(never)]
fn to_vel2(vcpu: &mut VCpu, frame: &mut GuestFrame, kind: Kind, esr: Option<Esr>) {
    trace::record(vcpu.cpu, || Event::InjectNested {
        kind: match kind {
            Kind::Sync => ExceptionKind::Sync,
            Kind::Irq => ExceptionKind::Irq,
            Kind::Fiq => ExceptionKind::Fiq,
            Kind::SError => ExceptionKind::SError,
        },
        esr: esr.map_or(0, |esr| esr.0),
        elr: frame.elr,
        spsr: frame.spsr,
        hcr: vcpu.vncr.get(vncr::HCR_EL2),
    });
    switch::leave_nested(vcpu);
    if let Some(esr) = esr {
        ESR_EL1.set(esr.0);
    }
    // It was at EL1 or EL0, which decides the vector. This says so to the compiler, too.
    let old = frame.spsr & !pstate::EL2T;
    enter(vcpu, frame, Target::Vel2, old, kind);
}

/// The current instruction cannot be executed, for the guest that runs. Seldom, and so in one place.
#[cold]
#[inline(never)]
fn refused(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr) {
    synchronous(vcpu, frame, esr, None);
}

/// The current instruction is undefined, for the guest that runs.
pub fn undefined(vcpu: &mut VCpu, frame: &mut GuestFrame) {
    refused(vcpu, frame, Esr::undefined());
}

/// The current instruction accesses a register that is not there, for the guest that runs.
pub fn undefined_access(vcpu: &mut VCpu, frame: &mut GuestFrame, access: SysRegTrap) {
    refused(vcpu, frame, Esr::undefined_access(access, features::has_idst()));
}

/// The current instruction is about SVE, which L1 denies itself.
pub fn sve_trap(vcpu: &mut VCpu, frame: &mut GuestFrame) {
    refused(vcpu, frame, Esr::sve());
}

/// An HVC that L1 has switched off for its guest: undefined, reported at the HVC itself.
pub fn hvc_undefined(vcpu: &mut VCpu, frame: &mut GuestFrame) {
    frame.elr = frame.elr.wrapping_sub(INSTRUCTION_BYTES);
    undefined(vcpu, frame);
}

/// An exception from virtual EL2 to itself: an HVC, behind which the program counter already is, or a failed
/// authentication.
pub fn within_vel2(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr) {
    synchronous(vcpu, frame, esr, None);
}

/// HVC of L1's guest.
pub fn hvc_to_vel2(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr) {
    to_vel2(vcpu, frame, Kind::Sync, Some(esr));
}

/// L1 wants this exit of its guest: its own syndrome, unchanged.
pub fn forward(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) {
    to_vel2(vcpu, frame, Kind::Sync, Some(exit.esr));
    if has_far(exit.esr.ec()) {
        FAR_EL1.set(exit.far);
    }
}

/// Whether exceptions of this class write FAR_ELx (DDI 0487, "FAR_EL2").
fn has_far(class: u8) -> bool {
    matches!(class, ec::IABT_LOW | ec::DABT_LOW | ec::PC_ALIGN | ec::WATCHPT_LOW)
}

/// A stage-2 fault that L1's tables cause: the hardware's syndrome with the fault status of L1's walk.
pub fn stage2_fault(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit, fsc: u8, ipa: u64) {
    to_vel2(vcpu, frame, Kind::Sync, Some(exit.esr.with_fsc(fsc)));
    FAR_EL1.set(exit.far);
    vcpu.emulated.hpfar = hpfar::for_ipa(ipa);
}

/// A register of L1's guest is in memory that L1's own tables do not give it.
pub fn l2_page_fault(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr, far: u64) {
    to_vel2(vcpu, frame, Kind::Sync, Some(esr));
    FAR_EL1.set(far);
}

/// An AT of L1's at `va` met a table that cannot be read: L1's own data abort.
pub fn abort_of_at(vcpu: &mut VCpu, frame: &mut GuestFrame, fsc: u8, va: u64) {
    synchronous(vcpu, frame, Esr::abort_of_at(fsc), Some(va));
}

/// An access to where nothing is: a synchronous external abort with status `fsc`, to the guest that made it or to whom it is
/// routed.
pub fn external_abort(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit, fsc: u8) {
    let is_to_l1 = vcpu.context == Context::Nested && forward::wants_external_abort(&vcpu.l1_controls());
    if is_to_l1 {
        let esr = exit.esr.external_abort(Origin::Lower, fsc);
        to_vel2(vcpu, frame, Kind::Sync, Some(esr));
        FAR_EL1.set(exit.far);
    } else {
        let origin = if frame.spsr & pstate::M == pstate::EL0T {
            Origin::Lower
        } else {
            Origin::Same
        };
        synchronous(vcpu, frame, exit.esr.external_abort(origin, fsc), Some(exit.far));
    }
}

/// An interrupt for L1 while its guest runs.
pub fn interrupt_to_vel2(vcpu: &mut VCpu, frame: &mut GuestFrame, signal: Signal) {
    let kind = match signal {
        Signal::Irq => Kind::Irq,
        Signal::Fiq => Kind::Fiq,
    };
    to_vel2(vcpu, frame, kind, None);
}
