//! Operations of virtual EL2 itself.

use core::arch::asm;

use crate::samples::{Samples, count};
use crate::vectors::while_returning;

/// How often each is done.
const COUNT: usize = 100;

/// Counts and prints them all.
pub(crate) fn run() {
    repeat("smc", smc);
    while_returning(|| repeat("hvc-self", hvc_self));
    repeat("eret-vel2", eret);
    repeat("register-read", read_register);
    repeat("register-write", write_register);
    repeat("tlbi-stage1", tlbi_stage1);
}

/// Once before it counts, so that all samples find the same state.
fn repeat(name: &str, operation: fn() -> u64) {
    operation();
    let mut samples = Samples::new();
    for _ in 0..COUNT {
        samples.add(operation());
    }
    samples.print(format_args!("{name}"));
}

/// `PSCI_VERSION`, by SMC.
fn smc() -> u64 {
    const PSCI_VERSION: u64 = 0x8400_0000;
    // SAFETY: by the SMC calling convention x0 to x17 may change and nothing else does.
    unsafe { count!("smc #0"; inout("x0") PSCI_VERSION => _, clobber_abi("C")) }
}

/// HVC, which is an exception to the same level, and back.
fn hvc_self() -> u64 {
    // SAFETY: the vectors return, as x9 says; the exception changes ELR_EL2 and SPSR_EL2 only, which nobody counts on.
    unsafe { count!("hvc #0"; in("x9") 1_u64, options(nostack)) }
}

/// ERET to the next instruction.
fn eret() -> u64 {
    /// EL2 with its own stack pointer, all interrupts masked: how it is here.
    const PSTATE: u64 = 0x3c9;
    let (begin, end): (u64, u64);
    // SAFETY: goes on behind the ERET, in the state it was in.
    unsafe {
        asm!(
            "adr {next}, 0f",
            "msr elr_el2, {next}",
            "msr spsr_el2, {pstate}",
            "isb",
            "mrs {begin}, cntvct_el0",
            "eret",
            "0: mrs {end}, cntvct_el0",
            next = out(reg) _,
            pstate = in(reg) PSTATE,
            begin = out(reg) begin,
            end = out(reg) end,
            options(nostack),
        );
    }
    end - begin - 1
}

/// A register that FEAT_NV2 does not keep in memory.
fn read_register() -> u64 {
    // SAFETY: reading has no effect.
    unsafe { count!("mrs {value}, tcr_el2"; value = out(reg) _, options(nostack)) }
}

/// The same register, written with what it has.
fn write_register() -> u64 {
    let value: u64;
    // SAFETY: reading has no effect.
    unsafe { asm!("mrs {}, tcr_el2", out(reg) value, options(nomem, nostack)) };
    // SAFETY: nothing changes.
    unsafe { count!("msr tcr_el2, {value}"; value = in(reg) value, options(nostack)) }
}

/// One page of EL2's own translations.
fn tlbi_stage1() -> u64 {
    // SAFETY: forgetting translations is always allowed.
    unsafe { count!("tlbi vae2is, {page}"; page = in(reg) 0_u64, options(nostack)) }
}
