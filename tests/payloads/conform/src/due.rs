//! Timers that are due: which interrupt each is, at EL2 and while the guest runs, that a WFI of either ends by it, and what
//! the time that is left has to do with the compare value.

use bare::gic;
use bare::host::NVHE;
use bare::l2::PSTATE_EL1H_MASKED;
use bare::println;
use bare::sysreg::{CNTPCT_EL0, CNTVOFF_EL2, ICC_EOIR1_EL1, ICC_IAR1_EL1, ICC_IGRPEN1_EL1, ICC_PMR_EL1};
use syndrome::SysReg;
use syndrome::regs::hcr_el2;

use crate::probe::{Below, HCR_OPEN, HCR_VM, read_of, write_of};
use crate::vectors::El2Code;

/// A timer as EL2 has it.
struct Timer {
    intid: u32,
    ctl: SysReg,
    cval: SysReg,
    tval: SysReg,
    /// Whether its counter is behind by `CNTVOFF_EL2`.
    is_offset: bool,
}

/// EL2's two, and its guest's two by the names that they have with VHE, and without.
const WITH_VHE: [Timer; 4] = [
    Timer {
        intid: 26,
        ctl: SysReg::CNTHP_CTL_EL2,
        cval: SysReg::CNTHP_CVAL_EL2,
        tval: SysReg::CNTHP_TVAL_EL2,
        is_offset: false,
    },
    Timer {
        intid: 28,
        ctl: SysReg::CNTHV_CTL_EL2,
        cval: SysReg::CNTHV_CVAL_EL2,
        tval: SysReg::CNTHV_TVAL_EL2,
        is_offset: false,
    },
    Timer {
        intid: 27,
        ctl: SysReg::CNTV_CTL_EL02,
        cval: SysReg::CNTV_CVAL_EL02,
        tval: SysReg::CNTV_TVAL_EL02,
        is_offset: true,
    },
    Timer {
        intid: 30,
        ctl: SysReg::CNTP_CTL_EL02,
        cval: SysReg::CNTP_CVAL_EL02,
        tval: SysReg::CNTP_TVAL_EL02,
        is_offset: false,
    },
];
const WITHOUT: [Timer; 3] = [
    Timer {
        intid: 26,
        ctl: SysReg::CNTHP_CTL_EL2,
        cval: SysReg::CNTHP_CVAL_EL2,
        tval: SysReg::CNTHP_TVAL_EL2,
        is_offset: false,
    },
    Timer {
        intid: 27,
        ctl: SysReg::CNTV_CTL_EL0,
        cval: SysReg::CNTV_CVAL_EL0,
        tval: SysReg::CNTV_TVAL_EL0,
        is_offset: true,
    },
    Timer {
        intid: 30,
        ctl: SysReg::CNTP_CTL_EL0,
        cval: SysReg::CNTP_CVAL_EL0,
        tval: SysReg::CNTP_TVAL_EL0,
        is_offset: false,
    },
];
const TIMERS: &[Timer] = if NVHE { &WITHOUT } else { &WITH_VHE };

const ENABLE: u64 = 1;
const ISTATUS: u64 = 1 << 2;
/// `B .`
const SPIN: u32 = 0x1400_0000;
const WFI: u32 = 0xd503_207f;
/// Ticks until a timer is due, and until one that counts down is.
const SOON: u64 = 500_000;
const LATER: u64 = 0x4000_0000;
const SPURIOUS: u64 = 1023;

pub(crate) fn run(code: &El2Code, guest: &mut Below) {
    ICC_PMR_EL1.set(0xf0);
    ICC_IGRPEN1_EL1.set(1);
    for timer in TIMERS {
        gic::enable(timer.intid);
        for offset in [0, CNTPCT_EL0.get() / 2] {
            CNTVOFF_EL2.set(offset);
            let behind = if timer.is_offset { offset } else { 0 };
            interrupts(timer, behind, code, guest);
            counts_down(timer, behind, code);
        }
        gic::disable(timer.intid);
    }
    CNTVOFF_EL2.set(0);
    for (first, second) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
        if let (Some(first), Some(second)) = (TIMERS.get(first), TIMERS.get(second)) {
            while_another_is(first, second, code, guest);
        }
    }
    ICC_IGRPEN1_EL1.set(0);
    guest.l2.controls = HCR_OPEN | HCR_VM;
}

