//! The symbols of `linker.ld`, as functions: the only Rust file that knows them.

use core::ops::Range;

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __symbols_start: u8;
    static __symbols_end: u8;
    static __bss_end: u8;
    static __stacks_start: u8;
    static __stacks_end: u8;
    static __emergency_stacks_start: u8;
    static __emergency_stacks_end: u8;
    static __image_end: u8;
}

/// CPUs the image has stacks for; `CPU_COUNT_MAX` of `linker.ld`.
pub const CPU_COUNT_MAX: usize = 8;
/// Bytes from one CPU's stack to the next, guard page included; `STACK_STRIDE` of `linker.ld`.
const STACK_STRIDE: u64 = 68 << 10;
/// The same for the emergency stacks; `EMERGENCY_STRIDE` of `linker.ld`.
const EMERGENCY_STRIDE: u64 = 20 << 10;
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

/// The names of functions, for `crates/symbols`; zeros in an image that nobody put them into.
pub fn symbols() -> &'static [u8] {
    let start = core::ptr::addr_of!(__symbols_start);
    let bytes = address!(__symbols_end) - start as u64;
    // SAFETY: the linker script has that many constant bytes there, and nobody writes them.
    unsafe { core::slice::from_raw_parts(start, bytes as usize) }
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

/// The stack on which CPU `cpu` reports exceptions of EL2 itself, without its guard page.
pub fn emergency_stack(cpu: usize) -> Range<u64> {
    debug_assert!(cpu < CPU_COUNT_MAX);
    let start = address!(__emergency_stacks_start) + cpu as u64 * EMERGENCY_STRIDE;
    debug_assert!(start + EMERGENCY_STRIDE <= address!(__emergency_stacks_end));
    start + GUARD_BYTES..start + EMERGENCY_STRIDE
}

/// The CPU whose emergency stack ends at `end`.
pub fn cpu_of_emergency_stack(end: u64) -> Option<usize> {
    (0..CPU_COUNT_MAX).find(|cpu| emergency_stack(*cpu).end == end)
}

/// The whole image in memory, `.bss` and stacks included.
pub fn image() -> Range<u64> {
    address!(__image_start)..address!(__image_end)
}
