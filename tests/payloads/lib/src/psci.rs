//! PSCI by SMC: other CPUs, and the end.
#![expect(unsafe_code, reason = "SMC is an instruction; another CPU starts where it is told")]

use core::arch::asm;

/// Functions, by number; of those with two conventions the one of 64 bits.
pub const CPU_SUSPEND: u64 = 0xc400_0001;
/// See [`CPU_SUSPEND`].
pub const CPU_OFF: u64 = 0x8400_0002;
/// See [`CPU_SUSPEND`].
pub const CPU_ON: u64 = 0xc400_0003;
/// See [`CPU_SUSPEND`].
pub const AFFINITY_INFO: u64 = 0xc400_0004;
/// See [`CPU_SUSPEND`].
pub const SYSTEM_OFF: u64 = 0x8400_0008;
/// See [`CPU_SUSPEND`].
pub const SYSTEM_RESET: u64 = 0x8400_0009;
/// See [`CPU_SUSPEND`].
pub const SYSTEM_RESET2: u64 = 0xc400_0012;

unsafe extern "C" {
    fn secondary_entry();
}

/// Calls a function with arguments in `x1` to `x3`; an error is negative.
pub fn call(function: u64, arguments: [u64; 3]) -> i64 {
    let result: u64;
    let [x1, x2, x3] = arguments;
    // SAFETY: by the SMC calling convention x0 to x17 may change and nothing else does.
    unsafe {
        asm!("smc #0", inlateout("x0") function => result, in("x1") x1, in("x2") x2, in("x3") x3, clobber_abi("C"));
    }
    result.cast_signed()
}

/// Where another CPU starts, with its number in `x0`.
#[must_use]
pub fn secondary() -> u64 {
    secondary_entry as *const () as u64
}

/// Starts the CPU of that number, in `secondary` of [`payload!`](crate::payload). Says whether it does.
#[must_use]
pub fn cpu_on(cpu: u64) -> bool {
    cpu_on_at(cpu, secondary())
}

/// Starts the CPU of that number at `entry`, which had better be code. Says whether it does.
#[must_use]
pub fn cpu_on_at(cpu: u64, entry: u64) -> bool {
    // On QEMU's `virt` board a CPU's number is its affinity, below 16.
    call(CPU_ON, [cpu, entry, cpu]) == 0
}

/// Ends the machine.
pub fn power_off() -> ! {
    call(SYSTEM_OFF, [0; 3]);
    wait_for_ever()
}

/// Sleeps from now on.
pub fn wait_for_ever() -> ! {
    loop {
        // SAFETY: it waits.
        unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) }
    }
}
