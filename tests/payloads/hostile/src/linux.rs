//! A Linux that somebody has put into memory, and that goes on where this program ends.

use core::arch::asm;

use bare::boot;
use bare::psci::{self, AFFINITY_INFO, CPU_OFF};

use crate::cpu::Cpu;
use crate::home::SCTLR_OFF;

/// What `AFFINITY_INFO` says of a CPU that is off.
const OFF: i64 = 1;

/// Starts the `Image` at `at`, by its boot protocol, as soon as the other `cpus` are off.
pub(crate) fn start(cpu: &mut Cpu, cpus: u64, at: u64) -> ! {
    for other in 1..cpus {
        while psci::call(AFFINITY_INFO, [other, 0, 0]) != OFF {
            core::hint::spin_loop();
        }
    }
    cpu.settle_down();
    // SAFETY: this program has nothing left to do, and its memory is Linux's from here on.
    unsafe {
        asm!(
            "msr SCTLR_EL2, {sctlr}",
            "isb",
            "tlbi alle2",
            "dsb sy",
            "ic iallu",
            "dsb sy",
            "isb",
            "mov x1, xzr",
            "mov x2, xzr",
            "mov x3, xzr",
            "br {at}",
            sctlr = in(reg) SCTLR_OFF,
            at = in(reg) at,
            in("x0") boot::device_tree(),
            options(noreturn),
        )
    }
}

/// Makes room for it.
pub(crate) fn give_way(cpu: &mut Cpu) -> ! {
    cpu.settle_down();
    psci::call(CPU_OFF, [0; 3]);
    psci::wait_for_ever()
}
