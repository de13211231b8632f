//! What registers hold: what is written is read, by each of their names, and what is EL2's and what is its guest's do not
//! change each other.

use bare::host::{CNTHCTL_OPEN, CPTR_OPEN, MAIR, NVHE};
use bare::println;
use syndrome::SysReg;

use crate::probe::{AtEl2, Below, read_of, write_of};

/// `CPTR_EL2`: `TZ`, or no `ZEN`.
const WITHOUT_SVE: u64 = if NVHE {
    CPTR_OPEN | 1 << 8
} else {
    CPTR_OPEN & !(3 << 16)
};

/// Registers of EL2, and values that do not matter to this program.
const OWN: [(SysReg, u64); 15] = [
    (SysReg::CONTEXTIDR_EL2, 0x1234_5678),
    (SysReg::TPIDR_EL2, 0x0123_4567_89ab_cdef),
    (SysReg::AFSR0_EL2, 0x11),
    (SysReg::AFSR1_EL2, 0x22),
    (SysReg::AMAIR_EL2, 0x33),
    (SysReg::MAIR_EL2, 0x44 << 16 | MAIR),
    (SysReg::VBAR_EL2, 0xffff_0000_1234_5800),
    (SysReg::ESR_EL2, 0x9612_3456),
    (SysReg::FAR_EL2, 0xffff_0000_0bad_0bad),
    (SysReg::HPFAR_EL2, 0x12_3450),
    (SysReg::ELR_EL2, 0x4321_0000),
    (SysReg::SPSR_EL2, 0x6000_03c9),
    (SysReg::CPTR_EL2, WITHOUT_SVE),
    // `TPM`, `HPMN`
    (SysReg::MDCR_EL2, 1 << 6 | 2),
    (SysReg::CNTHCTL_EL2, CNTHCTL_OPEN | 0xf << 4),
];

/// Those that are there with VHE, too.
const OF_A_HOST: [(SysReg, u64); 2] = [
    (SysReg::TTBR1_EL2, 0x0042_0000_1234_5000),
    (SysReg::CNTHV_CVAL_EL2, 0x0fed_cba9_8765_4321),
];

/// Registers of EL2, and the names of EL1 that are others for them with VHE.
const NAMES: [(SysReg, SysReg); 15] = [
    (SysReg::SCTLR_EL2, SysReg::SCTLR_EL1),
    (SysReg::CPTR_EL2, SysReg::CPACR_EL1),
    (SysReg::TTBR0_EL2, SysReg::TTBR0_EL1),
    (SysReg::TTBR1_EL2, SysReg::TTBR1_EL1),
    (SysReg::TCR_EL2, SysReg::TCR_EL1),
    (SysReg::MAIR_EL2, SysReg::MAIR_EL1),
    (SysReg::VBAR_EL2, SysReg::VBAR_EL1),
    (SysReg::CONTEXTIDR_EL2, SysReg::CONTEXTIDR_EL1),
    (SysReg::ESR_EL2, SysReg::ESR_EL1),
    (SysReg::FAR_EL2, SysReg::FAR_EL1),
    (SysReg::ELR_EL2, SysReg::ELR_EL1),
    (SysReg::SPSR_EL2, SysReg::SPSR_EL1),
    (SysReg::CNTHCTL_EL2, SysReg::CNTKCTL_EL1),
    (SysReg::CNTHP_CVAL_EL2, SysReg::CNTP_CVAL_EL0),
    (SysReg::CNTHV_CVAL_EL2, SysReg::CNTV_CVAL_EL0),
];

/// Registers of the guest: what EL2 calls them with VHE, what the guest does, and what each of the two writes there.
const OF_THE_GUEST: [(SysReg, SysReg, u64, u64); 15] = [
    (
        SysReg::TTBR0_EL12,
        SysReg::TTBR0_EL1,
        0x0001_0000_1111_1000,
        0x2222_2000,
    ),
    (
        SysReg::TTBR1_EL12,
        SysReg::TTBR1_EL1,
        0x3333_3000,
        0x0002_0000_4444_4000,
    ),
    (SysReg::TCR_EL12, SysReg::TCR_EL1, 0x2_8080_3519, 0x2_8090_3518),
    (SysReg::MAIR_EL12, SysReg::MAIR_EL1, 0x44ff, 0xff04),
    (SysReg::AMAIR_EL12, SysReg::AMAIR_EL1, 1, 2),
    (SysReg::CONTEXTIDR_EL12, SysReg::CONTEXTIDR_EL1, 0x51, 0x52),
    (SysReg::AFSR0_EL12, SysReg::AFSR0_EL1, 0x53, 0x54),
    (SysReg::AFSR1_EL12, SysReg::AFSR1_EL1, 0x55, 0x56),
    (SysReg::ESR_EL12, SysReg::ESR_EL1, 0x5600_0001, 0x5600_0002),
    (SysReg::FAR_EL12, SysReg::FAR_EL1, 0x61, 0x62),
    (SysReg::ELR_EL12, SysReg::ELR_EL1, 0x63_0000, 0x64_0000),
    (SysReg::SPSR_EL12, SysReg::SPSR_EL1, 0x6000_03c5, 0x8000_03c4),
    (SysReg::CPACR_EL12, SysReg::CPACR_EL1, 3 << 20, 3 << 20 | 3 << 16),
    (SysReg::CNTKCTL_EL12, SysReg::CNTKCTL_EL1, 0x301, 0x203),
    (SysReg::CNTV_CVAL_EL02, SysReg::CNTV_CVAL_EL0, 1 << 61, 1 << 62),
];

