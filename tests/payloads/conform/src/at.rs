//! What each AT instruction finds, in the guest's regime and in EL2's own.

use bare::host::NVHE;
use bare::l2::L2;
use bare::memory::{self, Frames};
use bare::println;
use bare::stage2::{Format, Perms, Stage2, TableMemory, VTCR_DS};
use bare::sysreg::{HCR_EL2, MAIR_EL12, PAR_EL1, SCTLR_EL12, TCR_EL12, TTBR0_EL12, VTCR_EL2, VTTBR_EL2};
use syndrome::SysReg;

use crate::probe::{CODE_IPA, HCR_OPEN, HCR_VM, write_of};
use crate::vectors::El2Code;

const KINDS: [SysReg; 12] = [
    SysReg::AT_S1E1R,
    SysReg::AT_S1E1W,
    SysReg::AT_S1E0R,
    SysReg::AT_S1E0W,
    SysReg::AT_S1E1RP,
    SysReg::AT_S1E1WP,
    SysReg::AT_S12E1R,
    SysReg::AT_S12E1W,
    SysReg::AT_S12E0R,
    SysReg::AT_S12E0W,
    SysReg::AT_S1E2R,
    SysReg::AT_S1E2W,
];

/// Where the guest has its tables, by their order.
const TABLES_IPA: u64 = 0x9000_0000;
/// Where it has those of two levels more.
const TOP_IPA: u64 = TABLES_IPA + 0x6000;
const UPPER_IPA: u64 = TABLES_IPA + 0x7000;
/// Pages that stage 2 maps for reading and writing, for reading, and not at all.
const RW_IPA: u64 = 0x8020_0000;
const RO_IPA: u64 = 0x8020_1000;
const NO_IPA: u64 = 0x8020_2000;

const HCR_DC: u64 = 1 << 12;
const HCR_TGE: u64 = 1 << 27;
const HCR_FWB: u64 = 1 << 46;

const SCTLR_OFF: u64 = 0x30d0_0800;
const SCTLR_ON: u64 = SCTLR_OFF | 1 << 12 | 1 << 2 | 1;
/// 39 bits, 4 KiB, write-back inner shareable walks, 40-bit output; nothing above.
const TCR: u64 = 2 << 32 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 25;
/// Normal write-back, Device-nGnRE, Normal non-cacheable, and Normal write-through.
const MAIR: u64 = 0xbb << 24 | 0x44 << 16 | 0x04 << 8 | 0xff;

const AF: u64 = 1 << 10;
const SHARED: u64 = 3 << 8;
const EL0: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const DEVICE: u64 = 1 << 2;
const NON_CACHEABLE: u64 = 2 << 2;
const WRITE_THROUGH: u64 = 3 << 2;
const PAGE: u64 = 3;

/// Pages of the guest's stage 1, from address 0 on.
const PAGES: [u64; 14] = [
    RW_IPA | AF | SHARED | PAGE,
    RW_IPA | AF | SHARED | EL0 | PAGE,
    RW_IPA | AF | SHARED | READ_ONLY | PAGE,
    RW_IPA | AF | DEVICE | PAGE,
    RW_IPA | SHARED | PAGE,
    RO_IPA | AF | SHARED | EL0 | PAGE,
    NO_IPA | AF | SHARED | EL0 | PAGE,
    0,
    1 << 44 | AF | SHARED | PAGE,
    RW_IPA | AF | SHARED | 1,
    RW_IPA | AF | SHARED | CONTIGUOUS | PAGE,
    RW_IPA | AF | NON_CACHEABLE | PAGE,
    RW_IPA | AF | WRITE_THROUGH | PAGE,
    RW_IPA | AF | 2 << 8 | PAGE,
];

const CONTIGUOUS: u64 = 1 << 52;
/// Where the second-level table has the same pages again: by a table that stage 2 lets nobody write, by one in a hole, and
/// with `APTable` for reading only. Behind them a block with the contiguous hint.
const RO_TABLE_VA: u64 = 2 << 21;
const HOLE_TABLE_VA: u64 = 3 << 21;
const AP_TABLE_VA: u64 = 4 << 21;
const BLOCK_VA: u64 = 5 << 21;
/// Where stage 1 has each of its memory types for each one of stage 2, whose pages are these.
const TYPES_VA: u64 = 6 << 21;
const TYPES_IPA: u64 = 0x8021_0000;
/// `MemAttr` of stage 2, without and with `HCR_EL2.FWB`. gnomon's shadows have that set, where there is no write-through, and
/// are inner shareable at the least. Of devices only those that QEMU 10.0 combines as it should: not `nGRE` and `GRE`.
const TYPES: [u64; 4] = [0b1111, 0b0101, 0b0000, 0b0001];
const TYPES_FWB: [u64; 5] = [0b0110, 0b0101, 0b0111, 0b0000, 0b0001];
/// No RAM and no device.
const HOLE: u64 = 0x2_0000_0000;

