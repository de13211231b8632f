//! Timers.
//!
//! Each vCPU has four: `CNTHP` (INTID 26) and `CNTHV` (28) are L1's own, `CNTP` (30) and `CNTV` (27) its guest's. The
//! hardware has two below EL2, and they belong to the context that runs: in the host context they are `CNTHP` and
//! `CNTHV`, which is what L1's `CNTP_*_EL0` and `CNTV_*_EL0` mean at EL2 with `E2H` = 1. The other two are computed
//! here, and one EL2 timer wakes the CPU for whichever of them comes first.
//!
//! The counter has no offset for L1, so only `CNTV` has one: L1's `CNTVOFF_EL2`.

use ::trace::Event;
use syndrome::{SysReg, vncr};
use vgic::Vgic;
use vtimer::{ENABLE, Timer, WRITABLE};

use crate::{
    arch::sysreg::*,
    dev::gicv3::Gic,
    trace,
    vcpu::{Context, VCpu},
};

/// INTIDs of the four timers, the same for L1 and on the hardware.
pub mod intid {
    /// `CNTHP`
    pub const HYP_PHYSICAL: u32 = 26;
    /// `CNTV`
    pub const VIRTUAL: u32 = 27;
    /// `CNTHV`
    pub const HYP_VIRTUAL: u32 = 28;
    /// `CNTP`
    pub const PHYSICAL: u32 = 30;
}

/// L1's own timers, current while its guest runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timers {
    /// `CNTHP`
    pub hyp_physical: Timer,
    /// `CNTHV`
    pub hyp_virtual: Timer,
}

impl Timers {
    /// The two in the hardware: L1's in the host context, its guest's in the nested context.
    pub fn of_hardware() -> Self {
        Self {
            hyp_physical: Timer {
                ctl: CNTP_CTL_EL0.get(),
                cval: CNTP_CVAL_EL0.get(),
            },
            hyp_virtual: Timer {
                ctl: CNTV_CTL_EL0.get(),
                cval: CNTV_CVAL_EL0.get(),
            },
        }
    }
}

/// The physical counter.
pub fn now() -> u64 {
    CNTPCT_EL0.get()
}

/// `CNTP` of L1's guest, as its page has it.
pub fn guest_physical(vcpu: &VCpu) -> Timer {
    let page = vcpu.vncr;
    Timer {
        ctl: page.get(vncr::CNTP_CTL_EL0),
        cval: page.get(vncr::CNTP_CVAL_EL0),
    }
}

/// `CNTV` of L1's guest, as its page has it; counts [`now`] less L1's `CNTVOFF_EL2`.
pub fn guest_virtual(vcpu: &VCpu) -> Timer {
    let page = vcpu.vncr;
    Timer {
        ctl: page.get(vncr::CNTV_CTL_EL0),
        cval: page.get(vncr::CNTV_CVAL_EL0),
    }
}

/// The virtual counter of L1's guest.
pub fn guest_virtual_now(vcpu: &VCpu) -> u64 {
    now().wrapping_sub(vcpu.vncr.get(vncr::CNTVOFF_EL2))
}

/// L1 writes a timer of its guest by one of the `CNT*_EL02` names.
pub fn write_guest_timer(vcpu: &VCpu, reg: SysReg, value: u64) {
    let (offset, value) = match reg {
        SysReg::CNTP_CTL_EL02 => (vncr::CNTP_CTL_EL0, value & WRITABLE),
        SysReg::CNTP_CVAL_EL02 => (vncr::CNTP_CVAL_EL0, value),
        SysReg::CNTP_TVAL_EL02 => (vncr::CNTP_CVAL_EL0, Timer::cval_of_tval(value, now())),
        SysReg::CNTV_CTL_EL02 => (vncr::CNTV_CTL_EL0, value & WRITABLE),
        SysReg::CNTV_CVAL_EL02 => (vncr::CNTV_CVAL_EL0, value),
        SysReg::CNTV_TVAL_EL02 => (vncr::CNTV_CVAL_EL0, Timer::cval_of_tval(value, guest_virtual_now(vcpu))),
        _ => return,
    };
    vcpu.vncr.set(offset, value);
}

fn load_hardware(physical: Timer, virtual_: Timer, offset: u64) {
    // Off while the offset changes, so that no line is raised by a compare value against the wrong count.
    CNTV_CTL_EL0.set(0);
    CNTVOFF_EL2.set(offset);
    CNTP_CVAL_EL0.set(physical.cval);
    CNTP_CTL_EL0.set(physical.ctl & WRITABLE);
    CNTV_CVAL_EL0.set(virtual_.cval);
    CNTV_CTL_EL0.set(virtual_.ctl & WRITABLE);
}

