//! Software steps, breakpoints and watchpoints: of a guest that takes them itself, or whose EL2 does, and of the EL0 of a host.

use core::arch::asm;

use bare::l2::PSTATE_EL1H_MASKED;
use bare::println;
use bare::sysreg::{ESR_EL12, MDCR_EL2, MDSCR_EL1};
use syndrome::SysReg;

use crate::exceptions::{LOAD, NOP, describe};
use crate::probe::{Below, DATA_IPA, PSTATE_EL0, read_of, write_of};

const TDE: u64 = 1 << 8;
const MDSCR_SS: u64 = 1;
const MDSCR_KDE_MDE: u64 = 1 << 15 | 1 << 13;
const PSTATE_SS: u64 = 1 << 21;
const PSTATE_D: u64 = 1 << 9;

/// Routed to EL2 by `MDCR_EL2.TDE`, and not.
pub(crate) fn run(guest: &mut Below) {
    let mdcr = MDCR_EL2.get();
    // SAFETY: debug exceptions are masked at EL2.
    unsafe { asm!("msr S2_0_C1_C0_4, xzr", "isb", options(nostack)) } // OSLAR_EL1
    for routed in [TDE, 0] {
        MDCR_EL2.set(mdcr | routed);
        everything(guest, DATA_IPA, PSTATE_EL1H_MASKED & !PSTATE_D);
    }
    MDCR_EL2.set(mdcr);
    // The guest has this register as EL2 leaves it, and EL2 as the guest does.
    MDSCR_EL1.set(MDSCR_KDE_MDE);
    let was = guest.execute(read_of(SysReg::MDSCR_EL1), 0).0;
    guest.execute(write_of(SysReg::MDSCR_EL1), MDSCR_SS);
    println!("P MDSCR_EL1 {was:#x} left {:#x}", MDSCR_EL1.get());
    MDSCR_EL1.set(0);
}

/// All are EL2's.
pub(crate) fn of_host(user: &mut Below) {
    everything(user, user.place(), PSTATE_EL0 & !PSTATE_D);
}

fn everything(who: &mut Below, data: u64, pstate: u64) {
    for mdscr in [MDSCR_SS, MDSCR_SS | MDSCR_KDE_MDE, MDSCR_KDE_MDE] {
        MDSCR_EL1.set(mdscr);
        for ss in [PSTATE_SS, 0] {
            try_it("STEP", who, NOP, 0, pstate | ss);
        }
    }
    breakpoint(who.place() + 4);
    try_it("BREAKPOINT", who, NOP, 0, pstate);
    breakpoint(0);
    watchpoint(data);
    try_it("WATCHPOINT", who, LOAD, data, pstate);
    watchpoint(0);
    MDSCR_EL1.set(0);
}

fn try_it(what: &str, who: &mut Below, word: u32, x0: u64, pstate: u64) {
    ESR_EL12.set(0);
    describe(what, &who.exit_of(&[word, NOP], x0, pstate));
}

/// Breakpoint 0 at `at`, for EL1 and EL0; none if that is 0.
fn breakpoint(at: u64) {
    const ENABLED: u64 = 0xf << 5 | 3 << 1 | 1;
    let control = if at == 0 { 0 } else { ENABLED };
    // SAFETY: debug exceptions are masked at EL2.
    unsafe {
        asm!("msr S2_0_C0_C0_4, {}", "msr S2_0_C0_C0_5, {}", "isb", in(reg) at, in(reg) control, options(nostack))
    }
}

/// Watchpoint 0 of eight bytes at `at`, for EL1 and EL0; none if that is 0.
fn watchpoint(at: u64) {
    const ENABLED: u64 = 0xff << 5 | 3 << 3 | 3 << 1 | 1;
    let control = if at == 0 { 0 } else { ENABLED };
    // SAFETY: debug exceptions are masked at EL2.
    unsafe {
        asm!("msr S2_0_C0_C0_6, {}", "msr S2_0_C0_C0_7, {}", "isb", in(reg) at, in(reg) control, options(nostack))
    }
}
