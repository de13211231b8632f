//! The per-CPU pointer in `TPIDR_EL2`.

use aarch64_cpu::registers::{Readable, TPIDR_EL2, Writeable};

use crate::vcpu::VCpu;

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
