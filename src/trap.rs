//! Exits: from the vectors to a handler, one file a class.
//!
//! An exit is decoded once, into an [`Exit`]. Its handler changes the guest's frame, the vCPU and the hardware, and
//! returning resumes the guest. Everything a guest can do ends in one of three ways: it is emulated, L1 receives it as
//! an exception at virtual EL2, or the guest receives an exception of its own.

mod abort;
mod eret;
mod smc;
mod sysreg;

use ::trace::Event;
use syndrome::{
    Esr,
    esr::{SysRegTrap, ec, hpfar},
    forward,
    regs::pstate,
    vncr,
};

use crate::{
    arch::{percpu, sysreg::*},
    exits::{INTERRUPT, Party},
    interrupts,
    nested::{l2_page, timer},
    trace, unhandled,
    vcpu::{Context, VCpu, context::GuestFrame, inject},
};

/// Why the guest was left.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// `ESR_EL2`
    pub esr: Esr,
    /// `FAR_EL2`
    pub far: u64,
    /// `HPFAR_EL2`
    pub hpfar: u64,
}

/// A synchronous exception from a guest in AArch64 state.
///
/// L1 returns from exceptions of its own more often than it does anything else here, and that needs next to nothing: so it
/// is looked for first, by a function that is small enough to need no stack.
pub extern "C" fn guest_sync(frame: &mut GuestFrame) {
    // SAFETY: an entry point from assembly; the vectors of a guest are only reached after the vCPU is installed.
    let vcpu = unsafe { percpu::vcpu() };
    let started = timer::now();
    let esr = Esr(ESR_EL2.get());
    let may_be_short = vcpu.context == Context::Host && !trace::is_long_way();
    if may_be_short && esr.is_plain_eret() && eret::within_host(vcpu, frame) {
        let ticks = timer::now().wrapping_sub(started);
        vcpu.exits.record(Party::L1, ec::ERET, ticks);
    } else if may_be_short && esr.ec() == ec::SYS64 {
        l1_sysreg(vcpu, frame, esr, started);
    } else {
        any_sync(vcpu, frame, esr, started);
    }
}

/// L1 uses one of its registers, while nothing is traced. L1 has VHE.
#[inline(never)]
fn l1_sysreg(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr, started: u64) {
    let access = esr.sysreg();
    sysreg::handle(vcpu, frame, access);
    let ticks = timer::now().wrapping_sub(started);
    vcpu.exits.record_register(Party::L1, access.reg, ticks);
}

#[inline(never)]
fn any_sync(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr, started: u64) {
    let exit = Exit {
        esr,
        far: FAR_EL2.get(),
        hpfar: HPFAR_EL2.get(),
    };
    trace::record(vcpu.cpu, || Event::Exit {
        esr: exit.esr.0,
        pc: frame.elr,
        from: vcpu.context.into(),
    });
    let party = dispatch(vcpu, frame, &exit);
    record_entry(vcpu, frame);
    let ticks = timer::now().wrapping_sub(started);
    if esr.ec() == ec::SYS64 {
        vcpu.exits.record_register(party, esr.sysreg().reg, ticks);
    } else {
        vcpu.exits.record(party, esr.ec(), ticks);
    }
}

/// Records that the guest goes on.
#[inline(always)]
fn record_entry(vcpu: &VCpu, frame: &GuestFrame) {
    trace::record(vcpu.cpu, || Event::Entry {
        pc: frame.elr,
        to: vcpu.context.into(),
    });
}

fn dispatch(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) -> Party {
    match vcpu.context {
        Context::Host => {
            from_l1(vcpu, frame, exit);
            Party::L1
        }
        Context::Nested => from_l2(vcpu, frame, exit),
    }
}

/// L1 at virtual EL2, or its EL0 under `TGE`.
fn from_l1(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) {
    match exit.esr.ec() {
        ec::ERET => eret::handle(vcpu, frame, exit),
        ec::SME => inject::undefined(vcpu, frame),
        ec::SYS64 => any_l1_sysreg(vcpu, frame, exit.esr.sysreg()),
        ec::DABT_LOW | ec::IABT_LOW => abort::from_host(vcpu, frame, exit),
        ec::DABT_CUR => abort::vncr_fault(vcpu, exit),
        ec::SMC64 => smc::handle(vcpu, frame, exit),
        ec::HVC64 => inject::within_vel2(vcpu, frame, exit.esr),
        _ => unhandled::exception(vcpu, frame, exit),
    }
}

/// L1 uses one of its registers, whatever kind of L1 it is.
fn any_l1_sysreg(vcpu: &mut VCpu, frame: &mut GuestFrame, access: SysRegTrap) {
    trace::record(vcpu.cpu, || Event::SysAccess {
        reg: access.reg,
        is_write: !access.is_read,
        pc: frame.elr,
    });
    if vcpu.vm.is_e2h0 {
        sysreg::e2h0::handle(vcpu, frame, access);
    } else {
        sysreg::handle(vcpu, frame, access);
    }
}

