//! What EL2 runs at EL0 with `HCR_EL2.TGE` and without VHE: all of its exceptions are EL2's, and stage 2 is in force.
//!
//! Stage 1 is off, whatever `SCTLR_EL1.M` says. QEMU 10.0 does not see to that, so here `M` is 0.
#![expect(unsafe_code, reason = "the interrupt controller is reached by address")]

use bare::l2::{Kind, SCTLR_EL1_OFF};
use bare::memory::Frames;
use bare::println;
use bare::stage2::Perms;
use bare::sysreg::{
    CNTKCTL_EL12, CPACR_EL12, HCR_EL2, ICC_EOIR1_EL1, ICC_IAR1_EL1, ICC_IGRPEN1_EL1, ICC_PMR_EL1, ICC_SGI1R_EL1,
    MDSCR_EL1, PMUSERENR_EL0,
};
use syndrome::SysReg;

use crate::exceptions::{BRANCH, HOLE, LOAD, NOP, describe};
use crate::probe::{Below, DATA_IPA, HCR_OPEN, HCR_VM, PROBE_IPA, PSTATE_EL0, read_of, write_of};

const HCR_TGE: u64 = 1 << 27;
const HCR_DC: u64 = 1 << 12;
/// `HCR_EL2.{VI,VF,VSE}`
const HCR_VIRTUAL: u64 = 7 << 6;
const PSTATE_IL: u64 = 1 << 20;
const PSTATE_SS: u64 = 1 << 21;
const PSTATE_D: u64 = 1 << 9;

/// EL0 may use nothing, and its stack pointer is checked: `SA0`.
const SCTLR_CLOSED: u64 = SCTLR_EL1_OFF | 1 << 4;
/// EL0 may use what there is: `UCI`, `UCT`, `DZE`, `UMA`.
const SCTLR_OPEN: u64 = SCTLR_CLOSED | 1 << 26 | 1 << 15 | 1 << 14 | 1 << 9;

const STORE: u32 = 0xf900_0000;
/// `DC ZVA, x0`
const ZERO: u32 = 0xd50b_7420;
/// `WFI`
const WAIT: u32 = 0xd503_207f;

/// Instructions without an operand.
const WORDS: [(&str, u32); 12] = [
    ("svc", 0xd400_0021),
    ("hvc", 0xd400_0042),
    ("smc", 0xd400_0003),
    ("brk", 0xd420_0060),
    ("udf", 0),
    ("eret", 0xd69f_03e0),
    ("fmov", 0x9e67_03e0),
    ("rdvl", 0x04bf_5001),
    ("paciasp", 0xd503_233f),
    ("daifset", 0xd503_42df),
    ("cfinv", 0xd500_401f),
    ("yield", 0xd503_203f),
];

/// Registers that are read.
const READ: [SysReg; 13] = [
    SysReg::SCTLR_EL1,
    SysReg::HCR_EL2,
    SysReg::ID_AA64PFR0_EL1,
    SysReg::ID_AA64MMFR0_EL1,
    SysReg::MIDR_EL1,
    SysReg::CTR_EL0,
    SysReg::DCZID_EL0,
    SysReg::CNTFRQ_EL0,
    SysReg::CNTVCT_EL0,
    SysReg::CNTPCT_EL0,
    SysReg::CNTV_CTL_EL0,
    SysReg::CNTP_CTL_EL0,
    SysReg::MDCCSR_EL0,
];

/// Registers that are written, with 0.
const WRITTEN: [SysReg; 2] = [SysReg::CNTP_CTL_EL0, SysReg::TPIDR_EL0];

/// Those that `PMUSERENR_EL0` is about.
const MONITORS_READ: [SysReg; 6] = [
    SysReg::PMCR_EL0,
    SysReg::PMCCNTR_EL0,
    SysReg::PMSELR_EL0,
    SysReg::PMXEVCNTR_EL0,
    SysReg::PMUSERENR_EL0,
    SysReg::PMCNTENSET_EL0,
];
const MONITORS_WRITTEN: [SysReg; 3] = [SysReg::PMSELR_EL0, SysReg::PMSWINC_EL0, SysReg::PMCNTENCLR_EL0];

