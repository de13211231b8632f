//! Accesses whose own stage 1 has a table where nothing is.
//!
//! `HCR_EL2.TEA` is left out: QEMU 10.0 routes no abort by it.

use bare::host::{DEVICE_BLOCK, MEMORY_BLOCK};
use bare::l2::SCTLR_EL1_OFF;
use bare::memory::Frames;
use bare::println;
use bare::stage2::{Perms, TableMemory};
use bare::sysreg::{ESR_EL12, FAR_EL12, MAIR_EL12, PAR_EL1, TCR_EL12, TTBR0_EL2, TTBR0_EL12, TTBR1_EL12};
use bare::tlbi;
use syndrome::SysReg;

use crate::exceptions::{BRANCH, HOLE, LOAD, describe};
use crate::probe::{Below, CODE_IPA, HCR_OPEN, HCR_VM, PSTATE_EL0, write_of};
use crate::vectors::El2Code;

/// `STR x0, [x0]`
const STORE: u32 = 0xf900_0000;
/// `DC ZVA, x0` and `DC CIVAC, x0`
const ZERO: u32 = 0xd50b_7420;
const CLEAN: u32 = 0xd50b_7e20;

/// Where a guest sees its tables, and where nothing is.
const TABLES_IPA: u64 = 0x9000_0000;
const NOWHERE_IPA: u64 = 0xa000_0000;

const SCTLR_ON: u64 = SCTLR_EL1_OFF | 1 << 26 | 1 << 14 | 1 << 12 | 1 << 2 | 1;
/// 4 KiB, write-back inner shareable walks, 40-bit output: 39 bits from `TTBR0_EL1`, 48 bits from `TTBR1_EL1`.
const TCR: u64 = 2 << 32 | 2 << 30 | 0x3500 << 16 | 16 << 16 | 0x3500 | 25;
/// Everything is Normal, write-back.
const MAIR: u64 = 0xff;

const TABLE: u64 = 3;
/// A block that EL1 and EL0 read and execute.
const BLOCK: u64 = 3 << 6 | 3 << 8 | 1 << 10 | 1;

/// By a table of level 2, of level 3 and of level 0 that is nowhere.
const LEVEL2_VA: u64 = 100 << 30 | 0x123_4560;
const LEVEL3_VA: u64 = 101 << 30 | 0x4560;
const LEVEL0_VA: u64 = 0xffff_0000_0000_0780;

pub(crate) fn run(frames: &mut Frames) {
    at_el2(frames);
    let mut guest = Below::guest(frames);
    let tables = [frames.page(), frames.page()];
    guest.l2.stage2.map(NOWHERE_IPA, HOLE, 3, Perms::RWX, frames);
    for (ipa, table) in (TABLES_IPA..).step_by(0x1000).zip(tables) {
        guest.l2.stage2.map(ipa, table, 3, Perms::RW, frames);
    }
    fill(&tables, TABLES_IPA, NOWHERE_IPA, frames);
    guest.l2.controls = HCR_OPEN | HCR_VM;
    below("guest", &mut guest, TABLES_IPA, NOWHERE_IPA);
    let mut alone = Below::el1(frames);
    fill(&tables, tables[0], HOLE, frames);
    alone.l2.controls = HCR_OPEN;
    below("alone", &mut alone, tables[0], HOLE);
}

/// The first table maps all of memory to itself, and leads to `nowhere` and by the second table to `nowhere`.
fn fill(tables: &[u64; 2], at: u64, nowhere: u64, frames: &mut Frames) {
    frames.write(tables[0] + 8, (1 << 30) | BLOCK);
    frames.write(tables[0] + 8 * (CODE_IPA >> 30), CODE_IPA | BLOCK);
    frames.write(tables[0] + 8 * (LEVEL2_VA >> 30), nowhere | TABLE);
    frames.write(tables[0] + 8 * (LEVEL3_VA >> 30), (at + tables[1] - tables[0]) | TABLE);
    frames.write(tables[1], nowhere | TABLE);
}

/// From EL1 and EL0 of a guest.
fn below(who: &str, guest: &mut Below, table: u64, nowhere: u64) {
    const EL1H: u64 = 0x3c5;
    guest.l2.sctlr = SCTLR_ON;
    TCR_EL12.set(TCR);
    MAIR_EL12.set(MAIR);
    TTBR0_EL12.set(table);
    TTBR1_EL12.set(nowhere);
    tlbi::alle1is();
    let causes = [
        ("load", LOAD),
        ("store", STORE),
        ("fetch", BRANCH),
        ("zero", ZERO),
        ("clean", CLEAN),
        ("at-read", write_of(SysReg::AT_S1E1R)),
        ("at-write", write_of(SysReg::AT_S1E0W)),
    ];
    for va in [LEVEL2_VA, LEVEL3_VA, LEVEL0_VA] {
        for (name, word) in causes {
            for state in [EL1H, PSTATE_EL0] {
                ESR_EL12.set(0);
                FAR_EL12.set(0);
                let exit = guest.exit_of(&[word], va, state);
                println!("P WALK {who} {name} {va:#x} el1 far {:#x}", FAR_EL12.get());
                describe("WALK", &exit);
            }
        }
    }
    guest.l2.sctlr = SCTLR_EL1_OFF;
}

/// From EL2, by its own tables.
fn at_el2(frames: &mut Frames) {
    let code = El2Code::new(frames);
    let tables = [frames.page(), frames.page()];
    fill(&tables, tables[0], HOLE, frames);
    frames.write(tables[0], DEVICE_BLOCK);
    frames.write(tables[0] + 8, (1 << 30) | MEMORY_BLOCK);
    let own = TTBR0_EL2.get();
    TTBR0_EL2.set(tables[0]);
    tlbi::alle2is();
    let causes = [
        ("load", LOAD),
        ("store", STORE),
        ("zero", ZERO),
        ("clean", CLEAN),
        ("at-read", write_of(SysReg::AT_S1E2R)),
        ("at-write", write_of(SysReg::AT_S1E2W)),
    ];
    for va in [LEVEL2_VA, LEVEL3_VA] {
        for (name, word) in causes {
            PAR_EL1.set(0x123);
            let (_, taken) = code.execute(&[word], va, 4);
            let (vector, esr, far) = taken.map_or((0, 0, 0), |taken| (taken.vector, taken.esr, taken.far));
            println!(
                "P WALK el2 {name} vector {vector} esr {esr:#x} far {far:#x} par {:#x}",
                PAR_EL1.get()
            );
        }
    }
    TTBR0_EL2.set(own);
    tlbi::alle2is();
}
