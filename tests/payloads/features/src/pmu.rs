//! Performance monitors: what each filter counts, whose the counters are, and the interrupt.

use core::hint;

use bare::{gic, println};

use crate::guest::{Guest, Program};
use crate::registers::{
    Dfr0, IccEoir1, IccIar1, IccIgrpen1, IccPmr, MdcrEl2, PmCcfiltr, PmCcntr, PmCntenclr, PmCntenset, PmCr, PmEvcntr0,
    PmEvtyper0, PmIntenclr, PmIntenset, PmOvsclr, PmOvsset, PmSelr, PmSwinc, PmXevcntr, PmXevtyper,
};

/// `PMCR_EL0`: enable, and 64 bits for the cycle counter.
const ENABLE: u64 = 1 | 1 << 6;
const CYCLES: u64 = 1 << 31;
/// Filters: not EL1, not EL0, EL2 too.
const P: u64 = 1 << 31;
const U: u64 = 1 << 30;
const NSH: u64 = 1 << 27;
/// `MDCR_EL2`: no events at EL2, no cycles at EL2, traps.
const HPMD: u64 = 1 << 17;
const HCCD: u64 = 1 << 23;
const TPM: u64 = 1 << 6;

pub(crate) fn run(guest: &mut Guest) {
    println!(
        "P pmu {:#x}, PMCR_EL0 {:#x}, MDCR_EL2 {:#x}",
        Dfr0::get() >> 8 & 0xf,
        PmCr::get(),
        MdcrEl2::get()
    );
    let counters = PmCr::get() >> 11 & 0x1f;
    PmCr::set(ENABLE);
    PmCntenset::set(CYCLES | 1);
    for mdcr in [counters, counters | HPMD, counters | HCCD] {
        MdcrEl2::set(mdcr);
        for filter in [0, NSH, P, P | NSH, P | U, U | NSH] {
            PmCcfiltr::set(filter);
            PmEvtyper0::set(filter);
            println!(
                "P pmu MDCR_EL2 {mdcr:#x} filter {:#x}: {}",
                PmCcfiltr::get(),
                counted(guest)
            );
        }
    }
    registers();
    // The guest has the counters below HPMN, and none if its accesses trap.
    for hpmn in [counters, 2, TPM | counters] {
        // Not those from HPMN on: QEMU does not keep them from a guest.
        PmCntenset::set(CYCLES | 1);
        MdcrEl2::set(hpmn);
        println!("P pmu L2 {hpmn:#x}: {}", guest.run(Program::Monitors, u64::MAX));
        println!("P pmu L1 afterwards: {:#x}", PmCntenset::get());
    }
    MdcrEl2::set(counters);
    interrupt();
    PmCntenclr::set(u64::MAX >> 32);
}

/// Which of cycles and a software event are counted here, and cycles of the guest if not those here.
fn counted(guest: &mut Guest) -> &'static str {
    PmCcntr::set(0);
    PmEvcntr0::set(0);
    for _ in 0..100_000 {
        hint::spin_loop();
    }
    PmSwinc::set(1);
    let (own_cycles, own_events) = (PmCcntr::get() != 0, PmEvcntr0::get());
    PmCcntr::set(0);
    let ended = guest.run(Program::Loop, 100_000);
    let guest_cycles = ended.is_at_its_end() && PmCcntr::get() != 0;
    match (own_cycles, own_events, guest_cycles) {
        (false, 0, false) => "nothing",
        (false, 0, true) => "guest",
        (true, 0, _) => "own cycles",
        (false, 1, _) => "own events",
        (true, 1, _) => "own cycles and events",
        _ => "nonsense",
    }
}

/// Registers under their numbers and as the selected ones.
fn registers() {
    PmSelr::set(0);
    PmXevtyper::set(0x1234 | U);
    PmXevcntr::set(0x55);
    println!("P pmu selected 0: {:#x} {:#x}", PmEvtyper0::get(), PmEvcntr0::get());
    PmSelr::set(31);
    PmXevtyper::set(NSH);
    println!("P pmu selected 31: {:#x}, still {}", PmCcfiltr::get(), PmSelr::get());
    PmIntenset::set(0x8000_0005);
    PmIntenclr::set(4);
    println!("P pmu masks {:#x} {:#x}", PmIntenset::get(), PmCntenclr::get());
    PmIntenclr::set(1);
}

/// The cycle counter overflows, and interrupts.
fn interrupt() {
    gic::enable(23);
    IccPmr::set(0xf0);
    IccIgrpen1::set(1);
    println!("P pmu interrupt {}", IccIar1::get());
    PmOvsclr::set(u64::MAX >> 32);
    PmCntenset::set(CYCLES);
    PmCcfiltr::set(NSH);
    PmCcntr::set(u64::MAX - 1000);
    let mut intid = SPURIOUS;
    for _ in 0..LOOKS_MAX {
        intid = IccIar1::get();
        if intid != SPURIOUS {
            break;
        }
    }
    println!("P pmu interrupt {intid}, overflow {:#x}", PmOvsset::get() & CYCLES);
    PmOvsclr::set(CYCLES);
    IccEoir1::set(intid);
    println!("P pmu interrupt {}", IccIar1::get());
}

const SPURIOUS: u64 = 1023;
/// How often the interrupt is looked for: minutes.
const LOOKS_MAX: u64 = 1 << 30;
