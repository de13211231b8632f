//! Glues `boot/vectors.S` to Rust: constants in, entry points out.

use core::{
    arch::global_asm,
    mem::{offset_of, size_of},
};

use crate::{panic::Fault, trap, vcpu::context::GuestFrame};

global_asm!(
    include_str!("../boot/vectors.S"),
    frame_bytes = const size_of::<GuestFrame>(),
    frame_x30 = const offset_of!(GuestFrame, x) + 30 * 8,
    frame_spsr = const offset_of!(GuestFrame, spsr),
    fault_bytes = const size_of::<Fault>(),
    fault_sp = const offset_of!(Fault, sp),
    guest_sync = sym trap::guest_sync,
    guest_irq = sym trap::guest_irq,
    guest_serror = sym trap::guest_serror,
    guest_aarch32 = sym trap::guest_aarch32,
    el2_fault = sym crate::panic::el2_fault,
);

// The vectors store x30 and ELR_EL2 as a pair.
const _: () = assert!(offset_of!(GuestFrame, elr) == offset_of!(GuestFrame, x) + 31 * 8);
const _: () = assert!(size_of::<GuestFrame>().is_multiple_of(16));
// They store x0 of a fault at its start, and SP and the vector as a pair.
const _: () = assert!(offset_of!(Fault, x) == 0 && offset_of!(Fault, vector) == offset_of!(Fault, sp) + 8);
const _: () = assert!(size_of::<Fault>().is_multiple_of(16));

unsafe extern "C" {
    fn enter_guest(frame: *const GuestFrame, stack_end: u64) -> !;
    fn run_on_stack(function: extern "C" fn(usize) -> !, argument: usize, stack_end: u64) -> !;
}

/// Starts the guest described by `frame` on this CPU, whose stack is abandoned.
///
/// # Safety
///
/// `cpu` is this CPU's number, and nothing on its stack is needed any more; the guest's registers and HCR_EL2 are loaded.
pub unsafe fn start_guest(frame: &GuestFrame, cpu: usize) -> ! {
    // SAFETY: the caller vouches for the stack; `frame` is copied before the stack is reused, and it lies below the
    // copy's destination or outside the stack, so the ascending-address copy from the end never reads what it wrote.
    unsafe { enter_guest(frame, crate::layout::stack(cpu).end) }
}

/// Goes on with `function` on this CPU's empty stack.
///
/// # Safety
///
/// `cpu` is this CPU's number, and nothing on its stack is needed any more.
pub unsafe fn restart(function: extern "C" fn(usize) -> !, cpu: usize) -> ! {
    // SAFETY: the caller vouches for the stack.
    unsafe { run_on_stack(function, cpu, crate::layout::stack(cpu).end) }
}
