//! ERET to anywhere in any state.

use bare::l2::{Program, programs};
use bare::stage2::Format;
use syndrome::SysReg;

use crate::code::{Code, ERET, ISB, msr};
use crate::cpu::{CODE_IPA, Cpu, Place, VECTORS_IPA, World};
use crate::places;

pub(crate) fn step(cpu: &mut Cpu) {
    if cpu.rng.one_in(3) {
        return from_below(cpu);
    }
    let (_, mut world) = cpu.guest(Format::USUAL);
    Code::new().put(cpu.code);
    world.hcr = cpu.hcr();
    if cpu.rng.one_in(3) {
        world = World {
            hcr: world.hcr & !1,
            ..cpu.el1()
        };
    }
    world.pstate = pstate(cpu);
    world.pc = pc(cpu);
    cpu.enter(&world);
}

/// EL1 or an L2 returns; if it has an EL2 of its own, that is a return of that.
fn from_below(cpu: &mut Cpu) {
    let place = if cpu.rng.one_in(2) { Place::El1 } else { Place::L2 };
    let names = match cpu.rng.below(2) {
        0 => [SysReg::ELR_EL1, SysReg::SPSR_EL1],
        _ => [SysReg::ELR_EL2, SysReg::SPSR_EL2],
    };
    cpu.home.x[0] = pc(cpu);
    cpu.home.x[1] = pstate(cpu);
    let mut code = Code::new();
    code.push(msr(names[0].bits(), 0));
    code.push(msr(names[1].bits(), 1));
    code.push(ISB);
    code.push(ERET);
    cpu.execute(place, &code);
}

/// Any mode of either state, and what goes with it.
fn pstate(cpu: &mut Cpu) -> u64 {
    match cpu.rng.below(4) {
        0 => cpu.rng.value(),
        1 => cpu.rng.draw() & 0xf,
        2 => 0x3c0 | cpu.rng.draw() & 0xf | 1 << cpu.rng.below(64),
        _ => cpu.rng.choose(&[0x3c4, 0x3c5, 0x3c8, 0x3c9, 0x3c0]) ^ (cpu.rng.draw() & cpu.rng.draw() & 0xfff0_ffc0),
    }
}

/// Code that comes back, or something that is none: but no other memory of L1's, which is not to be executed where this
/// program could be written.
fn pc(cpu: &mut Cpu) -> u64 {
    let at = match cpu.rng.below(6) {
        0 => cpu.code,
        1 => CODE_IPA,
        2 => Program::Idle.address(),
        3 => VECTORS_IPA + (Program::Idle.address() - programs()),
        4 => cpu.rng.value(),
        _ => cpu.rng.address(),
    };
    let at = if cpu.rng.one_in(8) {
        at ^ 1 << cpu.rng.below(64)
    } else {
        at
    };
    let is_code = [cpu.code, programs()].contains(&(at & !0xfff));
    if places::is_ram_of_l1(at) && !is_code {
        cpu.code
    } else {
        at
    }
}
