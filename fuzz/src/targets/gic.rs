//! L1's GIC, in the machine of its own tests: that fails when a physical interrupt is ended twice or never.

#[path = "../../../crates/vgic/tests/machine/mod.rs"]
mod machine;

use vgic::{SgiRegister, VirtualInterface, vmcr};

use crate::Input;
use machine::{Machine, SPIS, mpidr};

const CPUS: usize = 3;

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut machine = Machine::new(CPUS, input.below(4) + 1);
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        step(&mut machine, &mut input);
    }
    machine.settle();
    machine.check_links();
    for spi in 32..32 + SPIS {
        let state = machine.vgic.interrupt(0, spi).expect("an SPI");
        let may_be_linked = state.active || state.enabled;
        assert!(
            state.linked.is_none() || may_be_linked,
            "{spi} is silent for ever: {state:?}"
        );
    }
    machine.vgic.reset(&mut machine.hw);
    assert!(machine.hw.spis.iter().all(|line| !line.active && !line.enabled));
}

fn step(machine: &mut Machine, input: &mut Input<'_>) {
    let cpu = input.below(CPUS);
    let spi = 32 + u32::from(input.byte()) % SPIS;
    match input.below(16) {
        0..4 => access(machine, cpu, input),
        4 => machine.enable(cpu, interrupt(input)),
        5 => machine.route(spi, mpidr(input.below(CPUS + 1))),
        6 => machine.set_edge(spi, input.bit()),
        7 => machine.drive(spi, input.bit()),
        8 => machine.pulse(spi),
        9 => machine.drive_timer(cpu, input.bit()),
        10 => send(machine, cpu, input),
        11 | 12 => {
            machine.acknowledge(cpu);
        }
        13 if machine.vif[cpu].ap1r0 != 0 => machine.end(cpu, interrupt(input)),
        14 => machine.deactivate(cpu, interrupt(input)),
        _ => set_interface(machine, cpu, input),
    }
}

/// One of few numbers, so that they meet.
fn interrupt(input: &mut Input<'_>) -> u32 {
    input.pick(&[0, 1, 15, 27, 30, 32, 33, 40, 63, 95])
}

/// An access of L1's of any size and place, to registers that exist mostly.
fn access(machine: &mut Machine, cpu: usize, input: &mut Input<'_>) {
    let word = u64::from(input.half());
    let offset = match input.below(8) {
        0 => input.word(),
        1 => word * 4,
        2 => 0x6000 + word % 0x800 * 4,
        3 => word % 0x20,
        _ => word % 0x400 * 4,
    };
    let bytes = input.pick(&[4, 4, 4, 1, 2, 8, 3, 0]);
    let value = input.word();
    // As the image does, for the frame of private interrupts too.
    if vgic::access_needs_lists(offset) && !machine.vgic.is_settled(cpu) {
        machine.save(cpu);
    }
    let (vgic, hw) = (&mut machine.vgic, &mut machine.hw);
    match input.below(4) {
        0 => {
            let _ = vgic.read_distributor(offset, bytes, hw);
        }
        1 => {
            let _ = vgic.read_redistributor(cpu, machine::SGI_FRAME | offset, bytes, hw);
        }
        2 => vgic.write_distributor(cpu, offset, bytes, value, hw),
        _ => vgic.write_redistributor(cpu, machine::SGI_FRAME | offset, bytes, value, hw),
    }
    machine.settle();
}

fn send(machine: &mut Machine, cpu: usize, input: &mut Input<'_>) {
    let register = input.pick(&[SgiRegister::Sgi0, SgiRegister::Sgi1, SgiRegister::Asgi1]);
    let value = match input.below(4) {
        0 => input.word(),
        _ => u64::from(input.byte() & 3) << 24 | u64::from(input.byte() & 7) << 16 | u64::from(input.byte() & 7),
    };
    machine.vgic.send_sgi(cpu, register, value, &mut machine.hw);
    machine.settle();
}

/// What L1 may change of its interface without an exit.
fn set_interface(machine: &mut Machine, cpu: usize, input: &mut Input<'_>) {
    let mask = u64::from(input.byte() & 0xf8) << vmcr::VPMR_SHIFT;
    let enables = u64::from(input.byte()) & (vmcr::VENG0 | vmcr::VENG1);
    let mode = u64::from(input.bit()) * vmcr::VEOIM;
    machine.vif[cpu] = VirtualInterface {
        vmcr: mask | enables | mode | 3 << vmcr::VBPR1_SHIFT,
        ..machine.vif[cpu].clone()
    };
    machine.exit(cpu);
}