fn interrupts(timer: &Timer, behind: u64, code: &El2Code, guest: &mut Below) {
    let &Timer { intid, ctl, cval, .. } = timer;
    let set = |ticks: u64, on| {
        code.execute(&[write_of(cval)], CNTPCT_EL0.get() - behind + ticks, 4);
        code.execute(&[write_of(ctl)], on, 4);
    };
    set(0, ENABLE);
    let at_once = ICC_IAR1_EL1.get();
    // Its line goes before its end, as handlers do it. The other way round gnomon may have taken it once more meanwhile.
    set(0, 0);
    end(at_once);
    println!("P DUE {intid} at once: {at_once}, and then {}", acknowledge());
    set(SOON, ENABLE);
    while code.execute(&[read_of(ctl)], 0, 4).0 & ISTATUS == 0 {
        code.execute(&[WFI], 0, 4);
    }
    println!("P DUE {intid} WFI at EL2: {}", acknowledge());
    guest.l2.controls = HCR_OPEN | HCR_VM | hcr_el2::IMO | hcr_el2::FMO;
    for (name, word) in [("spinning", SPIN), ("WFI", WFI)] {
        set(SOON, ENABLE);
        let mut exit = guest.exit_of(&[word], 0, PSTATE_EL1H_MASKED);
        // A WFI may end early.
        while exit.hvc().is_some() {
            exit = guest.exit_of(&[word], 0, PSTATE_EL1H_MASKED);
        }
        println!("P DUE {intid} in a guest {name}: {:?} {}", exit.kind, acknowledge());
    }
    set(0, 0);
}

/// A timer comes while the line of another, whose interrupt is disabled, is up.
fn while_another_is(first: &Timer, second: &Timer, code: &El2Code, guest: &mut Below) {
    let set = |timer: &Timer, ticks: u64, on| {
        code.execute(&[write_of(timer.cval)], CNTPCT_EL0.get() + ticks, 4);
        code.execute(&[write_of(timer.ctl)], on, 4);
    };
    gic::enable(second.intid);
    set(first, 0, ENABLE);
    set(second, SOON, ENABLE);
    while code.execute(&[read_of(second.ctl)], 0, 4).0 & ISTATUS == 0 {
        code.execute(&[WFI], 0, 4);
    }
    println!("P DUE {} while {} is: {}", second.intid, first.intid, acknowledge());
    set(second, SOON, ENABLE);
    let exit = guest.exit_of(&[SPIN], 0, PSTATE_EL1H_MASKED);
    println!(
        "P DUE {} while {} is, in a guest: {:?} {}",
        second.intid,
        first.intid,
        exit.kind,
        acknowledge()
    );
    set(first, 0, 0);
    set(second, 0, 0);
    gic::disable(second.intid);
}

/// The interrupt that is there, and is over with its line.
fn acknowledge() -> u64 {
    let intid = ICC_IAR1_EL1.get();
    end(intid);
    intid
}

fn end(intid: u64) {
    if intid != SPURIOUS {
        ICC_EOIR1_EL1.set(intid);
    }
}

/// `TVAL` is what is left until `CVAL`.
fn counts_down(timer: &Timer, behind: u64, code: &El2Code) {
    let &Timer { intid, cval, tval, .. } = timer;
    let now = || CNTPCT_EL0.get() - behind;
    for ticks in [LATER, LATER.wrapping_neg() & 0xffff_ffff] {
        let ahead = i64::from(ticks as u32 as i32).cast_unsigned();
        let before = now();
        code.execute(&[write_of(tval)], ticks, 4);
        let due = code.execute(&[read_of(cval)], 0, 4).0;
        let after = now();
        let is_ahead = (before..=after).contains(&due.wrapping_sub(ahead));
        let before = now();
        let left = code.execute(&[read_of(tval)], 0, 4).0;
        let after = now();
        let is_left = left >> 32 == 0
            && due.wrapping_sub(after) as u32 as i32 <= left as u32 as i32
            && left as u32 as i32 <= due.wrapping_sub(before) as u32 as i32;
        println!("P DUE {intid} TVAL {ticks:#x}: sets {is_ahead}, reads {is_left}");
    }
}
