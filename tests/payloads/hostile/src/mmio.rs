//! Accesses of every size and alignment to devices that are emulated, that are gnomon's, or that are not there.

use bare::stage2::{Format, Perms};

use crate::code::{ACCESSES, Code};
use crate::cpu::{Cpu, Place};
use crate::places::{DEBUG_UART, GICD, GICR, GICR_BYTES};

/// Where an L2 sees the page.
const DEVICE_IPA: u64 = 0x8060_0000;

pub(crate) fn step(cpu: &mut Cpu) {
    let place = cpu.place();
    let at = target(cpu);
    let mut code = Code::new();
    for _ in 0..1 + cpu.rng.below(8) {
        code.push(cpu.rng.choose(&ACCESSES));
    }
    cpu.home.x[1] = at;
    if place != Place::L2 {
        return cpu.execute(place, &code);
    }
    let (stage2, mut world) = cpu.guest(Format::USUAL);
    for page in 0..2 {
        let output = (at & !0xfff) + page * 0x1000;
        stage2.map(DEVICE_IPA + page * 0x1000, output, 3, Perms::RW, &mut cpu.frames);
    }
    cpu.home.x[1] = DEVICE_IPA + at % 0x1000;
    if cpu.rng.one_in(4) {
        world.hcr = cpu.hcr();
    }
    code.put(cpu.code);
    cpu.enter(&world);
}

fn target(cpu: &mut Cpu) -> u64 {
    let at = match cpu.rng.below(6) {
        0 => GICD + cpu.rng.below(0x1_0000),
        // Registers are close to the frames' beginnings.
        1 => GICD + cpu.rng.below(0x1000),
        2 | 3 => GICR + cpu.rng.below(4) * GICR_BYTES + cpu.rng.below(2) * 0x1_0000 + cpu.rng.below(0x1000),
        4 => DEBUG_UART.0 + cpu.rng.below(DEBUG_UART.1),
        _ => cpu.rng.address(),
    };
    match cpu.rng.below(4) {
        0 => at,
        1 => at & !7,
        _ => at & !3,
    }
}
