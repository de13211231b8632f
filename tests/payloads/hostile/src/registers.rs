//! Any value in any register, from everywhere; and guests that run under what that makes.

use bare::stage2::Format;
use syndrome::SysReg;

use crate::code::{Code, ERET, ISB, mrs, msr};
use crate::cpu::{Cpu, PSTATE_EL2H_MASKED, Place};
use crate::home::SCTLR_OFF;

/// EL2's own translation, by both names with `E2H` = 1. Anything else in them is the end of this program, unless the MMU
/// is off.
const TRANSLATION: [SysReg; 8] = [
    SysReg::SCTLR_EL1,
    SysReg::SCTLR_EL2,
    SysReg::TCR_EL1,
    SysReg::TCR_EL2,
    SysReg::TTBR0_EL1,
    SysReg::TTBR0_EL2,
    SysReg::MAIR_EL1,
    SysReg::MAIR_EL2,
];
const SCTLR: [SysReg; 2] = [SysReg::SCTLR_EL1, SysReg::SCTLR_EL2];
const VECTORS: [SysReg; 2] = [SysReg::VBAR_EL1, SysReg::VBAR_EL2];

/// `x28` = `SCTLR_EL2` with the MMU off, `x29` = `VBAR_EL2`; nobody writes those.
const OFF: u32 = 28;
const VBAR: u32 = 29;

pub(crate) fn step(cpu: &mut Cpu) {
    if cpu.rng.one_in(3) {
        return enter_from(cpu);
    }
    let place = cpu.place();
    let mut code = Code::new();
    let count = 1 + cpu.rng.below(4) as u32;
    for n in 0..count {
        access(cpu, place, &mut code, n);
    }
    cpu.execute(place, &code);
}

/// One access with `xN`, and what it takes to survive it.
fn access(cpu: &mut Cpu, place: Place, code: &mut Code, n: u32) {
    let bits = cpu.register();
    let reg = SysReg::from_bits(bits);
    if cpu.rng.one_in(3) {
        return code.push(mrs(bits, n));
    }
    if place == Place::El2 && TRANSLATION.contains(&reg) {
        cpu.home.x[OFF as usize] = SCTLR_OFF;
        code.push(msr(SysReg::SCTLR_EL2.bits(), OFF));
        code.push(ISB);
        if SCTLR.contains(&reg) {
            cpu.home.x[n as usize] &= !1;
        }
    }
    cpu.write(code, bits, n);
    code.push(ISB);
    if place == Place::El2 && VECTORS.contains(&reg) {
        cpu.home.x[VBAR as usize] = bare::sysreg::VBAR_EL2.get();
        code.push(mrs(bits, n));
        code.push(msr(SysReg::VBAR_EL2.bits(), VBAR));
        code.push(ISB);
    }
}

/// EL2 writes registers that govern a guest, and goes there at once.
fn enter_from(cpu: &mut Cpu) {
    let (_, world) = cpu.guest(Format::USUAL);
    let mut guest = Code::new();
    for n in 0..3 {
        let bits = cpu.register();
        if cpu.rng.one_in(2) {
            guest.push(mrs(bits, n));
        } else {
            cpu.write(&mut guest, bits, n);
        }
    }
    guest.put(cpu.code);
    let mut code = Code::new();
    let count = 1 + cpu.rng.below(12) as u32;
    for n in 0..count {
        let bits = cpu.row(governs_a_guest);
        code.push(msr(bits, n));
    }
    let hcr = if cpu.rng.one_in(2) { world.hcr } else { cpu.hcr() };
    let is_wild = cpu.rng.one_in(4);
    let last = [
        (SysReg::VTTBR_EL2, world.vttbr, is_wild),
        (SysReg::VTCR_EL2, world.vtcr, is_wild),
        (SysReg::HCR_EL2, hcr, false),
        (SysReg::ELR_EL2, world.pc, false),
        (SysReg::SPSR_EL2, world.pstate, false),
    ];
    for ((reg, value, is_left), n) in last.into_iter().zip(16..) {
        if !is_left {
            cpu.home.x[n as usize] = value;
            code.push(msr(reg.bits(), n));
        }
    }
    code.push(ISB);
    code.push(ERET);
    let at = cpu.frames.page();
    code.put(at);
    cpu.go(at, PSTATE_EL2H_MASKED);
}

/// Registers of EL2 and aliases of EL1's, without what this program stands on.
fn governs_a_guest(reg: SysReg) -> bool {
    let is_own = TRANSLATION.contains(&reg) || VECTORS.contains(&reg) || is_of_the_timer(reg);
    !reg.is_instruction() && reg.op1() >= 4 && !is_own
}

/// Whether it is a register of the timer that ends what nothing else does, by either name with `E2H` = 1.
pub(crate) fn is_of_the_timer(reg: SysReg) -> bool {
    const TIMER: [SysReg; 6] = [
        SysReg::CNTHP_CTL_EL2,
        SysReg::CNTHP_CVAL_EL2,
        SysReg::CNTHP_TVAL_EL2,
        SysReg::CNTP_CTL_EL0,
        SysReg::CNTP_CVAL_EL0,
        SysReg::CNTP_TVAL_EL0,
    ];
    TIMER.contains(&reg)
}
