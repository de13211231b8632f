//! WFI and WFE with a timeout, at EL2, in its guest, and when they trap.

use bare::host::NVHE;
use bare::l2::PSTATE_EL1H_MASKED;
use bare::println;
use bare::sysreg::{CNTPCT_EL0, CNTVCT_EL0, CNTVOFF_EL2};
use syndrome::regs::hcr_el2;

use crate::probe::{Below, HCR_OPEN, HCR_VM};
use crate::vectors::El2Code;

/// With `x0`.
const WFET: u32 = 0xd503_1000;
const WFIT: u32 = 0xd503_1020;
/// Ticks that a wait is to take.
const WAIT: u64 = 200_000;
/// A wait may end early, but not each time.
const ATTEMPTS: u32 = 5;

pub(crate) fn run(code: &El2Code, guest: &mut Below) {
    guest.l2.controls = HCR_OPEN | HCR_VM;
    // Not more than the counter has: QEMU 10.0 sleeps for ever where the virtual one has wrapped.
    for offset in [0, CNTPCT_EL0.get() / 2] {
        CNTVOFF_EL2.set(offset);
        // Without VHE the deadline of EL2 has an offset, which gnomon does not keep in the hardware: such a wait ends at once,
        // as any may.
        let own = NVHE && offset != 0
            || reaches(
                || CNTVCT_EL0.get(),
                |deadline| {
                    code.execute(&[WFIT], deadline, 0);
                },
            );
        let now = || CNTPCT_EL0.get().wrapping_sub(offset);
        let of_guest = reaches(now, |deadline| {
            guest.exit_of(&[WFIT], deadline, PSTATE_EL1H_MASKED);
        });
        println!("P WFIT offset {} el2 {own} l2 {of_guest}", offset != 0);
    }
    CNTVOFF_EL2.set(0);
    for (name, word, trap) in [("WFIT", WFIT, hcr_el2::TWI), ("WFET", WFET, hcr_el2::TWE)] {
        for controls in [0, hcr_el2::TWI, hcr_el2::TWE] {
            // What traps does so before its deadline only: another one must not sleep.
            let deadline = if controls == trap { u64::MAX } else { 0 };
            guest.l2.controls = HCR_OPEN | HCR_VM | controls;
            let exit = guest.exit_of(&[word], deadline, PSTATE_EL1H_MASKED);
            println!("P {name} controls {controls:#x} esr {:#x}", exit.esr);
        }
    }
    guest.l2.controls = HCR_OPEN | HCR_VM;
}

/// Whether `wait` lasts until a deadline, by the counter `now`.
fn reaches(now: impl Fn() -> u64, mut wait: impl FnMut(u64)) -> bool {
    (0..ATTEMPTS).any(|_| {
        let deadline = now().wrapping_add(WAIT);
        wait(deadline);
        now() >= deadline
    })
}
