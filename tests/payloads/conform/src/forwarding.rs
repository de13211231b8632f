//! Each of L1's trap controls alone, and what of an L2 it traps.

use bare::host::{CNTHCTL_OPEN, CPTR_OPEN, NVHE};
use bare::memory::Frames;
use bare::println;
use bare::sysreg::{CNTHCTL_EL2, CPACR_EL12, CPTR_EL2, HCRX_EL2, ICH_HCR_EL2, MDCR_EL2};
use syndrome::SysReg;
use syndrome::regs::{cnthctl_el2, cpacr, hcr_el2, hcrx_el2, ich_hcr_el2, mdcr_el2, sctlr};

use crate::copies;
use crate::probe::{self, Below, DATA_IPA, HCR_OPEN, HCR_VM, Outcome, PSTATE_EL0, read_of, write_of};
use crate::vectors::El2Code;

/// A control register.
#[derive(Clone, Copy)]
enum Of {
    Hcr,
    Hcrx,
    Mdcr,
    Cptr,
    Cnthctl,
    IchHcr,
}

/// A control: its name, its register, its bits, and whether it is in force when they are set.
type Control = (&'static str, Of, u64, bool);

/// Those that have another place with `E2H` = 0: `TFP`, `EL1PCTEN` and `EL1PCEN`.
const FLOATING_POINT: Control = if NVHE {
    ("CPTR.TFP", Of::Cptr, 1 << 10, true)
} else {
    ("CPTR.FPEN", Of::Cptr, cpacr::FPEN, false)
};
const PHYSICAL_COUNTER: Control = if NVHE {
    ("CNTHCTL.EL1PCTEN", Of::Cnthctl, 1, false)
} else {
    ("CNTHCTL.EL1PCTEN", Of::Cnthctl, cnthctl_el2::EL1PCTEN, false)
};
const PHYSICAL_TIMER: Control = if NVHE {
    ("CNTHCTL.EL1PCEN", Of::Cnthctl, 2, false)
} else {
    ("CNTHCTL.EL1PTEN", Of::Cnthctl, cnthctl_el2::EL1PTEN, false)
};

/// Nothing traps.
const OPEN: Control = ("open", Of::Hcr, 0, true);
const VECTORS: Control = if NVHE {
    ("CPTR.TZ", Of::Cptr, 1 << 8, true)
} else {
    ("CPTR.ZEN", Of::Cptr, cpacr::ZEN, false)
};

/// Controls of what is hidden, and RES0: they trap nothing that is shown. Those of tagging, activity monitors, RAS records,
/// transactions, granule protection and a delay of WFE; of all that FEAT_HCX brings besides two; of trace and profiling; of
/// trace, and of SME; of `CNTPOFF_EL2`, of another scale of events, and of Realms.
const HCR_OF_HIDDEN: u64 = hcr_el2::ATA
    | hcr_el2::DCT
    | hcr_el2::TID5
    | hcr_el2::AMVOFFEN
    | hcr_el2::FIEN
    | hcr_el2::TME
    | hcr_el2::GPF
    | hcr_el2::TWEDEn
    | hcr_el2::TWEDEL;
const HCRX_OF_HIDDEN: u64 = !(hcrx_el2::FnXS | hcrx_el2::FGTnXS | hcrx_el2::MCE2 | hcrx_el2::MSCEn);
const MDCR_OF_HIDDEN: u64 = mdcr_el2::TTRF | mdcr_el2::TPMS | mdcr_el2::E2PB | mdcr_el2::E2TB;
const CPTR_OF_HIDDEN: u64 = cpacr::TTA | cpacr::TAM;

const CNTHCTL_OF_HIDDEN: u64 = 1 << 12 | 7 << 17;

const CONTROLS: [Control; 52] = [
    OPEN,
    ("HCR.TID1", Of::Hcr, hcr_el2::TID1, true),
    ("HCR.TID2", Of::Hcr, hcr_el2::TID2, true),
    ("HCR.TID3", Of::Hcr, hcr_el2::TID3, true),
    ("HCR.TID4", Of::Hcr, hcr_el2::TID4, true),
    ("HCR.TIDCP", Of::Hcr, hcr_el2::TIDCP, true),
    ("HCR.TACR", Of::Hcr, hcr_el2::TACR, true),
    ("HCR.TSW", Of::Hcr, hcr_el2::TSW, true),
    ("HCR.TPCP", Of::Hcr, hcr_el2::TPCP, true),
    ("HCR.TPU", Of::Hcr, hcr_el2::TPU, true),
    ("HCR.TICAB", Of::Hcr, hcr_el2::TICAB, true),
    ("HCR.TOCU", Of::Hcr, hcr_el2::TOCU, true),
    ("HCR.TTLB", Of::Hcr, hcr_el2::TTLB, true),
    ("HCR.TTLBIS", Of::Hcr, hcr_el2::TTLBIS, true),
    ("HCR.TTLBOS", Of::Hcr, hcr_el2::TTLBOS, true),
    ("HCR.TVM", Of::Hcr, hcr_el2::TVM, true),
    ("HCR.TRVM", Of::Hcr, hcr_el2::TRVM, true),
    ("HCR.TDZ", Of::Hcr, hcr_el2::TDZ, true),
    ("HCR.TLOR", Of::Hcr, hcr_el2::TLOR, true),
    ("HCR.AT", Of::Hcr, hcr_el2::AT, true),
    ("HCR.TERR", Of::Hcr, hcr_el2::TERR, true),
    ("HCR.TSC", Of::Hcr, hcr_el2::TSC, true),
    ("HCR.TWI", Of::Hcr, hcr_el2::TWI, true),
    ("HCR.TWE", Of::Hcr, hcr_el2::TWE, true),
    ("HCR.APK", Of::Hcr, hcr_el2::APK, false),
    ("HCR.API", Of::Hcr, hcr_el2::API, false),
    ("HCR.IMO", Of::Hcr, hcr_el2::IMO, true),
    ("HCR.FMO", Of::Hcr, hcr_el2::FMO, true),
    ("HCR.FB", Of::Hcr, hcr_el2::FB | hcr_el2::BSU, true),
    ("HCR of hidden", Of::Hcr, HCR_OF_HIDDEN, true),
    ("HCRX of hidden", Of::Hcrx, HCRX_OF_HIDDEN, true),
    ("MDCR.TDE", Of::Mdcr, mdcr_el2::TDE, true),
    ("MDCR.TDA", Of::Mdcr, mdcr_el2::TDA, true),
    ("MDCR.TDRA", Of::Mdcr, mdcr_el2::TDRA, true),
    ("MDCR.TDOSA", Of::Mdcr, mdcr_el2::TDOSA, true),
    ("MDCR.TDCC", Of::Mdcr, mdcr_el2::TDCC, true),
    ("MDCR.TPM", Of::Mdcr, mdcr_el2::TPM, true),
    ("MDCR.TPMCR", Of::Mdcr, mdcr_el2::TPMCR, true),
    ("MDCR of hidden", Of::Mdcr, MDCR_OF_HIDDEN, true),
    ("CPTR.TCPAC", Of::Cptr, cpacr::TCPAC, true),
    ("CPTR of hidden", Of::Cptr, CPTR_OF_HIDDEN, true),
    FLOATING_POINT,
    VECTORS,
    PHYSICAL_COUNTER,
    PHYSICAL_TIMER,
    ("CNTHCTL of hidden", Of::Cnthctl, CNTHCTL_OF_HIDDEN, true),
    ("CNTHCTL.EL1TVT", Of::Cnthctl, cnthctl_el2::EL1TVT, true),
    ("CNTHCTL.EL1TVCT", Of::Cnthctl, cnthctl_el2::EL1TVCT, true),
    ("ICH_HCR.TC", Of::IchHcr, ich_hcr_el2::TC, true),
    ("ICH_HCR.TALL0", Of::IchHcr, ich_hcr_el2::TALL0, true),
    ("ICH_HCR.TALL1", Of::IchHcr, ich_hcr_el2::TALL1, true),
    ("ICH_HCR.TDIR", Of::IchHcr, ich_hcr_el2::TDIR, true),
];

/// Instructions that trap with a syndrome of their own.
const INSTRUCTIONS: [(&str, u32); 13] = [
    ("WFI", 0xd503_207f),
    ("WFE", 0xd503_205f),
    ("WFIT", 0xd503_1020),
    ("WFET", 0xd503_1000),
    ("SMC", 0xd400_0003),
    ("HVC", 0xd400_0022),
    ("SVC", 0xd400_0001),
    ("BRK", 0xd420_0000),
    ("UDF", 0),
    ("FMOV", 0x9e67_03e0),
    ("RDVL", 0x04bf_5020),
    ("PACIA", 0xdac1_0020),
    ("PACGA", 0x9ac0_3000),
];

/// `SCTLR_EL1.EnIA`
const EN_IA: u64 = 1 << 31;

/// Prints a line for each control, with all that it traps.
pub(crate) fn run(frames: &mut Frames) {
    probe::open();
    let mut guest = Below::guest(frames);
    // Without its key enabled an instruction that signs is none.
    guest.l2.sctlr |= EN_IA;
    for control in CONTROLS {
        apply(control, &mut guest);
        for (name, word) in INSTRUCTIONS {
            // It would sleep for ever.
            if name == "WFI" && control.0 != "HCR.TWI" {
                continue;
            }
            note(control, name, "x", guest.execute(word, 0).1);
        }
        for (row, name) in SysReg::rows().filter(|(row, _)| !row.is_hidden() && row.reg.op1() < 4) {
            let operand = if row.reg.is_instruction() { DATA_IPA } else { 0 };
            let (value, read) = match row.reg.is_instruction() {
                true => (operand, Outcome::UNDEFINED),
                false => guest.execute(read_of(row.reg), 0),
            };
            note(control, name, "r", read);
            let value = if read == Outcome::Done { value } else { operand };
            note(control, name, "w", guest.execute(write_of(row.reg), value).1);
        }
    }
    apply(OPEN, &mut guest);
    copies::run(&mut guest);
    counters(&El2Code::new(frames), &mut guest);
    implementation_defined(&mut guest);
    floating_point(&mut guest);
}

/// Counters from `MDCR_EL2.HPMN` on are not the guest's. QEMU 10.0 lets it have them.
fn counters(code: &El2Code, guest: &mut Below) {
    const APART: u64 = 1 << 3;
    let mdcr = MDCR_EL2.get();
    MDCR_EL2.set(2);
    code.execute(&[write_of(SysReg::PMCNTENSET_EL0)], APART | 1, 4);
    let (seen, _) = guest.execute(read_of(SysReg::PMCNTENSET_EL0), 0);
    guest.execute(write_of(SysReg::PMCNTENCLR_EL0), u64::MAX);
    let (left, _) = code.execute(&[read_of(SysReg::PMCNTENSET_EL0)], 0, 4);
    if seen != 1 || left != APART {
        println!("P WRONG a guest of two counters sees {seen:#x} and leaves {left:#x}");
    }
    code.execute(&[write_of(SysReg::PMCNTENCLR_EL0)], u64::MAX, 4);
    MDCR_EL2.set(mdcr);
}

/// Which modes of floating point there are (FEAT_AFP among them) says the register itself.
fn floating_point(guest: &mut Below) {
    CPACR_EL12.set(cpacr::FPEN);
    guest.execute(write_of(SysReg::FPCR), u64::MAX);
    let (modes, outcome) = guest.execute(read_of(SysReg::FPCR), 0);
    println!("P FPCR {modes:#x} {outcome}");
    guest.execute(write_of(SysReg::FPCR), 0);
    CPACR_EL12.set(0);
}

/// What is implementation defined is EL1's to trap, too (FEAT_TIDCP1).
fn implementation_defined(guest: &mut Below) {
    const ENCODINGS: [u32; 4] = [0xd538_f000, 0xd53b_f000, 0xd50b_f000, 0xd508_b000];
    let sctlr = guest.l2.sctlr;
    for tidcp in [0, sctlr::TIDCP] {
        guest.l2.sctlr = sctlr & !sctlr::TIDCP | tidcp;
        for word in ENCODINGS {
            let el1 = guest.execute(word, 0).1;
            let el0 = guest.execute_at(word, 0, PSTATE_EL0).1;
            println!("P IMPDEF {} {word:#x} {el1} {el0}", tidcp != 0);
        }
    }
    guest.l2.sctlr = sctlr;
}

/// Puts the control in force, and nothing else.
fn apply((_, of, bits, when_set): Control, guest: &mut Below) {
    let put = |open: u64| if when_set { open | bits } else { open & !bits };
    let [mut hcr, mut hcrx, mut mdcr, mut cptr, mut cnthctl, mut ich_hcr] =
        [HCR_OPEN | HCR_VM, 0, MDCR_EL2.get() & 0x1f, CPTR_OPEN, CNTHCTL_OPEN, 0];
    match of {
        Of::Hcr => hcr = put(hcr),
        Of::Hcrx => hcrx = put(hcrx),
        Of::Mdcr => mdcr = put(mdcr),
        Of::Cptr => cptr = put(cptr),
        Of::Cnthctl => cnthctl = put(cnthctl),
        Of::IchHcr => {
            ich_hcr = put(ich_hcr);
            // Only the virtual interface has these traps.
            hcr |= hcr_el2::IMO | hcr_el2::FMO;
        }
    }
    guest.l2.controls = hcr;
    HCRX_EL2.set(hcrx);
    MDCR_EL2.set(mdcr);
    CPTR_EL2.set(cptr);
    CNTHCTL_EL2.set(cnthctl);
    ICH_HCR_EL2.set(ich_hcr);
}

fn note((control, ..): Control, what: &str, access: &str, outcome: Outcome) {
    if matches!(outcome, Outcome::Trapped(_) | Outcome::Strange) {
        println!("P TRAP {control} {what} {access} {outcome}");
    }
}
