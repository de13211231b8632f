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
use vtimer::{ENABLE, NEVER, Timer, WRITABLE};

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

/// L1 writes a timer of its guest by one of the `CNT*_EL02` names. Says whether that may change when the timer fires, or
/// whether it does now: a compare value does not while the timer is off.
pub fn write_guest_timer(vcpu: &VCpu, reg: SysReg, value: u64) -> bool {
    let (offset, value) = match reg {
        SysReg::CNTP_CTL_EL02 => (vncr::CNTP_CTL_EL0, value & WRITABLE),
        SysReg::CNTP_CVAL_EL02 => (vncr::CNTP_CVAL_EL0, value),
        SysReg::CNTP_TVAL_EL02 => (vncr::CNTP_CVAL_EL0, Timer::cval_of_tval(value, now())),
        SysReg::CNTV_CTL_EL02 => (vncr::CNTV_CTL_EL0, value & WRITABLE),
        SysReg::CNTV_CVAL_EL02 => (vncr::CNTV_CVAL_EL0, value),
        SysReg::CNTV_TVAL_EL02 => (vncr::CNTV_CVAL_EL0, Timer::cval_of_tval(value, guest_virtual_now(vcpu))),
        _ => return false,
    };
    let page = vcpu.vncr;
    let control = match offset {
        vncr::CNTP_CTL_EL0 | vncr::CNTP_CVAL_EL0 => vncr::CNTP_CTL_EL0,
        _ => vncr::CNTV_CTL_EL0,
    };
    let (was_on, was) = (page.get(control) & ENABLE != 0, page.get(offset));
    page.set(offset, value);
    let is_on = page.get(control) & ENABLE != 0;
    was != value && (was_on || is_on)
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
pub const fn hardware_intid(context: Context, is_physical: bool) -> u32 {
    match (context, is_physical) {
        (Context::Host, true) => intid::HYP_PHYSICAL,
        (Context::Host, false) => intid::HYP_VIRTUAL,
        (Context::Nested, true) => intid::PHYSICAL,
        (Context::Nested, false) => intid::VIRTUAL,
    }
}

/// A timer that is not in the hardware.
struct Emulated {
    /// Its interrupt.
    intid: u32,
    timer: Timer,
    /// What its own counter is behind the physical one.
    offset: u64,
}

impl Emulated {
    /// The two in `context`, which runs.
    #[inline(always)]
    fn of(vcpu: &VCpu, context: Context) -> [Self; 2] {
        let timer = |intid, timer, offset| Self { intid, timer, offset };
        match context {
            Context::Host => [
                timer(intid::PHYSICAL, guest_physical(vcpu), 0),
                timer(intid::VIRTUAL, guest_virtual(vcpu), vcpu.vncr.get(vncr::CNTVOFF_EL2)),
            ],
            Context::Nested => [
                timer(intid::HYP_PHYSICAL, vcpu.timers.hyp_physical, 0),
                timer(intid::HYP_VIRTUAL, vcpu.timers.hyp_virtual, 0),
            ],
        }
    }

    /// Ticks until its line rises, by any counter: all advance alike.
    #[inline(always)]
    const fn ticks_to_go(&self, now: u64) -> u64 {
        self.timer.ticks_to_go(now.wrapping_sub(self.offset))
    }
}

/// Recomputes the interrupt lines of the two timers that are not in the hardware, and arms the EL2 timer for the next
/// change.
pub fn update_emulated(vcpu: &VCpu, vgic: &mut Vgic, gic: &mut &Gic) {
    if !arm_if_low(vcpu, vcpu.context, vgic.high_ppis(vcpu.cpu)) {
        change_lines(vcpu, vgic, gic);
    }
}

/// Arms the EL2 timer for the next change of the two lines, if they are low and are to be; says whether that is so.
/// `context` is the one that runs, and `high` has a bit for each private interrupt whose line is high.
#[inline(always)]
pub fn arm_if_low(vcpu: &VCpu, context: Context, high: u32) -> bool {
    let ([physical, virt], now) = (Emulated::of(vcpu, context), now());
    let ticks = physical.ticks_to_go(now).min(virt.ticks_to_go(now));
    let is_low = ticks != 0 && high & (1 << physical.intid | 1 << virt.intid) == 0;
    if is_low {
        arm(now, ticks);
    }
    is_low
}

/// [`update_emulated`] when a line is high, or is to be.
#[inline(never)]
pub fn change_lines(vcpu: &VCpu, vgic: &mut Vgic, gic: &mut &Gic) {
    let (timers, now) = (Emulated::of(vcpu, vcpu.context), now());
    let mut ticks = NEVER;
    for timer in &timers {
        let to_go = timer.ticks_to_go(now);
        let level = to_go == 0;
        if vgic.set_level(vcpu.cpu, timer.intid, level, gic) {
            // Neither number is larger.
            trace::record(vcpu.cpu, || Event::TimerIrq {
                vcpu: vcpu.cpu as u16,
                intid: timer.intid as u16,
                level,
            });
        }
        if !level {
            ticks = ticks.min(to_go);
        }
    }
    arm(now, ticks);
}

/// Arms the EL2 timer for `ticks` from `now` on. A moment that no counter reaches stays one.
#[inline(always)]
fn arm(now: u64, ticks: u64) {
    if ticks == NEVER {
        return disarm();
    }
    CNTHP_CVAL_EL2.set(now.saturating_add(ticks));
    CNTHP_CTL.set(ENABLE);
}