/// What there is one of, for EL2 and its guest: values of EL2's, and of the guest's.
const SHARED: [(SysReg, u64, u64); 3] = [
    (SysReg::TPIDR_EL1, 0x71, 0x72),
    (SysReg::TPIDR_EL0, 0x73, 0x74),
    (SysReg::PAR_EL1, 0x75 << 12, 0x76 << 12),
];

/// What says something of the machine, and is shown as it is.
const OF_THE_MACHINE: [SysReg; 8] = [
    SysReg::CTR_EL0,
    SysReg::DCZID_EL0,
    SysReg::CLIDR_EL1,
    SysReg::REVIDR_EL1,
    SysReg::AIDR_EL1,
    SysReg::CNTFRQ_EL0,
    SysReg::ICC_SRE_EL2,
    SysReg::ICH_VTR_EL2,
];

/// `MOV SP, x0` and `MOV x0, SP`
const WRITE_SP: u32 = 0x9100_001f;
const READ_SP: u32 = 0x9100_03e0;

pub(crate) fn run(el2: &AtEl2, el1: &mut Below, guest: &mut Below) {
    for (reg, value) in own() {
        let was = read(el2, reg);
        let (now, taken) = el2.0.execute(&[write_of(reg), read_of(reg)], value, 4);
        println!("P VALUE {reg} {value:#x}: {now:#x} {}", taken.is_some());
        write(el2, reg, was);
    }
    if !NVHE {
        names(el2);
    }
    features(el2, el1, guest);
    apart(el2, guest);
}

/// What there is of [`OWN`] and [`OF_A_HOST`].
fn own() -> impl Iterator<Item = (SysReg, u64)> {
    let of_a_host = if NVHE { 0 } else { OF_A_HOST.len() };
    OWN.into_iter().chain(OF_A_HOST).take(OWN.len() + of_a_host)
}

/// What one name is given, the other has.
fn names(el2: &AtEl2) {
    for (reg, other) in NAMES {
        let was = read(el2, reg);
        println!("P VALUE {other} is {reg}: {}", read(el2, other) == was);
        let Some((_, value)) = own().find(|(of, _)| *of == reg) else {
            continue;
        };
        for (from, to) in [(reg, other), (other, reg)] {
            write(el2, reg, was);
            let (now, _) = el2.0.execute(&[write_of(from), read_of(to)], value, 4);
            println!("P VALUE {from} to {to}: {now:#x}");
        }
        write(el2, reg, was);
    }
}

/// The features are the same at each level.
fn features(el2: &AtEl2, el1: &mut Below, guest: &mut Below) {
    for reg in (0..=u16::MAX).map(SysReg::from_bits).filter(|reg| reg.is_id_group3()) {
        let seen = [
            read(el2, reg),
            el1.execute(read_of(reg), 0).0,
            guest.execute(read_of(reg), 0).0,
        ];
        if seen != [seen[0]; 3] {
            println!("P WRONG {reg} is {seen:x?} at EL2, at EL1 and in a guest");
        }
    }
    for reg in OF_THE_MACHINE {
        println!("P VALUE {reg} {:#x}", read(el2, reg));
    }
}

/// EL2 writes its own and its guest's, the guest reads and writes its own, and EL2 reads both.
fn apart(el2: &AtEl2, guest: &mut Below) {
    let mut was = [0; OWN.len() + OF_A_HOST.len()];
    for (was, (reg, value)) in was.iter_mut().zip(own()).filter(|(_, (reg, _))| stays(*reg)) {
        *was = read(el2, reg);
        write(el2, reg, value);
    }
    for (alias, name, value, _) in OF_THE_GUEST {
        write(el2, if NVHE { name } else { alias }, value);
    }
    for (reg, value, _) in SHARED {
        write(el2, reg, value);
    }
    write(el2, SysReg::SP_EL1, 0x4567_0000);
    let others = OF_THE_GUEST.map(|(_, name, _, value)| (name, value));
    for (reg, value) in others.into_iter().chain(SHARED.map(|(reg, _, value)| (reg, value))) {
        println!("P VALUE guest {reg} {:#x}", guest.execute(read_of(reg), 0).0);
        guest.execute(write_of(reg), value);
    }
    println!("P VALUE guest SP {:#x}", guest.execute(READ_SP, 0).0);
    guest.execute(WRITE_SP, 0x7654_0000);
    let aliases = OF_THE_GUEST.map(|(alias, name, ..)| if NVHE { name } else { alias });
    let shared = SHARED.map(|(reg, ..)| reg);
    for reg in aliases.into_iter().chain(shared).chain([SysReg::SP_EL1]) {
        println!("P VALUE {reg} left {:#x}", read(el2, reg));
    }
    for ((reg, _), was) in own().zip(was).filter(|((reg, _), _)| stays(*reg)) {
        println!("P VALUE {reg} left {:#x}", read(el2, reg));
        write(el2, reg, was);
    }
}

/// Whether neither an exit nor this program writes it meanwhile.
fn stays(reg: SysReg) -> bool {
    !matches!(
        reg,
        SysReg::ESR_EL2
            | SysReg::FAR_EL2
            | SysReg::HPFAR_EL2
            | SysReg::ELR_EL2
            | SysReg::SPSR_EL2
            | SysReg::TPIDR_EL2
            | SysReg::VBAR_EL2
    )
}

fn read(el2: &AtEl2, reg: SysReg) -> u64 {
    el2.execute(read_of(reg), 0).0
}

fn write(el2: &AtEl2, reg: SysReg, value: u64) {
    el2.execute(write_of(reg), value);
}
