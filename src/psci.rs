//! PSCI (DEN0022), in both directions: what L1 asks of gnomon, and what gnomon asks of the firmware.
//!
//! Every physical CPU stays on from boot to the end and runs gnomon's code; a vCPU that is off is a CPU that waits in
//! [`run_vcpu`] for somebody to switch its vCPU on.

use power::{Action, decide, error};
use smccc::{Smc, psci};

use crate::{
    arch::{barrier, percpu},
    boot, console, interrupts,
    mm::phys,
    nested::switch,
    vcpu::{Context, VCpu, context::GuestFrame},
    vm::Vm,
};

const SUCCESS: u64 = 0;

/// Answers an SMC of L1's (or of its guest's, if L1 does not trap them), which the frame is already behind.
pub fn call(vcpu: &mut VCpu, frame: &mut GuestFrame) {
    let x = [frame.x[0], frame.x[1], frame.x[2], frame.x[3]];
    let vm = vcpu.vm;
    frame.x[0] = match decide(x, &vm.machine.cpus, is_code) {
        Action::Return(value) => value,
        Action::CpuOn { cpu, entry, argument } => cpu_on(vm, cpu, entry, argument),
        Action::AffinityInfo(cpu) => vm.power[cpu].affinity_info() as u64,
        Action::CpuOff => cpu_off(vcpu),
        Action::Suspend => suspend(vcpu),
        Action::SystemOff => end("L1 powered off"),
        Action::SystemReset => reset("L1 reset"),
        // QEMU leaves RAM as it is, but for the files that it has loaded there.
        Action::WarmReset => reset("L1 reset, warm"),
    };
}

/// Whether L1 has memory for an instruction at `address`.
fn is_code(address: u64) -> bool {
    const BYTES: u64 = 4;
    address.is_multiple_of(BYTES) && phys::is_guest_ram(address, BYTES)
}

fn cpu_on(vm: &Vm, cpu: usize, entry: u64, argument: u64) -> u64 {
    match vm.power[cpu].switch_on(entry, argument) {
        Ok(()) => {
            vm.gic.send_sgi(cpu, interrupts::KICK);
            SUCCESS
        }
        Err(code) => error(code),
    }
}

/// Every state is a standby state: nothing is lost, and any interrupt ends it. A virtual one is no wake-up event at EL2,
/// so it must not be there before the CPU sleeps; later it comes by way of a physical one. Of the interrupts that L1 has
/// made for its guest this is not known, and who does not sleep loses nothing.
fn suspend(vcpu: &mut VCpu) -> u64 {
    if !vcpu.is_nested_vif_loaded && !interrupts::is_pending_for_l1(vcpu) {
        barrier::wfi();
    }
    SUCCESS
}

fn cpu_off(vcpu: &mut VCpu) -> u64 {
    if vcpu.context == Context::Nested {
        switch::leave_nested(vcpu);
    }
    vcpu.vm.power[vcpu.cpu].switch_off();
    // SAFETY: the guest's frame and everything else on this CPU's stack are dead with the vCPU.
    unsafe { boot::restart(run_vcpu, vcpu.cpu) }
}

/// Waits until this CPU's vCPU is switched on, and runs it.
pub extern "C" fn run_vcpu(cpu: usize) -> ! {
    // SAFETY: an entry point: this CPU's stack is empty, so no other reference to the vCPU is alive.
    let vcpu = unsafe { percpu::vcpu() };
    let (entry, argument) = loop {
        if let Some(request) = vcpu.vm.power[cpu].take_request() {
            break request;
        }
        barrier::wfi();
        let due = interrupts::take(vcpu, &mut GuestFrame::default());
        interrupts::do_own_work(vcpu, None, due);
    };
    switch::reset(vcpu);
    interrupts::reset(vcpu);
    let mut frame = GuestFrame::default();
    frame.x[0] = argument;
    frame.elr = entry;
    frame.spsr = switch::RESET_PSTATE;
    // SAFETY: `cpu` is this CPU's number; the vCPU's registers and controls were just loaded.
    unsafe { boot::start_guest(&frame, cpu) }
}

/// Starts physical CPU `cpu` at `entry`, with its number in `x0`.
pub fn start_cpu(mpidr: u64, entry: u64, cpu: usize) -> Result<(), psci::Error> {
    psci::cpu_on::<Smc>(mpidr, entry, cpu as u64)
}

/// Says why and switches the machine off.
pub fn end(why: &str) -> ! {
    console::announce(format_args!("gnomon: {why}"));
    power_off()
}

/// Says why and restarts the machine, gnomon and L1 with it: L1 has devices of its own, and nothing else resets those.
pub fn reset(why: &str) -> ! {
    console::announce(format_args!("gnomon: {why}"));
    restart()
}

/// Restarts the machine.
pub fn restart() -> ! {
    let _ = psci::system_reset::<Smc>();
    park()
}

/// Switches the machine off.
pub fn power_off() -> ! {
    // It does not return; if it does, there is nothing left to do but wait.
    let _ = psci::system_off::<Smc>();
    park()
}

/// Stops this CPU for good.
pub fn park() -> ! {
    loop {
        barrier::wfi();
    }
}
