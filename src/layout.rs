//! The symbols of `linker.ld`, as functions: the only Rust file that knows them.

use core::ops::Range;

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __bss_end: u8;
    static __stacks_start: u8;
    static __stacks_end: u8;
    static __emergency_stack_start: u8;
    static __emergency_stack_end: u8;
    static __image_end: u8;
}

/// CPUs the image has stacks for; `CPU_COUNT_MAX` of `linker.ld`.
pub const CPU_COUNT_MAX: usize = 8;
/// Bytes from one CPU's stack to the next, guard page included; `STACK_STRIDE` of `linker.ld`.
const STACK_STRIDE: u64 = 68 << 10;
/// Bytes of the unmapped page below each stack.
pub const GUARD_BYTES: u64 = 4096;

macro_rules! address {
    ($symbol:ident) => {
        core::ptr::addr_of!($symbol) as u64
    };
}

/// Instructions: executable, read-only.
pub fn text() -> Range<u64> {
    address!(__image_start)..address!(__text_end)
}

/// Constants: read-only.
pub fn rodata() -> Range<u64> {
    address!(__text_end)..address!(__rodata_end)
}

/// Statics: read-write.
pub fn data() -> Range<u64> {
    address!(__rodata_end)..address!(__bss_end)
}

/// The stack of CPU `cpu` without its guard page; empty at `end`.
pub fn stack(cpu: usize) -> Range<u64> {
    debug_assert!(cpu < CPU_COUNT_MAX);
    let start = address!(__stacks_start) + cpu as u64 * STACK_STRIDE;
    debug_assert!(start + STACK_STRIDE <= address!(__stacks_end));
    start + GUARD_BYTES..start + STACK_STRIDE
}

/// The stack that faults of EL2 itself are reported on.
pub fn emergency_stack() -> Range<u64> {
    address!(__emergency_stack_start)..address!(__emergency_stack_end)
}

/// The whole image in memory, `.bss` and stacks included.
pub fn image() -> Range<u64> {
    address!(__image_start)..address!(__image_end)
}
