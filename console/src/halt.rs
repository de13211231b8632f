//! `stop`: all CPUs at EL2, their guests frozen where they are.
//!
//! Stopping and going on are numbered by one counter, odd while stopped. A CPU that comes to rest notes the number under
//! which it does, so that one that is just on its way back to its guest is never mistaken for one at rest. A CPU whose
//! vCPU is off waits for interrupts at EL2 and comes to rest like any other, so all are waited for and none is forgotten
//! that is being switched on meanwhile.

use core::sync::atomic::{AtomicU64, Ordering};

use hyp::{console, layout::CPU_COUNT_MAX, vm::Vm};

/// Odd while `stop` is in force.
static EPOCH: AtomicU64 = AtomicU64::new(0);
/// The epoch in which each CPU came to rest last.
static AT_REST: [AtomicU64; CPU_COUNT_MAX] = [const { AtomicU64::new(0) }; CPU_COUNT_MAX];

fn is_stop(epoch: u64) -> bool {
    epoch % 2 == 1
}

/// Whether `stop` is in force. CPUs may still be on their way.
pub fn is_requested() -> bool {
    is_stop(EPOCH.load(Ordering::Acquire))
}

/// Begins a stop. Only the console calls this, and not while one is in force.
pub fn request() {
    if !is_requested() {
        EPOCH.fetch_add(1, Ordering::AcqRel);
    }
}

/// Ends a stop: all CPUs go on.
pub fn release(vm: &Vm) {
    if is_requested() {
        EPOCH.fetch_add(1, Ordering::AcqRel);
        for cpu in 0..vm.machine.cpus.len() {
            console::call(vm, cpu);
        }
    }
}

/// Calls those CPUs that are not at rest yet; says whether there were none. To be asked again until it is so: a CPU that
/// is still being started may lose a call.
pub fn is_complete(vm: &Vm) -> bool {
    let epoch = EPOCH.load(Ordering::Acquire);
    let mut is_complete = true;
    for (cpu, at_rest) in AT_REST.iter().enumerate().take(vm.machine.cpus.len()) {
        if at_rest.load(Ordering::Acquire) != epoch {
            is_complete = false;
            console::call(vm, cpu);
        }
    }
    is_complete
}

/// Keeps CPU `cpu` at rest while `stop` is in force; calls `rest` over and over meanwhile.
pub fn wait(cpu: usize, mut rest: impl FnMut()) {
    loop {
        let epoch = EPOCH.load(Ordering::Acquire);
        if !is_stop(epoch) {
            return;
        }
        if let Some(at_rest) = AT_REST.get(cpu) {
            at_rest.store(epoch, Ordering::Release);
        }
        while EPOCH.load(Ordering::Acquire) == epoch {
            rest();
        }
    }
}
