//! Guest tables that lead anywhere, and a guest that goes there.

use bare::memory::{self, FRAMES};
use bare::stage2::{Format, Stage2, desc};

use crate::code::{ACCESSES, Code};
use crate::cpu::{CODE_IPA, Cpu, DATA_IPA};
use crate::places::is_scratch;

/// An IPA that no table has in the beginning.
const FAR_IPA: u64 = 0x40_0000_0000;

pub(crate) fn step(cpu: &mut Cpu) {
    let format = if cpu.rng.one_in(2) {
        Format::USUAL
    } else {
        any_format(cpu)
    };
    if format.ipa_bits < 33 {
        return;
    }
    let (stage2, mut world) = cpu.guest(format);
    for _ in 0..cpu.rng.below(6) {
        spoil(cpu, &stage2, format);
    }
    match cpu.rng.below(8) {
        0 => world.vtcr = cpu.rng.value(),
        1 => world.vtcr ^= 1 << cpu.rng.below(40),
        2 => world.vttbr = cpu.rng.value(),
        3 => world.vttbr ^= 1 << cpu.rng.below(64),
        4 => world.vttbr = cpu.rng.address(),
        5 => world.hcr = cpu.hcr(),
        _ => {}
    }
    for _ in 0..1 + cpu.rng.below(3) {
        let mut code = Code::new();
        code.push(cpu.rng.choose(&ACCESSES));
        code.put(cpu.code);
        cpu.home.x[1] = ipa(cpu);
        world.pc = if cpu.rng.one_in(8) { cpu.home.x[1] } else { CODE_IPA };
        cpu.enter(&world);
        bare::sysreg::HCR_EL2.set(world.hcr);
    }
}

/// Where the guest reaches: its low bits are those of a place that may be written, whatever block leads there.
fn ipa(cpu: &mut Cpu) -> u64 {
    const IN_BLOCK: u64 = (1 << 30) - 1;
    match cpu.rng.below(4) {
        0 => DATA_IPA + cpu.rng.below(0x2000),
        1 => CODE_IPA & !IN_BLOCK | cpu.rng.address() & IN_BLOCK,
        2 => FAR_IPA | cpu.rng.address() & IN_BLOCK,
        _ => cpu.rng.address(),
    }
}

fn any_format(cpu: &mut Cpu) -> Format {
    Format {
        ipa_bits: 33 + cpu.rng.below(16) as u32,
        start_level: cpu.rng.below(3) as u32,
    }
}

/// Puts something into an entry on the way to where the guest will reach.
fn spoil(cpu: &mut Cpu, stage2: &Stage2, format: Format) {
    let ipa = ipa(cpu);
    let depth = cpu.rng.below(u64::from(4 - format.start_level)) as u32;
    let at = entry(cpu, stage2, format, ipa, format.start_level + depth);
    let desc = descriptor(cpu, stage2);
    memory::write(at, desc);
}

/// The entry of `level` for `ipa`, or of a level above it if this program's own tables end there.
fn entry(cpu: &mut Cpu, stage2: &Stage2, format: Format, ipa: u64, level: u32) -> u64 {
    let index = |level: u32, entries: u64| ipa >> (39 - 9 * level) & (entries - 1);
    let mut at = stage2.root() + index(format.start_level, 512 * format.root_pages()) * 8;
    for below in format.start_level + 1..=level {
        if memory::read(at) & 1 == 0 {
            memory::write(at, cpu.frames.page() | desc::TABLE);
        }
        let table = memory::read(at) & 0xffff_ffff_f000;
        if memory::read(at) & 3 != desc::TABLE || !cpu.frames.has(table) {
            break;
        }
        at = table + index(below, 512) * 8;
    }
    at
}

/// Table, block, page or nothing, leading anywhere, with any attributes, in either endianness.
fn descriptor(cpu: &mut Cpu, stage2: &Stage2) -> u64 {
    const BLOCK: u64 = 1;
    let kind = cpu.rng.below(4);
    let address = match cpu.rng.below(4) {
        0 => stage2.root(),
        1 => cpu.frames.page(),
        _ => cpu.rng.address() & !0xfff,
    };
    let address = if kind == BLOCK { address & !0x1f_ffff } else { address };
    if kind == BLOCK && leads_here(address) {
        return 0;
    }
    let upper = cpu.rng.draw() & cpu.rng.draw() & 0xfff0_0000_0000_0000;
    let lower = if cpu.rng.one_in(2) {
        0x7fc
    } else {
        cpu.rng.draw() & 0xffc
    };
    let desc = upper | address & 0xf_ffff_ffff_f000 | lower | kind;
    if cpu.rng.one_in(16) { desc.swap_bytes() } else { desc }
}

/// Whether a block at `address` has this program, its code or its tables.
pub(crate) fn leads_here(address: u64) -> bool {
    const IMAGE: u64 = 0x4800_0000 >> 24;
    address >> 24 == IMAGE || FRAMES.contains(&address) && !is_scratch(address)
}
