//! The counter and the four timers, from both sides.

use bare::host::{CNTHCTL_OPEN, NVHE};
use bare::l2::HCR_NESTED;
use bare::memory::Frames;
use bare::println;
use bare::sysreg::{
    CNTHCTL_EL2, CNTHP_CTL_EL2, CNTHP_CVAL_EL2, CNTHV_CTL_EL2, CNTHV_CVAL_EL2, CNTP_CTL_EL02, CNTP_CVAL_EL02,
    CNTPCT_EL0, CNTV_CTL_EL02, CNTV_CVAL_EL02, CNTVOFF_EL2, VNCR_EL2,
};
use syndrome::SysReg;

use crate::probe::{self, Below, HCR_OPEN, HCR_VM, read_of, write_of};
use crate::vectors::El2Code;
use crate::{due, waits};

const OFFSET: u64 = 1 << 40;
/// Long ago, and not soon.
const PAST: u64 = 1;
const FUTURE: u64 = 1 << 60;

pub(crate) fn run(frames: &mut Frames) {
    probe::open();
    let mut guest = Below::guest(frames);
    guest.l2.controls = HCR_OPEN | HCR_VM;
    let code = El2Code::new(frames);
    offsets(&code, &mut guest);
    waits::run(&code, &mut guest);
    due::run(&code, &mut guest);
    if !NVHE {
        of_nested(frames, &mut guest);
    }
    for cval in [PAST, FUTURE] {
        for ctl in 0..4 {
            CNTVOFF_EL2.set(0);
            CNTV_CVAL_EL02.set(cval);
            CNTV_CTL_EL02.set(ctl);
            CNTP_CVAL_EL02.set(cval);
            CNTP_CTL_EL02.set(ctl);
            CNTHP_CVAL_EL2.set(cval);
            CNTHP_CTL_EL2.set(ctl);
            if !NVHE {
                CNTHV_CVAL_EL2.set(cval);
                CNTHV_CTL_EL2.set(ctl);
            }
            println!(
                "P TIMER {cval:#x} {ctl} el02 {:#x} {:#x} own {:#x} {:#x}",
                CNTV_CTL_EL02.get(),
                CNTP_CTL_EL02.get(),
                CNTHP_CTL_EL2.get(),
                if NVHE { 0 } else { CNTHV_CTL_EL2.get() }
            );
            for reg in [
                SysReg::CNTV_CTL_EL0,
                SysReg::CNTP_CTL_EL0,
                SysReg::CNTV_CVAL_EL0,
                SysReg::CNTP_CVAL_EL0,
            ] {
                let (value, outcome) = guest.execute(read_of(reg), 0);
                println!("P TIMER l2 {reg} {outcome} {value:#x}");
            }
        }
    }
    // What the guest writes is what EL2 finds.
    for (reg, value) in [
        (SysReg::CNTV_CTL_EL0, 3),
        (SysReg::CNTP_CTL_EL0, 1),
        (SysReg::CNTV_CVAL_EL0, FUTURE),
        (SysReg::CNTP_CVAL_EL0, FUTURE),
    ] {
        let (_, outcome) = guest.execute(write_of(reg), value);
        println!(
            "P TIMER wrote {reg} {outcome} {:#x} {:#x} {:#x} {:#x}",
            CNTV_CTL_EL02.get(),
            CNTP_CTL_EL02.get(),
            CNTV_CVAL_EL02.get(),
            CNTP_CVAL_EL02.get()
        );
    }
    CNTV_CTL_EL02.set(0);
    CNTP_CTL_EL02.set(0);
    CNTHP_CTL_EL2.set(0);
    if !NVHE {
        CNTHV_CTL_EL2.set(0);
    }
}

/// The virtual counter is behind the physical one by `CNTVOFF_EL2`, for the guest alone.
fn offsets(code: &El2Code, guest: &mut Below) {
    for offset in [0, OFFSET] {
        CNTVOFF_EL2.set(offset);
        for reg in [
            SysReg::CNTVCT_EL0,
            SysReg::CNTPCT_EL0,
            SysReg::CNTVCTSS_EL0,
            SysReg::CNTPCTSS_EL0,
        ] {
            let before = CNTPCT_EL0.get();
            let (value, outcome) = guest.execute(read_of(reg), 0);
            let (own, _) = code.execute(&[read_of(reg)], 0, 4);
            let after = CNTPCT_EL0.get();
            let is_between = |value: u64| (before..=after).contains(&value);
            println!(
                "P COUNTER {reg} offset {offset:#x} {outcome} plain {} behind {} el2 plain {} behind {}",
                is_between(value),
                is_between(value.wrapping_add(offset)),
                is_between(own),
                is_between(own.wrapping_add(offset)),
            );
        }
    }
}

/// `CNTHCTL_EL2.{EL1NVPCT,EL1NVVCT}`: a guest that is a hypervisor has its guest's timers in its page, unless they trap.
fn of_nested(frames: &mut Frames, guest: &mut Below) {
    VNCR_EL2.set(frames.page());
    guest.l2.hcr = HCR_NESTED;
    for (name, bit) in [("none", 0), ("EL1NVPCT", 1 << 15), ("EL1NVVCT", 1 << 16)] {
        CNTHCTL_EL2.set(CNTHCTL_OPEN | bit);
        for reg in [
            SysReg::CNTP_CTL_EL02,
            SysReg::CNTP_CVAL_EL02,
            SysReg::CNTP_TVAL_EL02,
            SysReg::CNTV_CTL_EL02,
            SysReg::CNTV_CVAL_EL02,
            SysReg::CNTV_TVAL_EL02,
        ] {
            println!(
                "P NESTED {name} {reg} {}/{}",
                guest.execute(read_of(reg), 0).1,
                guest.execute(write_of(reg), 0).1
            );
        }
    }
    CNTHCTL_EL2.set(CNTHCTL_OPEN);
    guest.l2.hcr = 0;
}
