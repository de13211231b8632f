//! What each AT instruction finds, in the guest's regime and in EL2's own.

use bare::host::NVHE;
use bare::l2::L2;
use bare::memory::{self, Frames};
use bare::println;
use bare::stage2::{Format, Perms, Stage2, TableMemory};
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
/// Pages that stage 2 maps for reading and writing, for reading, and not at all.
const RW_IPA: u64 = 0x8020_0000;
const RO_IPA: u64 = 0x8020_1000;
const NO_IPA: u64 = 0x8020_2000;

const SCTLR_OFF: u64 = 0x30d0_0800;
const SCTLR_ON: u64 = SCTLR_OFF | 1 << 12 | 1 << 2 | 1;
/// 39 bits, 4 KiB, write-back inner shareable walks, 40-bit output; nothing above.
const TCR: u64 = 2 << 32 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 25;
/// Normal write-back, and Device-nGnRE.
const MAIR: u64 = 0x04 << 8 | 0xff;

const AF: u64 = 1 << 10;
const SHARED: u64 = 3 << 8;
const EL0: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const DEVICE: u64 = 1 << 2;
const PAGE: u64 = 3;

/// Pages of the guest's stage 1, from address 0 on.
const PAGES: [u64; 10] = [
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
];

/// QEMU 10.0 ends with a failed assertion on `AT S12E*W` of what stage 2 lets nobody write.
fn aborts_qemu(kind: SysReg, va: u64) -> bool {
    const RO_PAGE: u64 = 0x5000;
    let is_both = matches!(kind, SysReg::AT_S12E1W | SysReg::AT_S12E0W);
    is_both && (va & !0xfff == RO_PAGE || va == RO_IPA)
}

pub(crate) fn run(frames: &mut Frames) {
    let code = El2Code::new(frames);
    let stage2 = Stage2::new(Format::USUAL, 9, frames);
    for (ipa, perms) in [(RW_IPA, Perms::RW), (RO_IPA, Perms::RO)] {
        let page = frames.page();
        stage2.map(ipa, page, 3, perms, frames);
    }
    // Three tables, and a fourth that stage 2 does not have.
    let tables = [0, 1, 2].map(|index| {
        let table = frames.page();
        stage2.map(TABLES_IPA + index * 0x1000, table, 3, Perms::RW, frames);
        table
    });
    memory::write(tables[0], (TABLES_IPA + 0x1000) | 3);
    memory::write(tables[1], (TABLES_IPA + 0x2000) | 3);
    memory::write(tables[1] + 8, (TABLES_IPA + 0x3000) | 3);
    for (at, page) in (tables[2]..).step_by(8).zip(PAGES) {
        frames.write(at, page);
    }
    let mut l2 = L2::new(stage2, CODE_IPA, frames);
    l2.run(bare::l2::Program::Idle, &[]);

    VTCR_EL2.set(stage2.vtcr());
    VTTBR_EL2.set(stage2.vttbr());
    TTBR0_EL12.set(TABLES_IPA);
    TCR_EL12.set(TCR);
    MAIR_EL12.set(MAIR);
    let host = HCR_EL2.get();
    let states = [
        ("on", SCTLR_ON, HCR_VM),
        ("off", SCTLR_OFF, HCR_VM),
        ("no-stage2", SCTLR_OFF, 0),
        ("host", SCTLR_ON, 1 << 27),
    ];
    // Without VHE there is no host.
    let count = if NVHE { 3 } else { 4 };
    for (name, sctlr, hcr) in states.into_iter().take(count) {
        SCTLR_EL12.set(sctlr);
        HCR_EL2.set(host | HCR_OPEN | hcr);
        bare::tlbi::alle1is();
        let pages = (0..PAGES.len() as u64).map(|page| page * 0x1000 + 0x10);
        for va in pages.chain([1 << 21, 1 << 30, 1 << 40, RW_IPA, RO_IPA, NO_IPA, 0x4820_0000]) {
            for kind in KINDS.into_iter().filter(|kind| !aborts_qemu(*kind, va)) {
                let (_, taken) = code.execute(&[write_of(kind)], va, 4);
                let esr = taken.map_or(0, |taken| taken.esr);
                println!("P AT {name} {kind} {va:#x} par {:#x} esr {esr:#x}", PAR_EL1.get());
            }
        }
    }
    HCR_EL2.set(host);
}
