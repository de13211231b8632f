//! CPUs that go off in the middle of anything, and come back by another's help.

use core::sync::atomic::{AtomicBool, Ordering};

use bare::psci::{self, CPU_OFF};

use crate::areas::POWER;
use crate::code::Code;
use crate::cpu::{Cpu, Place};
use crate::home::CPU_COUNT_MAX;
use crate::tally;

const SMC: u32 = 0xd400_0003;

/// CPUs that want to be switched on again.
static IS_OFF: [AtomicBool; CPU_COUNT_MAX] = [const { AtomicBool::new(false) }; CPU_COUNT_MAX];

/// Every CPU but the first switches itself off, at EL2, at EL1 or in a guest.
pub(crate) fn step(cpu: &mut Cpu) {
    if cpu.index == 0 {
        return;
    }
    let place = cpu.place();
    cpu.home.x[0] = CPU_OFF;
    let mut code = Code::new();
    code.push(SMC);
    // The step counts as done: the CPU begins with the next.
    tally::add(cpu.index, POWER, cpu.tally);
    IS_OFF[cpu.index].store(true, Ordering::Release);
    cpu.execute(place, &code);
    // Somebody trapped it.
    IS_OFF[cpu.index].store(false, Ordering::Relaxed);
    if place == Place::El2 {
        bare::println!("P FAIL CPU {} is off and goes on", cpu.index);
    }
}

/// Switches the CPUs on that have switched themselves off.
pub(crate) fn help() {
    for cpu in 1..CPU_COUNT_MAX {
        switch_on(cpu, psci::cpu_on);
    }
}

/// The same, where this program does not begin.
pub(crate) fn help_at(entry: u64) {
    for cpu in 1..CPU_COUNT_MAX {
        switch_on(cpu, |cpu| psci::cpu_on_at(cpu, entry));
    }
}

fn switch_on(cpu: usize, start: impl Fn(u64) -> bool) {
    // One helper alone: once it starts, the CPU may be off again before this one goes on.
    if IS_OFF[cpu].swap(false, Ordering::AcqRel) && !start(cpu as u64) {
        IS_OFF[cpu].store(true, Ordering::Relaxed);
    }
}
