//! Exceptions to EL2 from everywhere, and returns from them.

use bare::host::NVHE;
use bare::l2::{Exit, PSTATE_EL1H_MASKED, Program};
use bare::memory::Frames;
use bare::println;
use bare::stage2::Perms;
use bare::sysreg::{ESR_EL12, FAR_EL12, HCR_EL2, ID_AA64MMFR4_EL1, SCTLR_EL2, VDISR_EL2, VSESR_EL2};

use crate::probe::{self, Below, HCR_OPEN, HCR_VM};
use crate::tge;
use crate::vectors::El2Code;
use crate::walks;
use crate::{calls, controls, debug, entries};

pub(crate) const NOP: u32 = 0xd503_201f;
/// `LDR x0, [x0]`
pub(crate) const LOAD: u32 = 0xf940_0000;
/// `BR x0`
pub(crate) const BRANCH: u32 = 0xd61f_0000;
const SELECT_SP_EL0: u32 = 0xd500_40bf;
const SELECT_SP_EL2: u32 = 0xd500_41bf;

/// No RAM and no device.
pub(crate) const HOLE: u64 = 0x2_0000_0000;
/// Where an L2 sees it.
pub(crate) const HOLE_IPA: u64 = 0x8040_0000;

const HCR_TGE: u64 = 1 << 27;
const DAIF: u64 = 0x3c0;
const NZCV: u64 = 0xf << 28;
const PSTATE_IL: u64 = 1 << 20;

/// Instructions that are exceptions, with what they find in `x0` and how far behind `ELR_EL2` the next one is.
const CAUSES: [(&str, u32, u64, u64); 8] = [
    ("svc", 0xd400_0021, 0, 0),
    ("hvc", 0xd400_0042, 0, 0),
    ("brk", 0xd420_0060, 0, 4),
    ("udf", 0, 0, 4),
    ("undefined-register", 0xd53e_1100, 0, 4),
    ("load-unmapped", LOAD, 1 << 38, 4),
    ("load-of-nothing", LOAD, HOLE + 0x20, 4),
    ("load-unaligned", LOAD, 0x0900_0001, 4),
];

pub(crate) fn run(frames: &mut Frames) {
    probe::open();
    let code = El2Code::new(frames);
    at_el2(&code);
    authenticated_returns();
    let mut guest = Below::guest(frames);
    guest.l2.stage2.map(HOLE_IPA, HOLE, 3, Perms::RWX, frames);
    guest.l2.controls = HCR_OPEN | HCR_VM;
    returns(&mut guest);
    virtual_interrupts(&code, &mut guest);
    external_aborts(&mut guest);
    entries::states(&mut guest, NOP, PSTATE_EL1H_MASKED);
    entries::external_aborts(&mut guest);
    entries::virtual_serror(&mut guest);
    entries::aarch32(&mut guest);
    calls::run(&mut guest);
    calls::disabled(&code, frames);
    debug::run(&mut guest);
    walks::run(frames);
    // Without VHE there is no host at EL0.
    if NVHE {
        tge::run(frames);
    } else {
        host_el0(frames);
    }
}

/// From EL2 itself, on either stack pointer, with `PSTATE.PAN` as `SCTLR_EL2.SPAN` says.
fn at_el2(code: &El2Code) {
    const SPAN: u64 = 1 << 23;
    let sctlr = SCTLR_EL2.get();
    for (name, word, x0, skip) in CAUSES {
        if let (_, Some(taken)) = code.execute(&[word], x0, skip) {
            println!("P EL2H {name} {taken} far {:#x}", far(taken.esr, taken.far));
        }
        let words = [SELECT_SP_EL0, word, SELECT_SP_EL2];
        if let (_, Some(taken)) = code.execute(&words, x0, skip) {
            println!("P EL2T {name} {taken}");
        }
    }
    HCR_EL2.set(HCR_EL2.get() | HCR_TGE);
    SCTLR_EL2.set(sctlr & !SPAN);
    if let (_, Some(taken)) = code.execute(&[0], 0, 4) {
        println!("P SPAN {taken}");
    }
    HCR_EL2.set(HCR_EL2.get() & !HCR_TGE);
    fixed_e2h(code);
    SCTLR_EL2.set(sctlr);
}

/// Where `HCR_EL2.E2H` is said to be fixed to 1, what is written to it does not count: with `TGE` EL2 is a host, of which
/// `PSTATE.PAN` of an HVC tells, with `SCTLR_EL2.SPAN` = 0.
fn fixed_e2h(code: &El2Code) {
    const HVC: u32 = 0xd400_0042;
    const HCR_E2H: u64 = 1 << 34;
    const E2H0: u64 = 0xf << 24;
    if NVHE || ID_AA64MMFR4_EL1.get() & E2H0 == 0 {
        return;
    }
    let host = HCR_EL2.get();
    let [with, without] = [host | HCR_TGE, (host | HCR_TGE) & !HCR_E2H].map(|hcr| {
        HCR_EL2.set(hcr);
        let (_, taken) = code.execute(&[HVC], 0, 0);
        HCR_EL2.set(host);
        taken.map_or(0, |taken| taken.state)
    });
    if with == 0 || with != without {
        println!("P WRONG state {without:#x} instead of {with:#x} without E2H, which is fixed");
    }
}

/// `FAR_EL2`, of a class that has one.
fn far(esr: u64, far: u64) -> u64 {
    const ABORTS: core::ops::RangeInclusive<u64> = 0x20..=0x25;
    if ABORTS.contains(&(esr >> 26)) { far } else { 0 }
}

