//! What each CPU keeps of its own: the pointer to its vCPU in `TPIDR_EL2`, and the end of its emergency stack in
//! `CONTEXTIDR_EL2`, which `boot/entry.S` puts there, and which means nothing to the hardware at `HCR_EL2.E2H` = 0.

use core::arch::asm;

use aarch64_cpu::registers::{Readable, TPIDR_EL2, Writeable};

use crate::{layout, vcpu::VCpu};

/// Makes `vcpu` this CPU's own, for good.
pub fn install(vcpu: &'static mut VCpu) {
    TPIDR_EL2.set(core::ptr::from_mut(vcpu) as u64);
}

/// This CPU's vCPU.
///
/// # Safety
///
/// [`install`] has run on this CPU, and no other reference from this function is alive on it: call it once, first
/// thing, in an entry point from assembly. Entry points cannot nest, because EL2 runs with interrupts masked.
pub unsafe fn vcpu() -> &'static mut VCpu {
    // SAFETY: `install` stored a `&'static mut VCpu` that it gave up; the caller vouches that it is not in use.
    unsafe { &mut *(TPIDR_EL2.get() as *mut VCpu) }
}

/// A number other than 0 that tells this CPU from others, at the cost of one instruction; [`layout::cpu_of_emergency_stack`]
/// says which it is.
#[inline(always)]
pub fn mark() -> u32 {
    let mark: u64;
    // SAFETY: reads a register that never changes once Rust runs, so the compiler may do it once for several locks.
    unsafe { asm!("mrs {}, S3_4_C13_C0_1", out(reg) mark, options(pure, nomem, nostack, preserves_flags)) }
    mark as u32
}

/// This CPU's number, whatever state it is in; 0 if it has lost that, too.
pub fn number() -> usize {
    layout::cpu_of_emergency_stack(u64::from(mark())).unwrap_or(0)
}
