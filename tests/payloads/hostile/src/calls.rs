//! HVC, SMC and SVC with any argument.

use crate::code::Code;
use crate::cpu::Cpu;

/// PSCI functions that are no attack, but the end: `CPU_OFF`, `SYSTEM_OFF`, `SYSTEM_RESET`, `SYSTEM_RESET2`.
const ENDS: [u64; 4] = [2, 8, 9, 0x12];

pub(crate) fn step(cpu: &mut Cpu) {
    let place = cpu.place();
    let mut code = Code::new();
    let call = 0xd400_0000 | (cpu.rng.draw() as u32 & 0xffff) << 5;
    // SVC, HVC or SMC.
    code.push(call | cpu.rng.choose(&[1, 2, 3, 3, 3, 3]));
    cpu.home.x[0] = function(cpu);
    if cpu.rng.one_in(2) {
        cpu.home.x[1] = cpu.rng.below(8);
        cpu.home.x[2] = cpu.rng.address();
    }
    cpu.execute(place, &code);
}

/// The identifier of a function, in all 64 bits.
fn function(cpu: &mut Cpu) -> u64 {
    let owner = cpu
        .rng
        .choose(&[0x8400_0000, 0xc400_0000, 0x8000_0000, 0x8600_0000, 0xc600_0000]);
    let id = match cpu.rng.below(4) {
        0 => cpu.rng.value(),
        1 => owner | cpu.rng.below(0x10000),
        _ => owner | cpu.rng.below(0x20),
    };
    // Only the lower half counts, so this is what it must not be there.
    let is_end = ENDS.contains(&(id & 0x1f)) && id >> 16 & 0xff == 0;
    let id = if is_end { id ^ 0x1000 } else { id };
    if cpu.rng.one_in(4) {
        id | cpu.rng.draw() << 32
    } else {
        id
    }
}
