//! SMC: what the firmware answers to EL2, to its guest, and to its guest if EL2 traps it.

use bare::l2::{L2, PSTATE_EL1H_MASKED, VECTORS_OFFSET};
use bare::memory::{Frames, put_code};
use bare::println;
use bare::psci::{self, AFFINITY_INFO, CPU_ON};
use bare::stage2::{Format, Perms, Stage2};
use bare::sysreg::{ELR_EL12, ESR_EL12, HCR_EL2};
use syndrome::regs::hcr_el2;

use crate::probe::{Below, CODE_IPA, HCR_OPEN, HCR_VM, PROBE_IPA};
use crate::vectors::El2Code;

const SMC: u32 = 0xd400_0003;
/// With an immediate, which no convention has a use for.
const SMC_1: u32 = 0xd400_0023;
const NOT_SUPPORTED: u64 = u64::MAX;

const PSCI_VERSION: u64 = 0x8400_0000;
const MIGRATE_INFO_TYPE: u64 = 0x8400_0006;
const PSCI_FEATURES: u64 = 0x8400_000a;
const SYSTEM_SUSPEND: u64 = 0xc400_000e;
const SMCCC_VERSION: u64 = 0x8000_0000;
/// Nobody's: of a vendor, of the secure side, a fast call of no service, one that may be interrupted.
const UNKNOWN: [u64; 4] = [0x8600_ff01, 0xbf00_ff01, 0x8400_001f, 0x0400_0001];

/// Functions and their first argument.
const CALLS: [(u64, u64); 10] = [
    (PSCI_VERSION, 0),
    (MIGRATE_INFO_TYPE, 0),
    (PSCI_FEATURES, PSCI_VERSION),
    (PSCI_FEATURES, CPU_ON),
    (PSCI_FEATURES, AFFINITY_INFO),
    (PSCI_FEATURES, SYSTEM_SUSPEND),
    (PSCI_FEATURES, UNKNOWN[2]),
    (AFFINITY_INFO, 0),
    (AFFINITY_INFO, 99),
    (SMCCC_VERSION, 0),
];

pub(crate) fn run(guest: &mut Below) {
    let unknown = UNKNOWN.map(|function| (function, 0));
    for (function, argument) in CALLS.into_iter().chain(unknown) {
        let answer = psci::call(function, [argument, 0, 0]);
        println!("P CALL {function:#x} {argument:#x} el2 {answer}");
        for (who, controls) in [("l2", 0), ("l2 trapped", hcr_el2::TSC)] {
            guest.l2.controls = HCR_OPEN | HCR_VM | controls;
            guest.l2.x[1..4].copy_from_slice(&[argument, 0, 0]);
            let exit = guest.exit_of(&[SMC], function, PSTATE_EL1H_MASKED);
            println!(
                "P CALL {function:#x} {argument:#x} {who} {} esr {:#x} elr +{:#x}",
                guest.l2.x[0].cast_signed(),
                exit.esr,
                exit.elr - PROBE_IPA
            );
        }
    }
    let exit = guest.exit_of(&[SMC_1], PSCI_VERSION, PSTATE_EL1H_MASKED);
    println!("P CALL immediate esr {:#x}", exit.esr);
    guest.l2.controls = HCR_OPEN | HCR_VM;
    guest.exit_of(&[SMC_1], PSCI_VERSION, PSTATE_EL1H_MASKED);
    if guest.l2.x[0] != NOT_SUPPORTED {
        println!("P WRONG a call with an immediate gives {:#x}", guest.l2.x[0]);
    }
}

/// `HCR_EL2.HCD`: HVC is undefined, at EL2 and in its guest, whose vectors are calls that trap.
pub(crate) fn disabled(code: &El2Code, frames: &mut Frames) {
    const HVC: u32 = 0xd400_0042;
    /// Of the current level, with its own stack pointer.
    const SYNC: u64 = 0x200;
    let host = HCR_EL2.get();
    HCR_EL2.set(host | hcr_el2::HCD);
    let (_, taken) = code.execute(&[HVC], 0, 4);
    HCR_EL2.set(host);
    println!("P HCD el2 esr {:#x}", taken.map_or(0, |taken| taken.esr));
    let stage2 = Stage2::new(Format::USUAL, 4, frames);
    let page = frames.page();
    stage2.map(CODE_IPA, page, 3, Perms::RX, frames);
    put_code(page, &[HVC, SMC]);
    put_code(page + VECTORS_OFFSET + SYNC, &[SMC, SMC]);
    let mut guest = L2::on(stage2, CODE_IPA);
    for disabled in [0, hcr_el2::HCD] {
        guest.controls = HCR_OPEN | HCR_VM | hcr_el2::TSC | disabled;
        guest.pc = CODE_IPA;
        guest.pstate = PSTATE_EL1H_MASKED;
        let exit = guest.resume();
        println!(
            "P HCD {} esr {:#x} elr +{:#x} el1 esr {:#x} elr {:#x}",
            disabled != 0,
            exit.esr,
            exit.elr - CODE_IPA,
            ESR_EL12.get(),
            ELR_EL12.get()
        );
    }
}
