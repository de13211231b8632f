//! Exceptions to EL2 from below: the state that they begin in, and what `HCR_EL2` routes there.

use bare::l2::{Kind, PSTATE_EL1H_MASKED, Program};
use bare::println;
use bare::sysreg::{ESR_EL12, ID_AA64PFR0_EL1, SCTLR_EL2, VSESR_EL2};
use syndrome::regs::{hcr_el2, pstate, sctlr};

use crate::exceptions::{HOLE_IPA, LOAD, describe};
use crate::probe::{Below, HCR_OPEN, HCR_VM, PSTATE_EL0};
use crate::vectors::state_of_entry;

const NOP: u32 = 0xd503_201f;
const SVC: u32 = 0xd400_0021;
/// `BR x0`
const BRANCH: u32 = 0xd61f_0000;

/// The state of an entry, by `SCTLR_EL2.{SPAN,DSSBS}` and by the state that is left.
pub(crate) fn states(guest: &mut Below, instruction: u32, mode: u64) {
    const KEPT: [(&str, u64); 7] = [
        ("none", 0),
        ("NZCV", pstate::NZCV),
        ("PAN", pstate::PAN),
        ("UAO", pstate::UAO),
        ("DIT", pstate::DIT),
        ("SSBS", pstate::SSBS),
        ("BTYPE", pstate::BTYPE),
    ];
    let usual = SCTLR_EL2.get();
    for (name, bits) in [("none", 0), ("SPAN", sctlr::SPAN), ("DSSBS", sctlr::DSSBS)] {
        SCTLR_EL2.set(usual & !(sctlr::SPAN | sctlr::DSSBS) | bits);
        for (left, kept) in KEPT {
            let mut exit = None;
            let state = state_of_entry(|| exit = Some(guest.exit_of(&[instruction], 0, mode | kept)));
            let spsr = exit.map_or(0, |exit| exit.spsr) & !(1 << 13);
            // QEMU 10.0 forgets DIT where it takes exceptions itself.
            println!(
                "P ENTRY {mode:#x} SCTLR {name} left {left}: spsr {spsr:#x} state {:#x}",
                state & !pstate::DIT
            );
            if state & pstate::DIT != kept & pstate::DIT && instruction == NOP {
                println!("P WRONG DIT is not kept: {state:#x}");
            }
        }
    }
    SCTLR_EL2.set(usual);
}

/// `TEA` has external aborts of the guest's taken at EL2.
pub(crate) fn external_aborts(guest: &mut Below) {
    const SEA: u64 = 0b01_0000;
    const FAR: u64 = HOLE_IPA + 0x18;
    guest.l2.controls = HCR_OPEN | HCR_VM | hcr_el2::TEA;
    for (name, word) in [("load", LOAD), ("fetch", BRANCH)] {
        let exit = guest.exit_of(&[word], FAR, PSTATE_EL1H_MASKED);
        if exit.abort() != Some(SEA) || exit.far != FAR {
            println!("P WRONG TEA does not route a {name}: {exit}");
        }
    }
    guest.l2.controls = HCR_OPEN | HCR_VM;
}

/// A virtual `SError` that is masked stays pending while `HCR_EL2` changes, is taken back with its bit, and is gone once it
/// was taken.
pub(crate) fn virtual_serror(guest: &mut Below) {
    const PSTATE_A: u64 = 1 << 8;
    let with = HCR_OPEN | HCR_VM | hcr_el2::AMO | hcr_el2::VSE;
    let steps = [
        ("masked", with, PSTATE_A),
        ("masked, with another trap", with | hcr_el2::TVM, PSTATE_A),
        ("masked, without AMO", with & !hcr_el2::AMO, PSTATE_A),
        ("not masked, without AMO", with & !hcr_el2::AMO, 0),
        ("taken back", with & !hcr_el2::VSE, 0),
        ("not masked", with, 0),
        ("gone", HCR_OPEN | HCR_VM | hcr_el2::AMO, 0),
    ];
    VSESR_EL2.set(0x77);
    for (name, controls, masked) in steps {
        guest.l2.controls = controls;
        ESR_EL12.set(0);
        let exit = guest.exit_of(&[NOP], 0, PSTATE_EL1H_MASKED & !PSTATE_A | masked);
        let left = exit.hcr & hcr_el2::VSE;
        describe("VSE", &exit);
        println!("P VSE {name}: left {left:#x} el1 esr {:#x}", ESR_EL12.get());
    }
    VSESR_EL2.set(0);
    guest.l2.controls = HCR_OPEN | HCR_VM;
}

/// Where AArch32 is hidden, an ERET to it is illegal. Elsewhere there is nothing to be said.
pub(crate) fn aarch32(guest: &mut Below) {
    const EC_ILLEGAL_STATE: u64 = 0x0e;
    if ID_AA64PFR0_EL1.get() & 0xff != 0x11 {
        return;
    }
    for mode in [0x10, 0x13, 0x1f] {
        guest.l2.pc = Program::Idle.address();
        guest.l2.pstate = mode;
        let exit = guest.l2.resume();
        if exit.kind != Kind::NotEntered || exit.class() != EC_ILLEGAL_STATE {
            println!("P WRONG an ERET to AArch32 mode {mode:#x}: {exit}");
        }
    }
}

/// EL0 of a host is below EL2, too.
pub(crate) fn of_host(user: &mut Below) {
    states(user, SVC, PSTATE_EL0);
}
