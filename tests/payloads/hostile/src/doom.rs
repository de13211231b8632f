//! The last step of a CPU: it does not come back, and gnomon has to live with that.

use bare::stage2::Format;
use bare::sysreg::CNTPCT_EL0;
use syndrome::SysReg;

use crate::code::{Code, HVC, ISB, WFI, msr};
use crate::cpu::{Cpu, HCR_IMO, PSTATE_EL2H_MASKED};
use crate::{power, rescue};

/// `B .`
const SPIN: u32 = 0x1400_0000;
/// Registers whose nonsense leaves EL2 without code, or without vectors.
const FATAL: [SysReg; 5] = [
    SysReg::SCTLR_EL2,
    SysReg::TCR_EL2,
    SysReg::TTBR0_EL2,
    SysReg::MAIR_EL2,
    SysReg::VBAR_EL2,
];
const PSTATE_EL1H_MASKED: u64 = 0x3c5;
/// How long the first CPU waits for others to go off: 20 ms.
const OTHERS_TICKS: u64 = 20_000_000;
/// The step whose numbers these are.
const LAST: u64 = 1 << 48;

/// Does it.
pub(crate) fn strike(cpu: &mut Cpu, seed: u64) {
    cpu.begin(seed, LAST);
    if cpu.index == 0 {
        start_anywhere(cpu);
    }
    cpu.home.x[0] = cpu.rng.value() | 1;
    match cpu.rng.below(5) {
        0 => sleep(cpu),
        1 => guest_without_interrupts(cpu),
        2 if cpu.index != 0 => go_off(cpu),
        _ => without_ground(cpu),
    }
}

/// EL2's own translation is nonsense: an exception without end.
fn without_ground(cpu: &mut Cpu) {
    let mut code = Code::new();
    code.push(msr(cpu.rng.choose(&FATAL).bits(), 0));
    code.push(ISB);
    code.push(HVC);
    code.put(cpu.code);
    cpu.go_without_timer(cpu.code, PSTATE_EL2H_MASKED);
}

/// Everything is masked, and nothing is let through anyway.
fn sleep(cpu: &mut Cpu) {
    rescue::close_gic();
    let mut code = Code::new();
    for _ in 0..8 {
        code.push(WFI);
    }
    code.push(SPIN);
    code.put(cpu.code);
    cpu.go_without_timer(cpu.code, PSTATE_EL2H_MASKED);
}

/// A guest that spins, whose interrupts are its own and masked.
fn guest_without_interrupts(cpu: &mut Cpu) {
    let (_, mut world) = cpu.guest(Format::USUAL);
    let mut code = Code::new();
    code.push(SPIN);
    code.put(cpu.code);
    world.hcr &= !HCR_IMO;
    world.pstate = PSTATE_EL1H_MASKED;
    cpu.enter(&world);
}

/// It goes off, and the first CPU has it start at nothing.
fn go_off(cpu: &mut Cpu) {
    power::step(cpu);
}

/// Starts all CPUs that have gone off, anywhere.
fn start_anywhere(cpu: &mut Cpu) {
    let end = CNTPCT_EL0.get() + OTHERS_TICKS;
    while CNTPCT_EL0.get() < end {
        power::help_at(cpu.rng.address());
    }
}
