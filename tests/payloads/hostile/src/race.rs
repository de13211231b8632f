//! Guest tables that all CPUs share: some change them, while others have gnomon walk them.

use bare::l2::{Program, programs};
use bare::memory;
use bare::stage2::{Format, Perms, Stage2, desc};
use bare::tlbi;

use crate::cpu::{CODE_IPA, Cpu, DATA_IPA, World};
use crate::places::is_scratch;
use crate::tables::leads_here;

/// Sixteen tables in a row, in frames that no CPU has: two of the root, of level 1, and what these lead to.
const TABLES: u64 = 0x4c00_0000;
const COUNT: u64 = 16;
const PAGE_BYTES: u64 = 0x1000;

pub(crate) fn step(cpu: &mut Cpu) {
    keep_code_mapped();
    if cpu.rng.one_in(2) { change(cpu) } else { walk(cpu) }
}

/// What leads to the guest's code, without which it does nothing.
fn keep_code_mapped() {
    let leaf = desc::leaf(programs(), 3, Perms::RX);
    for (at, desc) in [
        (TABLES + (CODE_IPA >> 30) * 8, (TABLES + 2 * PAGE_BYTES) | desc::TABLE),
        (TABLES + 2 * PAGE_BYTES, (TABLES + 3 * PAGE_BYTES) | desc::TABLE),
        (TABLES + 3 * PAGE_BYTES, leaf),
    ] {
        memory::write(at, desc);
    }
}

/// Puts anything anywhere, with and without invalidating it. Mostly where the guest goes.
fn change(cpu: &mut Cpu) {
    for _ in 0..200 {
        let table = TABLES + cpu.rng.below(COUNT) * PAGE_BYTES;
        let index = if cpu.rng.one_in(2) {
            cpu.rng.below(8)
        } else {
            cpu.rng.below(512)
        };
        let desc = descriptor(cpu);
        memory::write(table + index * 8, desc);
        match cpu.rng.below(64) {
            0 => tlbi::alle1is(),
            1 => tlbi::vmalls12e1is(),
            2 | 3 => tlbi::ipas2e1is(DATA_IPA + cpu.rng.below(512) * PAGE_BYTES),
            _ => {}
        }
    }
}

fn descriptor(cpu: &mut Cpu) -> u64 {
    const ANY: u64 = 0x7fc;
    match cpu.rng.below(4) {
        0 => 0,
        1 | 2 => (TABLES + cpu.rng.below(COUNT) * PAGE_BYTES) | desc::TABLE,
        _ => {
            let address = cpu.rng.address() & !0xfff;
            let kind = 1 | cpu.rng.below(2) << 1;
            if leads_here(address) && !is_scratch(address) {
                0
            } else {
                address & 0xffff_ffff_f000 | ANY | kind
            }
        }
    }
}

/// A guest that reads page after page.
fn walk(cpu: &mut Cpu) {
    let stage2 = Stage2::at(TABLES, Format::USUAL, cpu.rng.below(2) as u16);
    let (_, world) = cpu.guest(Format::USUAL);
    let world = World {
        vttbr: stage2.vttbr(),
        vtcr: stage2.vtcr(),
        pc: CODE_IPA + (Program::Stride.address() - programs()),
        vbar: CODE_IPA + bare::l2::VECTORS_OFFSET,
        ..world
    };
    for _ in 0..8 {
        let from = CODE_IPA + cpu.rng.below(512 * 512) * PAGE_BYTES;
        cpu.home.x[0] = from;
        cpu.home.x[1] = from + 64 * PAGE_BYTES;
        cpu.home.x[2] = PAGE_BYTES;
        cpu.enter(&world);
    }
}