const TCR_EPD0: u64 = 1 << 7;
const TCR_TBI0: u64 = 1 << 37;
const TCR_HA: u64 = 1 << 39;
const TCR_HPD0: u64 = 1 << 41;
const TCR_DS: u64 = 1 << 59;
/// `IPS`, of which 40 bits are there already.
const IPS_52_BITS: u64 = 4 << 32;
const T0SZ: u64 = 0x3f;
const TCR_E0PD0: u64 = 1 << 55;
const SCTLR_EE: u64 = 1 << 25;
const SCTLR_WXN: u64 = 1 << 19;

/// QEMU 10.0 ends with a failed assertion on `AT S12E*W` of what stage 2 lets nobody write.
fn aborts_qemu(kind: SysReg, va: u64) -> bool {
    const RO_PAGE: u64 = 0x5000;
    let is_both = matches!(kind, SysReg::AT_S12E1W | SysReg::AT_S12E0W);
    is_both && (va & 0x1f_f000 == RO_PAGE || va == RO_IPA)
}

/// Four tables, of which the last is read-only for the guest, and another that stage 2 does not have.
fn make_tables(stage2: &Stage2, frames: &mut Frames) -> [u64; 3] {
    for (ipa, perms) in [(RW_IPA, Perms::RW), (RO_IPA, Perms::RO)] {
        let page = frames.page();
        stage2.map(ipa, page, 3, perms, frames);
    }
    let tables = [0, 1, 2].map(|index| {
        let table = frames.page();
        stage2.map(TABLES_IPA + index * 0x1000, table, 3, Perms::RW, frames);
        table
    });
    stage2.map(TABLES_IPA + 0x4000, tables[2], 3, Perms::RO, frames);
    stage2.map(TABLES_IPA + 0x5000, HOLE, 3, Perms::RW, frames);
    memory::write(tables[0], (TABLES_IPA + 0x1000) | 3);
    let second = [
        (TABLES_IPA + 0x2000) | 3,
        (TABLES_IPA + 0x3000) | 3,
        (TABLES_IPA + 0x4000) | 3,
        (TABLES_IPA + 0x5000) | 3,
        (TABLES_IPA + 0x2000) | 2 << 61 | 3,
        RW_IPA | AF | SHARED | CONTIGUOUS | 1,
        (TABLES_IPA + 0x6000) | 3,
    ];
    for (at, desc) in (tables[1]..).step_by(8).zip(second) {
        memory::write(at, desc);
    }
    write_pages(&tables, 0, frames);
    tables
}

/// Two levels more, for addresses of 52 bits.
fn make_upper_tables(stage2: &Stage2, frames: &mut Frames) {
    for (ipa, next) in [(TOP_IPA, UPPER_IPA), (UPPER_IPA, TABLES_IPA)] {
        let table = frames.page();
        stage2.map(ipa, table, 3, Perms::RW, frames);
        memory::write(table, next | 3);
    }
}

/// As they were at first, but for the bits `without`: the Access flag may have been set.
fn write_pages(tables: &[u64; 3], without: u64, frames: &mut Frames) {
    for (at, page) in (tables[2]..).step_by(8).zip(PAGES) {
        frames.write(at, page & !without);
    }
}

const PAN_ON: u32 = 0xd500_419f;
const PAN_OFF: u32 = 0xd500_409f;

