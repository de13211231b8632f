//! A guest that is a hypervisor, with its page of registers anywhere.

use bare::host::HCR_HOST;
use bare::stage2::Format;
use bare::sysreg::VNCR_EL2;
use syndrome::SysReg;

use crate::code::{Code, ERET, ISB, mrs, msr};
use crate::cpu::{Cpu, HCR_NESTED};

/// `HCR_EL2.{NV,NV1,AT,NV2}`, and those that go with them: `TGE`, `E2H`, `VM`.
const NESTING: [u64; 7] = [1 << 42, 1 << 43, 1 << 44, 1 << 45, 1 << 27, 1 << 34, 1];

pub(crate) fn step(cpu: &mut Cpu) {
    let (_, mut world) = cpu.guest(Format::USUAL);
    world.hcr |= HCR_NESTED;
    if cpu.rng.one_in(3) {
        world.hcr ^= cpu.rng.choose(&NESTING);
    }
    let page = if cpu.rng.one_in(4) {
        cpu.rng.value()
    } else {
        cpu.rng.address()
    };
    for _ in 0..1 + cpu.rng.below(3) {
        program(cpu).put(cpu.code);
        // Now and then the page is another while it runs.
        VNCR_EL2.set(if cpu.rng.one_in(4) { cpu.rng.address() } else { page });
        cpu.enter(&world);
        bare::sysreg::HCR_EL2.set(HCR_HOST);
    }
}

/// What a hypervisor does: its own registers, maintenance, returns.
fn program(cpu: &mut Cpu) -> Code {
    let mut code = Code::new();
    for n in 0..1 + cpu.rng.below(8) as u32 {
        let is_maintenance = cpu.rng.one_in(4);
        let bits = cpu.row(|reg| reg.is_instruction() == is_maintenance && (is_maintenance || reg.op1() >= 4));
        let is_read = !is_maintenance && cpu.rng.one_in(3);
        code.push(if is_read { mrs(bits, n) } else { msr(bits, n) });
    }
    if cpu.rng.one_in(3) {
        cpu.home.x[20] = cpu.rng.address();
        cpu.home.x[21] = cpu.rng.choose(&[0x3c4, 0x3c5, 0x3c8, 0x3c9, 0x3c0]);
        code.push(msr(SysReg::ELR_EL2.bits(), 20));
        code.push(msr(SysReg::SPSR_EL2.bits(), 21));
        code.push(ISB);
        code.push(ERET);
    }
    code
}
