//! PSCI by SMC: other CPUs, and the end.
#![expect(unsafe_code, reason = "SMC is an instruction; another CPU starts where it is told")]

use core::arch::asm;

const CPU_ON_64: u64 = 0xc400_0003;
const SYSTEM_OFF: u64 = 0x8400_0008;

unsafe extern "C" {
    fn secondary_entry();
}

fn smc(function: u64, arguments: [u64; 3]) -> u64 {
    let result;
    let [x1, x2, x3] = arguments;
    // SAFETY: by the SMC calling convention x0 to x17 may change and nothing else does.
    unsafe {
        asm!("smc #0", inlateout("x0") function => result, in("x1") x1, in("x2") x2, in("x3") x3, clobber_abi("C"));
    }
    result
}

/// Starts the CPU of that number, in `secondary` of [`payload!`](crate::payload). Says whether it does.
#[must_use]
pub fn cpu_on(cpu: u64) -> bool {
    // On QEMU's `virt` board a CPU's number is its affinity, below 16.
    smc(CPU_ON_64, [cpu, secondary_entry as *const () as u64, cpu]) == 0
}

/// Ends the machine.
pub fn power_off() -> ! {
    smc(SYSTEM_OFF, [0; 3]);
    wait_for_ever()
}

/// Sleeps from now on.
pub fn wait_for_ever() -> ! {
    loop {
        // SAFETY: it waits.
        unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) }
    }
}
