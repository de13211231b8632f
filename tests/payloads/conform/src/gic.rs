//! The virtual CPU interface: an interrupt's way through a list register.

use bare::gic;
use bare::l2::PSTATE_EL1H_MASKED;
use bare::memory::Frames;
use bare::println;
use bare::sysreg::{
    ICC_EOIR1_EL1, ICC_IAR1_EL1, ICC_IGRPEN1_EL1, ICC_PMR_EL1, ICH_AP1R0_EL2, ICH_EISR_EL2, ICH_ELRSR_EL2, ICH_HCR_EL2,
    ICH_LR0_EL2, ICH_LR1_EL2, ICH_MISR_EL2, ICH_VMCR_EL2,
};
use syndrome::SysReg;

use crate::probe::{self, Below, HCR_OPEN, HCR_VM, read_of, write_of};

const NOP: u32 = 0xd503_201f;
/// `HCR_EL2.{IMO,FMO}`
const HCR_VIRTUAL: u64 = 3 << 3;
const EN: u64 = 1;
const UIE: u64 = 1 << 1;
const NPIE: u64 = 1 << 3;
const VMCR_GROUP1: u64 = 0xff << 24 | 1 << 1;
const VMCR_EOIM: u64 = 1 << 9;

const PENDING: u64 = 1 << 62;
const GROUP1: u64 = 1 << 60;
const EOI: u64 = 1 << 41;
const PRIORITY: u64 = 0x80 << 48;
const PRIORITY_LOW: u64 = 0xa0 << 48;

pub(crate) fn run(frames: &mut Frames) {
    probe::open();
    let mut guest = Below::guest(frames);
    guest.l2.controls = HCR_OPEN | HCR_VM | HCR_VIRTUAL;
    for (name, vmcr) in [
        ("eoi", VMCR_GROUP1),
        ("eoimode", VMCR_GROUP1 | VMCR_EOIM),
        ("off", 0xff << 24),
    ] {
        for (kind, extra) in [("plain", 0), ("maintained", EOI)] {
            ICH_VMCR_EL2.set(vmcr);
            ICH_AP1R0_EL2.set(0);
            ICH_LR0_EL2.set(PENDING | GROUP1 | PRIORITY | extra | 40);
            ICH_LR1_EL2.set(PENDING | GROUP1 | PRIORITY_LOW | 41);
            ICH_HCR_EL2.set(EN | UIE | NPIE);
            println!("P GIC {name} {kind}");
            // Taken when it is not masked.
            let exit = guest.exit_of(&[NOP, NOP], 0, PSTATE_EL1H_MASKED & !(1 << 7));
            println!("P GIC unmasked hvc {:?}", exit.hvc());
            state("pending");
            step(&mut guest, "iar1", read_of(SysReg::ICC_IAR1_EL1), 0);
            step(&mut guest, "hppir1", read_of(SysReg::ICC_HPPIR1_EL1), 0);
            step(&mut guest, "rpr", read_of(SysReg::ICC_RPR_EL1), 0);
            step(&mut guest, "eoir1", write_of(SysReg::ICC_EOIR1_EL1), 40);
            step(&mut guest, "dir", write_of(SysReg::ICC_DIR_EL1), 40);
            step(&mut guest, "iar1", read_of(SysReg::ICC_IAR1_EL1), 0);
            step(&mut guest, "eoir1", write_of(SysReg::ICC_EOIR1_EL1), 41);
            step(&mut guest, "pmr", write_of(SysReg::ICC_PMR_EL1), 0x40);
            step(&mut guest, "ctlr", read_of(SysReg::ICC_CTLR_EL1), 0);
            step(&mut guest, "bpr1", read_of(SysReg::ICC_BPR1_EL1), 0);
        }
    }
    of_one_kind(&mut guest);
    maintenance(&mut guest);
    ICH_HCR_EL2.set(0);
}

/// Which groups are signalled to a guest whose interrupts EL2 takes of one kind only.
fn of_one_kind(guest: &mut Below) {
    const UNMASKED: u64 = PSTATE_EL1H_MASKED & !(3 << 6);
    for (name, routed) in [("imo", 1 << 4), ("fmo", 1 << 3), ("neither", 0)] {
        guest.l2.controls = HCR_OPEN | HCR_VM | routed;
        for (group, bit) in [(0, 0), (1, GROUP1)] {
            ICH_VMCR_EL2.set(VMCR_GROUP1 | 1);
            ICH_LR0_EL2.set(PENDING | bit | PRIORITY | 40);
            ICH_LR1_EL2.set(0);
            ICH_HCR_EL2.set(EN);
            let exit = guest.exit_of(&[NOP, NOP], 0, UNMASKED);
            println!("P GIC routed {name} group {group} hvc {:?}", exit.hvc());
        }
    }
    guest.l2.controls = HCR_OPEN | HCR_VM | HCR_VIRTUAL;
    ICH_LR0_EL2.set(0);
}

/// The maintenance interrupt is an interrupt to EL2, which comes while the guest runs and goes with its reason.
fn maintenance(guest: &mut Below) {
    const INTID: u32 = 25;
    gic::enable(INTID);
    ICC_PMR_EL1.set(0xf0);
    ICC_IGRPEN1_EL1.set(1);
    for (name, lr, hcr) in [
        ("none", PENDING | GROUP1 | PRIORITY | 40, EN),
        ("underflow", 0, EN | UIE),
        ("no-pending", 0, EN | NPIE),
        ("off", 0, UIE),
    ] {
        ICH_LR0_EL2.set(lr);
        ICH_HCR_EL2.set(hcr);
        let exit = guest.exit_of(&[NOP], 0, PSTATE_EL1H_MASKED);
        let intid = ICC_IAR1_EL1.get();
        println!("P GIC maintenance {name}: {:?} intid {intid}", exit.kind);
        ICH_HCR_EL2.set(0);
        if intid == u64::from(INTID) {
            ICC_EOIR1_EL1.set(intid);
        }
        let exit = guest.exit_of(&[NOP], 0, PSTATE_EL1H_MASKED);
        println!("P GIC maintenance over: {:?} intid {}", exit.kind, ICC_IAR1_EL1.get());
    }
    ICC_IGRPEN1_EL1.set(0);
    gic::disable(INTID);
}

/// One access of the L2's, and what it leaves.
fn step(guest: &mut Below, name: &str, word: u32, x0: u64) {
    let (value, outcome) = guest.execute(word, x0);
    println!("P GIC {name} {outcome} {value:#x}");
    state(name);
}

fn state(when: &str) {
    println!(
        "P GIC after {when} lr {:#x} {:#x} vmcr {:#x} ap1r0 {:#x} misr {:#x} eisr {:#x} elrsr {:#x}",
        ICH_LR0_EL2.get(),
        ICH_LR1_EL2.get(),
        ICH_VMCR_EL2.get(),
        ICH_AP1R0_EL2.get(),
        ICH_MISR_EL2.get(),
        ICH_EISR_EL2.get(),
        ICH_ELRSR_EL2.get()
    );
}