/// Its name, `SCTLR_EL1`, `TCR_EL1`, more of `HCR_EL2`, and the instruction that sets `PSTATE.PAN`.
type State = (&'static str, u64, u64, u64, u32);

/// With addresses of 52 bits at both stages: descriptors whose shareability would be bits of an address, and without.
pub(crate) fn run_large(frames: &mut Frames) {
    let states = [
        ("ds", SCTLR_ON, TCR | IPS_52_BITS | TCR_DS, HCR_VM, PAN_OFF),
        ("ds-far", SCTLR_ON, TCR | IPS_52_BITS | TCR_DS, HCR_VM, PAN_OFF),
        (
            "ds-52",
            SCTLR_ON,
            TCR & !T0SZ | 12 | IPS_52_BITS | TCR_DS,
            HCR_VM,
            PAN_OFF,
        ),
    ];
    run_states(&states, VTCR_DS, frames);
}

pub(crate) fn run(frames: &mut Frames) {
    let states = [
        ("on", SCTLR_ON, TCR, HCR_VM, PAN_OFF),
        ("off", SCTLR_OFF, TCR, HCR_VM, PAN_OFF),
        ("no-stage2", SCTLR_OFF, TCR, 0, PAN_OFF),
        ("cached-off", SCTLR_OFF, TCR, HCR_VM | HCR_DC, PAN_OFF),
        ("cached-alone", SCTLR_OFF, TCR, HCR_DC, PAN_OFF),
        ("host", SCTLR_ON, TCR, HCR_TGE, PAN_OFF),
        ("pan", SCTLR_ON, TCR, HCR_VM, PAN_ON),
        ("host-pan", SCTLR_ON, TCR, HCR_TGE, PAN_ON),
        ("wxn", SCTLR_ON | SCTLR_WXN, TCR, HCR_VM, PAN_OFF),
        ("big-endian", SCTLR_ON | SCTLR_EE, TCR, HCR_VM, PAN_OFF),
        ("epd", SCTLR_ON, TCR | TCR_EPD0, HCR_VM, PAN_OFF),
        ("e0pd", SCTLR_ON, TCR | TCR_E0PD0, HCR_VM, PAN_OFF),
        ("hpd", SCTLR_ON, TCR | TCR_HPD0, HCR_VM, PAN_OFF),
        ("tbi", SCTLR_ON, TCR | TCR_TBI0, HCR_VM, PAN_OFF),
        ("ha", SCTLR_ON, TCR | TCR_HA, HCR_VM, PAN_OFF),
    ];
    run_states(&states, 0, frames);
}

/// Tries all in each of the `states`, with `more` bits of `VTCR_EL2`.
fn run_states(states: &[State], more: u64, frames: &mut Frames) {
    let code = El2Code::new(frames);
    let stage2 = Stage2::new(Format::USUAL, 9, frames);
    let stage2 = stage2.with_vtcr(stage2.vtcr() | more);
    let tables = make_tables(&stage2, frames);
    make_upper_tables(&stage2, frames);
    let mut l2 = L2::new(stage2, CODE_IPA, frames);
    l2.run(bare::l2::Program::Idle, &[]);

    VTCR_EL2.set(stage2.vtcr());
    VTTBR_EL2.set(stage2.vttbr());
    MAIR_EL12.set(MAIR);
    let host = HCR_EL2.get();
    // Without VHE there is no host.
    for (name, sctlr, tcr, hcr, pan) in states.iter().filter(|state| !NVHE || state.3 != HCR_TGE).copied() {
        let without = if name == "ds-far" || tcr & TCR_DS == 0 {
            0
        } else {
            SHARED
        };
        write_pages(&tables, without, frames);
        TTBR0_EL12.set(if tcr & T0SZ == 12 { TOP_IPA } else { TABLES_IPA });
        SCTLR_EL12.set(sctlr);
        TCR_EL12.set(tcr);
        HCR_EL2.set(host | HCR_OPEN | hcr);
        bare::tlbi::alle1is();
        let pages = (0..PAGES.len() as u64).map(|page| page * 0x1000 + 0x10);
        let again = [RO_TABLE_VA, HOLE_TABLE_VA, AP_TABLE_VA].into_iter();
        let again = again.flat_map(|at| [0, 0x1000, 0x2000, 0x4000, 0x5000].map(|page| at + page + 0x10));
        let others = [
            1 << 21,
            1 << 30,
            1 << 40,
            1 << 51,
            RW_IPA,
            RO_IPA,
            NO_IPA,
            0x4820_0000,
            BLOCK_VA + 0x10,
            0x5a << 56 | 0x10,
        ];
        for va in pages.chain(again).chain(others) {
            for kind in KINDS.into_iter().filter(|kind| !aborts_qemu(*kind, va)) {
                let (_, taken) = code.execute(&[pan, write_of(kind), PAN_OFF], va, 4);
                let esr = taken.map_or(0, |taken| taken.esr);
                println!("P AT {name} {kind} {va:#x} par {:#x} esr {esr:#x}", PAR_EL1.get());
            }
        }
        println!("P AT {name} left {:#x}", memory::read(tables[2] + 8 * 4));
    }
    for (name, hcr, types) in [("", 0, &TYPES[..]), ("-fwb", HCR_FWB, &TYPES_FWB)] {
        memory_types(&stage2, types, frames);
        SCTLR_EL12.set(SCTLR_ON);
        TCR_EL12.set(TCR);
        HCR_EL2.set(host | HCR_OPEN | HCR_VM | hcr);
        bare::tlbi::alle1is();
        for page in 0..4 * types.len() as u64 {
            let va = TYPES_VA + page * 0x1000;
            code.execute(&[write_of(SysReg::AT_S12E1R)], va, 4);
            let par = PAR_EL1.get();
            println!("P AT types{name} {va:#x} failed {} attr {:#x}", par & 1, par >> 56);
        }
    }
    HCR_EL2.set(host);
}

/// Each of these types of stage 2, for each type of stage 1, in pages in a row.
fn memory_types(stage2: &Stage2, types: &[u64], frames: &mut Frames) {
    const TYPE: u64 = 0xf << 2;
    let table = frames.page();
    stage2.map(TABLES_IPA + 0x6000, table, 3, Perms::RW, frames);
    let mut at = table;
    for (of_stage2, ipa) in types.iter().zip((TYPES_IPA..).step_by(0x1000)) {
        stage2.map(ipa, table, 3, Perms::RW, frames);
        let leaf = stage2.entry(ipa, 3, frames);
        memory::write(leaf, memory::read(leaf) & !TYPE | of_stage2 << 2);
        for of_stage1 in [0, DEVICE, NON_CACHEABLE, WRITE_THROUGH] {
            frames.write(at, ipa | AF | of_stage1 | PAGE);
            at += 8;
        }
    }
}
