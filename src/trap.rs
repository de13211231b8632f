//! Exits: from the vectors to a handler, one file a class.
//!
//! An exit is decoded once, into an [`Exit`]. Its handler changes the guest's frame, the vCPU and the hardware, and
//! returning resumes the guest. Everything a guest can do ends in one of three ways: it is emulated, L1 receives it as
//! an exception at virtual EL2, or the guest receives an exception of its own.

mod abort;
mod eret;
mod smc;
pub mod sysreg;

use ::trace::Event;
use syndrome::{
    Esr,
    esr::{OwnException, SysRegTrap, Vector, ec, hpfar},
    forward,
    regs::pstate,
    vncr,
};

use crate::{
    arch::{percpu, sysreg::*},
    exits::{INTERRUPT, Party},
    interrupts,
    nested::{fine, l2_page, pmu, switch, timer},
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

impl Exit {
    /// The one at hand.
    #[inline(always)]
    fn now(esr: Esr) -> Self {
        Self {
            esr,
            far: FAR_EL2.get(),
            hpfar: HPFAR_EL2.get(),
        }
    }
}

/// A synchronous exception from a guest in AArch64 state.
pub extern "C" fn guest_sync(frame: &mut GuestFrame) {
    // SAFETY: an entry point from assembly; the vectors of a guest are only reached after the vCPU is installed.
    let vcpu = unsafe { percpu::vcpu() };
    let started = timer::now();
    let esr = Esr(ESR_EL2.get());
    if trace::is_long_way() {
        long_sync(vcpu, frame, esr, started);
    } else {
        sync(vcpu, frame, esr, started);
    }
}

/// While something is traced, or when L1 is without VHE, whose registers are not those that the short ways know.
#[cold]
fn long_sync(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr, started: u64) {
    trace::record(vcpu.cpu, || Event::Exit {
        esr: esr.0,
        pc: frame.elr,
        from: vcpu.context.into(),
    });
    match esr.ec() {
        ec::ERET if vcpu.context == Context::Host && esr.is_plain_eret() => eret::record(vcpu),
        ec::SYS64 if vcpu.context == Context::Host => sysreg::record(vcpu, frame, esr),
        _ => {}
    }
    let was = vcpu.context;
    if vcpu.vm.is_e2h0 && was == Context::Host && esr.ec() == ec::SYS64 {
        any_sync(vcpu, frame, esr, started);
    } else {
        sync(vcpu, frame, esr, started);
    }
    if (was, vcpu.context) == (Context::Host, Context::Nested) {
        switch::record_shadow(vcpu);
    }
    record_entry(vcpu, frame);
}

/// The most frequent exits are told apart first, and go to functions of their own: what is short needs no stack there.
#[inline(always)]
fn sync(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr, started: u64) {
    match vcpu.context {
        Context::Host if esr.is_plain_eret() => l1_eret(vcpu, frame, esr, started),
        Context::Host => l1_sync(vcpu, frame, esr, started),
        Context::Nested => match esr.ec() {
            ec::HVC64 => l2_hypercall(vcpu, frame, esr, started),
            ec::DABT_LOW | ec::IABT_LOW => l2_abort(vcpu, frame, esr, started),
            _ => any_sync(vcpu, frame, esr, started),
        },
    }
}

/// Counts an exit that is not an access to a register.
#[inline(always)]
fn count(vcpu: &VCpu, party: Party, class: u8, started: u64) {
    let ticks = timer::now().wrapping_sub(started);
    vcpu.exits.record(party, class, ticks);
}

/// An ERET of L1's.
#[inline(always)]
fn l1_eret(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr, started: u64) {
    let spsr = SPSR_EL1.get();
    match eret::target(vcpu, spsr) {
        Some(target) if target.is_host_context() => {
            eret::within_host(vcpu, frame, spsr);
            count(vcpu, Party::L1, ec::ERET, started);
        }
        Some(_) => l1_eret_to_guest(vcpu, frame, spsr, started),
        None => any_sync(vcpu, frame, esr, started),
    }
}

#[inline(never)]
fn l1_eret_to_guest(vcpu: &mut VCpu, frame: &mut GuestFrame, spsr: u64, started: u64) {
    eret::to_guest(vcpu, frame, ELR_EL1.get(), spsr);
    count(vcpu, Party::L1, ec::ERET, started);
}

/// A hypercall of L1's guest.
#[inline(never)]
fn l2_hypercall(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr, started: u64) {
    let party = if forward::hvc_is_undefined(vcpu.vncr.get(vncr::HCR_EL2)) {
        inject::hvc_undefined(vcpu, frame);
        Party::L2
    } else {
        inject::hvc_to_vel2(vcpu, frame, esr);
        Party::L2Forwarded
    };
    count(vcpu, party, ec::HVC64, started);
}

/// An abort of L1's guest.
#[inline(never)]
fn l2_abort(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr, started: u64) {
    let exit = Exit::now(esr);
    let party = abort::from_nested(vcpu, frame, &exit);
    count(vcpu, party, esr.ec(), started);
}

/// Other exits of L1: registers that take a few instructions are next.
#[inline(never)]
fn l1_sync(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr, started: u64) {
    if let Some(place) = sysreg::short::access(vcpu, frame, esr) {
        let ticks = timer::now().wrapping_sub(started);
        vcpu.exits.record_short(place, ticks);
    } else {
        any_sync(vcpu, frame, esr, started);
    }
}

#[inline(never)]
fn any_sync(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr, started: u64) {
    let exit = Exit::now(esr);
    let party = dispatch(vcpu, frame, &exit);
    if esr.ec() == ec::SYS64 {
        let ticks = timer::now().wrapping_sub(started);
        vcpu.exits.record_register(party, esr.sysreg().reg, ticks);
    } else {
        count(vcpu, party, esr.ec(), started);
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
        ec::HVC64 if forward::hvc_is_undefined(vcpu.vncr.get(vncr::HCR_EL2)) => inject::hvc_undefined(vcpu, frame),
        ec::HVC64 => inject::within_vel2(vcpu, frame, exit.esr),
        _ => unhandled::exception(vcpu, frame, exit),
    }
}

/// L1 uses one of its registers, whatever kind of L1 it is.
fn any_l1_sysreg(vcpu: &mut VCpu, frame: &mut GuestFrame, access: SysRegTrap) {
    if vcpu.vm.is_e2h0 {
        sysreg::e2h0::handle(vcpu, frame, access);
    } else {
        sysreg::handle(vcpu, frame, access);
    }
}

/// Anything below virtual EL2. Says who dealt with it.
fn from_l2(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) -> Party {
    match exit.esr.ec() {
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

/// L1's guest uses a register.
fn l2_sysreg(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) -> Party {
    let access = exit.esr.sysreg();
    let row = access.reg.row();
    if row.is_hidden() {
        inject::undefined_access(vcpu, frame, access);
        return Party::L2;
    }
    let wants_finely =
        || vcpu.vm.offer.fgt && fine::of_l1(vcpu).wants(row, access.is_read, vcpu.vncr.get(vncr::HCRX_EL2));
    // What EL1 would take, if there were one.
    let is_of_el0 = || vcpu.is_guest_el0_alone() && !pmu::is_open_to_el0(access);
    if !forward::wants(row, access.is_read, &vcpu.l1_controls()) && !wants_finely() && !is_of_el0() {
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
    let exception = OwnException {
        vector: Vector::SError,
        esr: Esr(ESR_EL2.get()),
    };
    panic!("{exception}, while a guest ran at {:#x}", frame.elr);
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