/// Turns every timer of this CPU off.
pub fn reset_hardware() {
    load_hardware(Timer::default(), Timer::default(), 0);
    disarm();
}

/// Turns the EL2 timer off, until [`update_emulated`] arms it.
pub fn disarm() {
    CNTHP_CTL.set(0);
}

/// Gives the hardware's timers to L1's guest.
pub fn switch_to_nested(vcpu: &mut VCpu) {
    vcpu.timers = Timers::of_hardware();
    load_hardware(
        guest_physical(vcpu),
        guest_virtual(vcpu),
        vcpu.vncr.get(vncr::CNTVOFF_EL2),
    );
}

/// Gives the hardware's timers to L1.
pub fn switch_to_host(vcpu: &mut VCpu) {
    let Timers {
        hyp_physical: physical,
        hyp_virtual: virtual_,
    } = Timers::of_hardware();
    let page = vcpu.vncr;
    page.set(vncr::CNTP_CTL_EL0, physical.ctl);
    page.set(vncr::CNTP_CVAL_EL0, physical.cval);
    page.set(vncr::CNTV_CTL_EL0, virtual_.ctl);
    page.set(vncr::CNTV_CVAL_EL0, virtual_.cval);
    load_hardware(vcpu.timers.hyp_physical, vcpu.timers.hyp_virtual, 0);
}

/// The INTID of L1's that the hardware's physical (`true`) or virtual timer stands for in a context.
pub fn hardware_intid(context: Context, is_physical: bool) -> u32 {
    match (context, is_physical) {
        (Context::Host, true) => intid::HYP_PHYSICAL,
        (Context::Host, false) => intid::HYP_VIRTUAL,
        (Context::Nested, true) => intid::PHYSICAL,
        (Context::Nested, false) => intid::VIRTUAL,
    }
}

/// Recomputes the interrupt lines of the two timers that are not in the hardware, and arms the EL2 timer for the next
/// change.
#[inline]
pub fn update_emulated(vcpu: &VCpu, vgic: &mut Vgic, gic: &mut &Gic) {
    match vcpu.context {
        Context::Host => {
            let (physical, virtual_) = (guest_physical(vcpu), guest_virtual(vcpu));
            let offset = vcpu.vncr.get(vncr::CNTVOFF_EL2);
            let lines = (intid::PHYSICAL, intid::VIRTUAL);
            update(vcpu.cpu, physical, virtual_, offset, lines, vgic, gic);
        }
        Context::Nested => {
            let Timers {
                hyp_physical: physical,
                hyp_virtual: virtual_,
            } = vcpu.timers;
            let lines = (intid::HYP_PHYSICAL, intid::HYP_VIRTUAL);
            update(vcpu.cpu, physical, virtual_, 0, lines, vgic, gic);
        }
    }
}

#[inline(always)]
fn update(
    cpu: usize,
    physical: Timer,
    virtual_: Timer,
    offset: u64,
    lines: (u32, u32),
    vgic: &mut Vgic,
    gic: &mut &Gic,
) {
    let now = now();
    let virtual_now = now.wrapping_sub(offset);
    set_line(cpu, lines.0, physical.is_asserted(now), vgic, gic);
    set_line(cpu, lines.1, virtual_.is_asserted(virtual_now), vgic, gic);
    let virtual_deadline = virtual_.deadline(virtual_now).map(|cval| cval.wrapping_add(offset));
    match physical.deadline(now).into_iter().chain(virtual_deadline).min() {
        Some(deadline) => {
            CNTHP_CVAL_EL2.set(deadline);
            CNTHP_CTL.set(ENABLE);
        }
        None => disarm(),
    }
}

/// The line of one of the two is now `level`.
#[inline(always)]
fn set_line(cpu: usize, intid: u32, level: bool, vgic: &mut Vgic, gic: &mut &Gic) {
    if vgic.is_high(cpu, intid) != level {
        change_line(cpu, intid, level, vgic, gic);
    }
}

#[cold]
fn change_line(cpu: usize, intid: u32, level: bool, vgic: &mut Vgic, gic: &mut &Gic) {
    if vgic.set_level(cpu, intid, level, gic) {
        // Neither number is larger.
        trace::record(cpu, || Event::TimerIrq {
            vcpu: cpu as u16,
            intid: intid as u16,
            level,
        });
    }
}