pub(crate) fn run(frames: &mut Frames) {
    let mut guest = Below::guest(frames);
    for (name, hcr) in [("guest", HCR_VM), ("cached", HCR_VM | HCR_DC)] {
        guest.l2.controls = HCR_OPEN | HCR_TGE | hcr;
        everything(name, &mut guest, PROBE_IPA, DATA_IPA);
    }
    monitors(&mut guest);
    read_only_page(&mut guest, frames);
    guest.l2.controls = HCR_OPEN | HCR_TGE | HCR_VM | HCR_VIRTUAL;
    describe("TGE virtual", &guest.exit_of(&[NOP, NOP], 0, PSTATE_EL0 & !0x1c0));
    println!("P TGE virtual left {:#x}", HCR_EL2.get() & HCR_VIRTUAL);
    guest.l2.controls = HCR_OPEN | HCR_TGE | HCR_VM;
    interrupt(&mut guest);
    let mut alone = Below::el1(frames);
    alone.l2.controls = HCR_OPEN | HCR_TGE;
    let data = frames.page();
    let code = alone.place();
    everything("alone", &mut alone, code, data);
}

/// All that EL0 can do, as little and as much of it as EL1's registers allow.
fn everything(who: &str, user: &mut Below, code: u64, data: u64) {
    for (name, sctlr, others) in [("closed", SCTLR_CLOSED, 0), ("open", SCTLR_OPEN, u64::MAX)] {
        println!("P TGE {who} {name}");
        user.l2.sctlr = sctlr;
        CPACR_EL12.set(others & (3 << 20 | 3 << 16));
        CNTKCTL_EL12.set(others & 0x303);
        registers(user, &READ, &WRITTEN);
        for (name, word) in WORDS {
            describe(name, &user.exit_of(&[word], 0, PSTATE_EL0));
        }
        if sctlr == SCTLR_CLOSED {
            describe("wfi", &user.exit_of(&[WAIT], 0, PSTATE_EL0));
        }
        memory(user, code, data);
        stepped(user);
    }
    user.l2.sctlr = SCTLR_EL1_OFF;
}

fn registers(user: &mut Below, read: &[SysReg], written: &[SysReg]) {
    for reg in read {
        let exit = user.exit_of(&[read_of(*reg)], 0, PSTATE_EL0);
        println!("P TGE read {reg} esr {:#x} elr {:#x}", exit.esr, exit.elr);
    }
    for reg in written {
        let exit = user.exit_of(&[write_of(*reg)], 0, PSTATE_EL0);
        println!("P TGE write {reg} esr {:#x} elr {:#x}", exit.esr, exit.elr);
    }
}

/// As much of the counters as `PMUSERENR_EL0` allows.
fn monitors(user: &mut Below) {
    for userenr in [0, 1, 2, 4, 8] {
        println!("P TGE PMUSERENR_EL0 {userenr}");
        PMUSERENR_EL0.set(userenr);
        registers(user, &MONITORS_READ, &MONITORS_WRITTEN);
    }
    PMUSERENR_EL0.set(0);
}