/// `ERETAA` and `ERETAB`, with a good and a bad signature, with and without the key enabled.
fn authenticated_returns() {
    const EN_IA: u64 = 1 << 31;
    const EN_IB: u64 = 1 << 30;
    let sctlr = SCTLR_EL2.get();
    for enabled in [0, EN_IA | EN_IB] {
        SCTLR_EL2.set(sctlr & !(EN_IA | EN_IB) | enabled);
        // Without the key nothing checks the signature, and a bad one is a bad address.
        for flip in [0, 1 << 50].into_iter().filter(|flip| *flip == 0 || enabled != 0) {
            let outcomes = [crate::vectors::eret_a(flip), crate::vectors::eret_b(flip)];
            for (name, esr) in ["eretaa", "eretab"].iter().zip(outcomes) {
                println!("P {name} keys {} flip {} esr {esr:#x}", enabled != 0, flip != 0);
            }
        }
    }
    SCTLR_EL2.set(sctlr);
}

/// `SPSR_EL2` without `ALLINT`, which belongs to a feature that is hidden; the hardware has it all the same.
fn shown(spsr: u64) -> u64 {
    spsr & !(1 << 13)
}

pub(crate) fn describe(what: &str, exit: &Exit) {
    println!(
        "P {what} {:?} esr {:#x} elr {:#x} spsr {:#x} far {:#x} el1 esr {:#x}",
        exit.kind,
        exit.esr,
        exit.elr,
        shown(exit.spsr),
        far(exit.esr, exit.far),
        ESR_EL12.get()
    );
}

/// Every mode that an ERET can name, in AArch64.
fn returns(guest: &mut Below) {
    let host = HCR_EL2.get();
    for tge in [0, HCR_TGE] {
        guest.l2.controls = HCR_OPEN | HCR_VM | tge;
        for mode in 0..16 {
            for extra in [0, PSTATE_IL] {
                guest.l2.pc = Program::Idle.address();
                guest.l2.pstate = NZCV | DAIF | mode | extra;
                let exit = guest.l2.resume();
                println!(
                    "P RETURN tge {} mode {mode:#x} il {} {:?} esr {:#x} spsr {:#x}",
                    tge != 0,
                    extra != 0,
                    exit.kind,
                    exit.esr,
                    shown(exit.spsr)
                );
            }
        }
    }
    guest.l2.controls = HCR_OPEN | HCR_VM;
    HCR_EL2.set(host);
}

/// `HCR_EL2.{VI,VF,VSE}`, masked and not, and what an ESB makes of a virtual `SError`.
fn virtual_interrupts(code: &El2Code, guest: &mut Below) {
    const ESB: u32 = 0xd503_221f;
    const READ_DISR: u32 = 0xd538_c120;
    const READ_ISR: u32 = 0xd538_c100;
    let kinds = [
        ("vf", 1 << 6 | 1 << 3),
        ("vi", 1 << 7 | 1 << 4),
        ("vse", 1 << 8 | 1 << 5),
    ];
    for (name, bits) in kinds {
        for masked in [DAIF, 0] {
            VSESR_EL2.set(0x12_3456);
            guest.l2.controls = HCR_OPEN | HCR_VM | bits;
            let exit = guest.exit_of(&[READ_ISR, NOP], 0, masked | 0x5);
            let pending = exit.hcr >> 6 & 7;
            println!(
                "P VIRTUAL {name} masked {} isr {:#x} left {pending:#x}",
                masked != 0,
                guest.l2.x[0]
            );
            describe("VIRTUAL", &exit);
        }
    }
    VDISR_EL2.set(0);
    guest.l2.controls = HCR_OPEN | HCR_VM | 1 << 8 | 1 << 5;
    let exit = guest.exit_of(&[ESB, READ_DISR], 0, PSTATE_EL1H_MASKED);
    println!(
        "P ESB disr {:#x} vdisr {:#x} of EL2 {:#x}",
        guest.l2.x[0],
        VDISR_EL2.get(),
        code.execute(&[READ_DISR], 0, 4).0
    );
    describe("ESB", &exit);
    guest.l2.controls = HCR_OPEN | HCR_VM;
    VSESR_EL2.set(0);
    VDISR_EL2.set(0);
}

/// Accesses to nothing: the guest's own affair.
fn external_aborts(guest: &mut Below) {
    let exit = guest.exit_of(&[LOAD], HOLE_IPA + 8, PSTATE_EL1H_MASKED);
    describe("SEA load", &exit);
    println!("P SEA el1 far {:#x}", FAR_EL12.get());
    let exit = guest.exit_of(&[BRANCH], HOLE_IPA + 16, PSTATE_EL1H_MASKED);
    describe("SEA fetch", &exit);
}

/// EL0 of a host, `{E2H,TGE}` = `{1,1}`: it may execute this program's memory, and neither read nor write it.
fn host_el0(frames: &mut Frames) {
    const EL0: u64 = DAIF;
    let mut user = Below::el1(frames);
    user.l2.controls = HCR_OPEN | HCR_TGE;
    for (name, word, x0, _) in CAUSES {
        let exit = user.exit_of(&[word], x0, EL0);
        describe(name, &exit);
    }
    for (name, word) in [
        ("own-memory", LOAD),
        ("fmov", 0x9e67_03e0),
        ("wfi", 0xd503_207f),
        ("cntvct", 0xd53b_e040),
    ] {
        let exit = user.exit_of(&[word], 0x4820_0000, EL0);
        describe(name, &exit);
    }
    entries::of_host(&mut user);
    debug::of_host(&mut user);
    controls::of_host(&mut user);
}
