//! Between virtual EL2 and what runs below it.
//!
//! A switch exchanges the hardware's EL1 registers, timers, virtual interrupt interface, stage 2 and trap controls. The
//! general-purpose registers, `SP_EL0`, the thread pointers, debug registers and FP/SIMD state are one set on real
//! hardware too, and stay.

use ::trace::Event;
use syndrome::{
    e2h0,
    regs::{hcr_el2, pstate},
    vncr,
};

use super::{controls, fine, l2_page, pmu, sve, timer};
use crate::{
    arch::{barrier, sysreg::*},
    interrupts, shadow_mmu, trace,
    vcpu::{
        Context, VCpu,
        context::{El1Registers, GuestFrame},
        inject,
        vncr::VncrPage,
    },
};

/// Enters the nested context at `pc` with processor state `pstate`, as L1's ERET asked.
#[inline(always)]
pub fn enter_nested(vcpu: &mut VCpu, frame: &mut GuestFrame, pc: u64, pstate: u64) {
    let page = vcpu.vncr;
    vcpu.vel2.save();
    if vcpu.vm.is_e2h0 {
        vcpu.vel2.cpacr = vcpu.emulated.cptr;
    } else {
        vcpu.emulated.save_cntkctl();
        CNTKCTL_EL1.set(vcpu.emulated.cntkctl_el12);
    }
    El1Registers::load_from_vncr(page);
    MDSCR_EL1.set(page.get(vncr::MDSCR_EL1));
    VSESR_EL2.set(page.get(vncr::VSESR_EL2));
    VDISR_EL2.set(page.get(vncr::VDISR_EL2));
    vcpu.context = Context::Nested;
    timer::switch_to_nested(vcpu);
    controls::load_nested(vcpu);
    if vcpu.has_exchanges {
        exchange(vcpu, Context::Nested);
    }
    VTTBR_EL2.set(shadow_mmu::acquire(vcpu));
    let due = interrupts::switch_to_nested(vcpu);
    frame.elr = pc;
    frame.spsr = pstate;
    barrier::isb();
    if let Some(signal) = due {
        inject::interrupt_to_vel2(vcpu, frame, signal);
    }
}

/// Records which shadow L1's guest runs on.
pub fn record_shadow(vcpu: &VCpu) {
    if let Some(slot) = vcpu.shadow {
        trace::record(vcpu.cpu, || Event::ShadowSwitch {
            shadow: slot.number(),
            vttbr: vcpu.vncr.get(vncr::VTTBR_EL2),
            vtcr: vcpu.vncr.get(vncr::VTCR_EL2),
        });
    }
}

/// Leaves the nested context, for an exception: afterwards the hardware holds L1's registers but for those that say where
/// that came from, which the caller writes.
#[inline(always)]
pub fn leave_nested(vcpu: &mut VCpu) {
    debug_assert_eq!(vcpu.context, Context::Nested);
    let page = vcpu.vncr;
    El1Registers::save_to_vncr(page);
    page.set(vncr::MDSCR_EL1, MDSCR_EL1.get());
    // L1's own value takes effect at its next ERET: until it has put it into its page, there is the guest's.
    MDSCR_EL1.set(0);
    save_virtual_serror(page);
    interrupts::switch_to_host(vcpu, |vcpu| {
        vcpu.context = Context::Host;
        timer::switch_to_host(vcpu);
    });
    if vcpu.has_exchanges {
        exchange(vcpu, Context::Host);
    }
    if vcpu.is_sve_nested {
        sve::leave_nested(vcpu);
    }
    vcpu.vel2.load_for_exception();
    if !vcpu.vm.is_e2h0 {
        vcpu.emulated.cntkctl_el12 = CNTKCTL_EL1.get();
        vcpu.emulated.load_cntkctl();
    }
    controls::load_host(vcpu);
    barrier::isb();
    shadow_mmu::release(vcpu);
}

/// Exchanges what few guest hypervisors have two of, on the way into `context`.
#[cold]
fn exchange(vcpu: &mut VCpu, context: Context) {
    if vcpu.monitors.exchanged != 0 {
        pmu::exchange(vcpu, context);
    }
    if vcpu.vm.offer.fgt {
        fine::exchange(vcpu, context);
    }
    if vcpu.vm.offer.lpa2 {
        let guest = (context == Context::Nested).then(|| vcpu.shadow_key());
        VTCR_EL2.set(shadow_mmu::vtcr(vcpu.vm, guest));
    }
}

/// A virtual SError that L1 left pending for its guest (`HCR_EL2.VSE`) is cleared by the hardware once it is taken, which it
/// is only with `AMO`.
fn save_virtual_serror(page: VncrPage) {
    page.set(vncr::VDISR_EL2, VDISR_EL2.get());
    // At the hardware's EL1 this is DISR_EL1, L1's own.
    VDISR_EL2.set(0);
    let hcr = page.get(vncr::HCR_EL2);
    if hcr & hcr_el2::VSE != 0 && hcr & hcr_el2::AMO != 0 && HCR_EL2.get() & hcr_el2::VSE == 0 {
        page.set(vncr::HCR_EL2, hcr & !hcr_el2::VSE);
    }
}

/// SCTLR_EL2 out of reset: the bits that are RES1 with `E2H` = 1; MMU and caches off.
const SCTLR_RESET: u64 = 0x30d0_0800;

/// The registers of the host context when a vCPU is switched on (DDI 0487, "PE state on reset to AArch64 state").
pub fn reset(vcpu: &mut VCpu) {
    vcpu.context = Context::Host;
    vcpu.vncr.clear();
    let (e2h, sctlr) = if vcpu.vm.is_e2h0 {
        (0, e2h0::SCTLR_RESET)
    } else {
        (hcr_el2::E2H, SCTLR_RESET)
    };
    vcpu.vncr.set(vncr::HCR_EL2, e2h | hcr_el2::RW);
    vcpu.vncr.set(vncr::VPIDR_EL2, vcpu.vm.midr);
    vcpu.vncr.set(vncr::VMPIDR_EL2, vcpu.mpidr);
    vcpu.emulated = Default::default();
    vcpu.emulated.mdcr = vcpu.vm.mdcr_hpmn;
    vcpu.timers = Default::default();
    vcpu.refused = None;
    vcpu.guest_stage2 = None;
    vcpu.last_shadow = None;
    l2_page::forget(vcpu.cpu);
    El1Registers {
        sctlr,
        ..El1Registers::default()
    }
    .load();
    CNTKCTL_EL1.set(0);
    MDSCR_EL1.set(0);
    timer::reset_hardware();
    pmu::reset(vcpu);
    controls::init_cpu(vcpu);
    fine::reset(vcpu);
    controls::load_host(vcpu);
    barrier::isb();
    sve::reset(vcpu);
}

/// Processor state of a vCPU that is switched on: virtual EL2 on its own stack pointer, everything masked. The hardware
/// is at EL1.
pub const RESET_PSTATE: u64 = pstate::DAIF | pstate::EL1H;