/// Loads, stores, fetches and maintenance: of memory, of none, unaligned.
///
/// Without a stage 2 an unaligned access is a fault, because the memory is a device's then. In QEMU 10.0 that takes
/// `HCR_EL2.VM` = 0, which no guest's is.
fn memory(user: &mut Below, code: u64, data: u64) {
    let has_stage2 = user.l2.controls & HCR_VM != 0;
    let unaligned = data + if has_stage2 { 0x11 } else { 0x10 };
    let words = [
        ("load", LOAD),
        ("store", STORE),
        ("zero", ZERO),
        ("clean", 0xd50b_7a20),
        ("ivau", 0xd50b_7520),
        ("fetch", BRANCH),
    ];
    for (name, word) in words {
        for at in [data + 8, unaligned, HOLE, 1 << 38] {
            let exit = user.exit_of(&[word], at, PSTATE_EL0);
            println!(
                "P TGE at {:#x} hpfar {:#x}",
                if at < 1 << 33 { at & 0xfff } else { at },
                hpfar_of(&exit)
            );
            describe(name, &exit);
        }
    }
    describe("fetch-unaligned", &user.exit_of(&[BRANCH], code + 2, PSTATE_EL0));
    // MOV SP, x0; LDR x1, [SP]
    describe(
        "sp-unaligned",
        &user.exit_of(&[0x9100_001f, 0xf940_03e1], data + 8, PSTATE_EL0),
    );
    describe("illegal", &user.exit_of(&[NOP], 0, PSTATE_EL0 | PSTATE_IL));
}

/// `HPFAR_EL2`, of a fault of stage 2.
fn hpfar_of(exit: &bare::l2::Exit) -> u64 {
    match exit.abort() {
        Some(status) if matches!(status >> 2, 1 | 3) => exit.hpfar,
        _ => 0,
    }
}

/// A page that may not be written: the IPA is in `HPFAR_EL2`, or found by a translation.
fn read_only_page(guest: &mut Below, frames: &mut Frames) {
    const AT: u64 = DATA_IPA + 0x5000;
    let page = frames.page();
    guest.l2.stage2.map(AT, page, 3, Perms::RO, frames);
    for word in [LOAD, STORE] {
        let exit = guest.exit_of(&[word], AT, PSTATE_EL0);
        println!("P TGE read-only hpfar {:#x}", hpfar_of(&exit));
        describe("read-only", &exit);
    }
}

/// Software steps, which `MDCR_EL2.TDE` routes to EL2 as if it were set.
fn stepped(user: &mut Below) {
    const MDSCR_SS: u64 = 1;
    MDSCR_EL1.set(MDSCR_SS);
    for ss in [PSTATE_SS, 0] {
        describe("STEP", &user.exit_of(&[NOP, NOP], 0, PSTATE_EL0 & !PSTATE_D | ss));
    }
    MDSCR_EL1.set(0);
}

/// An SGI of EL2 to itself, while `IMO` is clear and interrupts are masked.
fn interrupt(user: &mut Below) {
    const SPIN: u32 = 0x1400_0000;
    const SGI: u64 = 5 << 24 | 1;
    const GICD_CTLR: u64 = 0x0800_0000;
    const ARE_GROUP1: u32 = 1 << 4 | 1 << 1;
    const GICR_WAKER: u64 = 0x080a_0014;
    const GICR_IGROUPR0: u64 = 0x080b_0080;
    const GICR_ISENABLER0: u64 = 0x080b_0100;
    for (at, value) in [
        (GICD_CTLR, ARE_GROUP1),
        (GICR_WAKER, 0),
        (GICR_IGROUPR0, u32::MAX),
        (GICR_ISENABLER0, 1 << 5),
    ] {
        // SAFETY: registers of the interrupt controller, which nobody else uses.
        unsafe { (at as *mut u32).write_volatile(value) }
    }
    ICC_PMR_EL1.set(0xff);
    ICC_IGRPEN1_EL1.set(1);
    ICC_SGI1R_EL1.set(SGI);
    let exit = user.exit_of(&[SPIN], 0, PSTATE_EL0);
    println!(
        "P TGE interrupt {} elr {:#x} spsr {:#x}",
        exit.kind == Kind::Irq,
        exit.elr,
        exit.spsr
    );
    let intid = ICC_IAR1_EL1.get();
    ICC_EOIR1_EL1.set(intid);
    println!("P TGE interrupt {intid}");
    ICC_IGRPEN1_EL1.set(0);
}