/// Anything below virtual EL2. Says who dealt with it.
fn from_l2(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) -> Party {
    match exit.esr.ec() {
        ec::HVC64 => hypercall(vcpu, frame, exit),
        ec::DABT_LOW | ec::IABT_LOW => abort::from_nested(vcpu, frame, exit),
        ec::DABT_CUR => l2_page_fault(vcpu, frame, exit),
        ec::SYS64 => l2_sysreg(vcpu, frame, exit),
        // A feature that L1 is not shown, whatever its controls say.
        ec::SME => {
            inject::undefined(vcpu, frame);
            Party::L2
        }
        _ if forward::wants_exception(exit.esr, &vcpu.l1_controls()) => forward_to_l1(vcpu, frame, exit),
        // With HCR_EL2.TSC of L1 clear, the SMC goes where it would go without a hypervisor: to the firmware.
        ec::SMC64 => {
            smc::handle(vcpu, frame, exit);
            Party::L2
        }
        _ => {
            unhandled::exception(vcpu, frame, exit);
            Party::L2
        }
    }
}

/// L1 receives an exit of its guest.
fn forward_to_l1(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) -> Party {
    inject::forward(vcpu, frame, exit);
    Party::L2Forwarded
}

/// A register of L1's guest that is in memory cannot be reached.
fn l2_page_fault(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) -> Party {
    match l2_page::handle_fault(vcpu, exit.esr, exit.far) {
        Ok(()) => Party::L2,
        Err((esr, far)) => {
            inject::l2_page_fault(vcpu, frame, esr, far);
            Party::L2Forwarded
        }
    }
}

/// An HVC of L1's guest.
fn hypercall(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) -> Party {
    if forward::hvc_is_undefined(vcpu.vncr.get(vncr::HCR_EL2)) {
        inject::hvc_undefined(vcpu, frame);
        return Party::L2;
    }
    inject::hvc_to_vel2(vcpu, frame, exit.esr);
    Party::L2Forwarded
}

/// L1's guest uses a register.
fn l2_sysreg(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) -> Party {
    let access = exit.esr.sysreg();
    let row = access.reg.row();
    if row.is_hidden() {
        inject::undefined(vcpu, frame);
        return Party::L2;
    }
    if !forward::wants(row, access.is_read, &vcpu.l1_controls()) {
        sysreg::handle_nested(vcpu, frame, access);
        return Party::L2;
    }
    trace::record(vcpu.cpu, || Event::ForwardSysreg {
        reg: access.reg,
        is_read: access.is_read,
        pc: frame.elr,
    });
    forward_to_l1(vcpu, frame, exit)
}

/// A physical interrupt while a guest ran.
pub extern "C" fn guest_irq(frame: &mut GuestFrame) {
    // SAFETY: as in `guest_sync`.
    let vcpu = unsafe { percpu::vcpu() };
    let started = timer::now();
    let was = vcpu.context;
    trace::record(vcpu.cpu, || Event::Interrupt {
        pc: frame.elr,
        from: was.into(),
    });
    let due = interrupts::take(vcpu, frame);
    let party = match (was, vcpu.context) {
        (Context::Host, _) => Party::L1,
        (Context::Nested, Context::Nested) => Party::L2,
        (Context::Nested, Context::Host) => Party::L2Forwarded,
    };
    vcpu.exits.record(party, INTERRUPT, timer::now().wrapping_sub(started));
    interrupts::do_own_work(vcpu, Some(frame), due);
    record_entry(vcpu, frame);
}

/// A physical SError: QEMU raises none, and on hardware it would be the machine's own failure.
pub extern "C" fn guest_serror(frame: &mut GuestFrame) {
    panic!(
        "SError while a guest ran at {:#x}: ESR_EL2 {:#x}",
        frame.elr,
        ESR_EL2.get()
    );
}

/// An exception from AArch32, which neither L1 nor its guests are offered: a guest that went there anyway by an ERET of
/// its own finds itself back with an illegal execution state.
pub extern "C" fn guest_aarch32(frame: &mut GuestFrame) {
    // SAFETY: as in `guest_sync`.
    let vcpu = unsafe { percpu::vcpu() };
    unhandled::aarch32(vcpu, frame);
    frame.spsr = pstate::EL1H | pstate::DAIF | pstate::IL;
}

/// HPFAR_EL2 and FAR_EL2 together: the IPA that faulted.
fn faulting_ipa(exit: &Exit) -> u64 {
    hpfar::faulting_ipa(exit.hpfar, exit.far)
}
