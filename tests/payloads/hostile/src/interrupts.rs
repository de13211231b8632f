//! Interrupts without number and without sense: SGIs to everybody, timers in the past, list registers of any content.

use bare::stage2::Format;
use syndrome::SysReg;

use crate::code::{Code, ERET, ISB, WFI, mrs, msr};
use crate::cpu::{Cpu, HCR_FMO, PSTATE_EL2H_MASKED, Place};
use crate::registers::is_of_the_timer;
use crate::rescue;

/// `MSR DAIFClr, #3`
const UNMASK: u32 = 0xd503_43ff;
const PSTATE_MASKED: u64 = 0x3c0;
const HCR_VIRTUAL: [u64; 3] = [1 << 6, 1 << 7, 1 << 8];

pub(crate) fn step(cpu: &mut Cpu) {
    rescue::enable(cpu.index, cpu.rng.draw() as u32);
    let place = cpu.place();
    let mut code = Code::new();
    if cpu.rng.one_in(4) {
        // Later nothing may be left that ends it.
        code.push(WFI);
    }
    for n in 0..1 + cpu.rng.below(8) as u32 {
        access(cpu, &mut code, n);
    }
    if cpu.rng.one_in(2) {
        code.push(UNMASK);
    }
    if place == Place::L2 {
        return under_list_registers(cpu, &code);
    }
    cpu.execute(place, &code);
}

/// One access to the CPU interface or to a timer.
fn access(cpu: &mut Cpu, code: &mut Code, n: u32) {
    let bits = cpu.named(|reg, name| is_register(reg, name, ["ICC_", "CNT"]));
    if cpu.rng.one_in(3) {
        code.push(mrs(bits, n));
    } else {
        if cpu.rng.one_in(2) {
            cpu.home.x[n as usize] = cpu.rng.below(1024);
        }
        cpu.write(code, bits, n);
    }
}

/// Whether it is a register whose name begins so.
fn is_register(reg: SysReg, name: &str, beginnings: [&str; 2]) -> bool {
    !reg.is_instruction() && beginnings.iter().any(|beginning| name.starts_with(beginning))
}

/// EL2 fills the list registers and what governs them, and enters a guest that does this.
fn under_list_registers(cpu: &mut Cpu, guest: &Code) {
    let (_, world) = cpu.guest(Format::USUAL);
    guest.put(cpu.code);
    let mut code = Code::new();
    for n in 0..6 {
        let bits = cpu.named(|reg, name| is_register(reg, name, ["ICH_", "CNT"]) && !is_of_the_timer(reg));
        let value = cpu.rng.value();
        // A list register that is worth a look has a state and an INTID.
        let is_likely = cpu.rng.one_in(2);
        cpu.home.x[n] = if is_likely {
            cpu.rng.draw() & 0xf0ff_03ff_0000_03ff | 1 << 62
        } else {
            value
        };
        code.push(msr(bits, n as u32));
    }
    let mut hcr = world.hcr | HCR_FMO;
    if cpu.rng.one_in(3) {
        hcr |= cpu.rng.choose(&HCR_VIRTUAL);
    }
    let pstate = if cpu.rng.one_in(2) {
        world.pstate & !PSTATE_MASKED
    } else {
        world.pstate
    };
    let last = [
        (SysReg::VTTBR_EL2, world.vttbr),
        (SysReg::VTCR_EL2, world.vtcr),
        (SysReg::HCR_EL2, hcr),
        (SysReg::ELR_EL2, world.pc),
        (SysReg::SPSR_EL2, pstate),
    ];
    for ((reg, value), n) in last.into_iter().zip(16..) {
        cpu.home.x[n as usize] = value;
        code.push(msr(reg.bits(), n));
    }
    code.push(ISB);
    code.push(ERET);
    let at = cpu.frames.page();
    code.put(at);
    cpu.go(at, PSTATE_EL2H_MASKED);
}
