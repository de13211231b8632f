//! Striking, and coming home.
//!
//! A strike is an ERET to anywhere with any registers. Whatever comes of it ends with an exception to EL2, by itself or by
//! the timer, and every vector leads home: registers that this program depends on get their good values, and it goes on
//! behind the strike. Nothing on the way there uses memory before EL2's own translation is what it was.

use core::arch::global_asm;
use core::mem::offset_of;
use core::ptr;

use bare::host::{HCR_HOST, MAIR, SCTLR, TCR};
use bare::println;
use bare::sysreg::VBAR_EL2;

/// CPUs that there can be.
pub(crate) const CPU_COUNT_MAX: usize = 4;

/// `SCTLR_EL2` with the MMU off.
pub(crate) const SCTLR_OFF: u64 = SCTLR & !1;

/// What a CPU takes along, and what it finds when it is back.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Home {
    /// `x0` to `x30`; the last word is nobody's.
    pub(crate) x: [u64; 32],
    /// Where to.
    pub(crate) pc: u64,
    pub(crate) pstate: u64,
    /// `ESR_EL2`, `ELR_EL2` and `SPSR_EL2` of the exception that ended it.
    pub(crate) esr: u64,
    pub(crate) elr: u64,
    pub(crate) spsr: u64,
    /// The stack pointer while the CPU is out, zero while it is here.
    sp: u64,
}

impl Home {
    pub(crate) const NEW: Self = Self {
        x: [0; 32],
        pc: 0,
        pstate: 0,
        esr: 0,
        elr: 0,
        spsr: 0,
        sp: 0,
    };
}

/// By CPU, which is what the vectors know.
static mut HOMES: [Home; CPU_COUNT_MAX] = [Home::NEW; CPU_COUNT_MAX];

global_asm!(
    "    .macro constant reg, value",
    "    movz \\reg, #((\\value) & 0xffff)",
    "    movk \\reg, #((\\value) >> 16 & 0xffff), lsl #16",
    "    movk \\reg, #((\\value) >> 32 & 0xffff), lsl #32",
    "    .endm",
    "    .section .text.vectors, \"ax\"",
    "    .balign 2048",
    "home_vectors:",
    "    .irp slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "    .balign 128",
    "    mov x0, #\\slot",
    "    b come_home",
    "    .endr",
    "    .balign 128",
    "come_home:",
    "    msr DAIFSet, #0xf",
    "    constant x1, {sctlr_off}",
    "    msr SCTLR_EL2, x1",
    "    isb",
    "    constant x1, {hcr}",
    "    msr HCR_EL2, x1",
    "    constant x1, {mair}",
    "    msr MAIR_EL2, x1",
    "    constant x1, {tcr}",
    "    msr TCR_EL2, x1",
    "    adrp x1, __translation_table",
    "    msr TTBR0_EL2, x1",
    "    adrp x1, home_vectors",
    "    add x1, x1, :lo12:home_vectors",
    "    msr VBAR_EL2, x1",
    "    isb",
    "    tlbi alle2",
    "    dsb sy",
    "    isb",
    "    constant x1, {sctlr}",
    "    msr SCTLR_EL2, x1",
    "    isb",
    "    msr SPSel, #1",
    "    mrs x1, MPIDR_EL1",
    "    and x1, x1, #3",
    "    mov x2, #{home_bytes}",
    "    adrp x3, {homes}",
    "    add x3, x3, :lo12:{homes}",
    "    madd x2, x1, x2, x3",
    "    mrs x3, ESR_EL2",
    "    mrs x4, ELR_EL2",
    "    mrs x5, SPSR_EL2",
    "    str x3, [x2, #{esr}]",
    "    str x4, [x2, #{elr}]",
    "    str x5, [x2, #{spsr}]",
    "    ldr x3, [x2, #{sp}]",
    "    cbz x3, {unexpected}",
    "    mov sp, x3",
    "    str xzr, [x2, #{sp}]",
    "    ldp x19, x20, [sp, #16 * 0]",
    "    ldp x21, x22, [sp, #16 * 1]",
    "    ldp x23, x24, [sp, #16 * 2]",
    "    ldp x25, x26, [sp, #16 * 3]",
    "    ldp x27, x28, [sp, #16 * 4]",
    "    ldp x29, x30, [sp, #16 * 5]",
    "    add sp, sp, #16 * 6",
    "    ret",
    // x0 = this CPU's home. Returns the vector that led back.
    "go_out:",
    "    sub sp, sp, #16 * 6",
    "    stp x19, x20, [sp, #16 * 0]",
    "    stp x21, x22, [sp, #16 * 1]",
    "    stp x23, x24, [sp, #16 * 2]",
    "    stp x25, x26, [sp, #16 * 3]",
    "    stp x27, x28, [sp, #16 * 4]",
    "    stp x29, x30, [sp, #16 * 5]",
    "    mov x1, sp",
    "    str x1, [x0, #{sp}]",
    "    ldr x1, [x0, #{pc}]",
    "    ldr x2, [x0, #{pstate}]",
    "    msr ELR_EL2, x1",
    "    msr SPSR_EL2, x2",
    "    ldp x2, x3, [x0, #16 * 1]",
    "    ldp x4, x5, [x0, #16 * 2]",
    "    ldp x6, x7, [x0, #16 * 3]",
    "    ldp x8, x9, [x0, #16 * 4]",
    "    ldp x10, x11, [x0, #16 * 5]",
    "    ldp x12, x13, [x0, #16 * 6]",
    "    ldp x14, x15, [x0, #16 * 7]",
    "    ldp x16, x17, [x0, #16 * 8]",
    "    ldp x18, x19, [x0, #16 * 9]",
    "    ldp x20, x21, [x0, #16 * 10]",
    "    ldp x22, x23, [x0, #16 * 11]",
    "    ldp x24, x25, [x0, #16 * 12]",
    "    ldp x26, x27, [x0, #16 * 13]",
    "    ldp x28, x29, [x0, #16 * 14]",
    "    ldr x30, [x0, #16 * 15]",
    "    ldp x0, x1, [x0]",
    "    eret",
    sctlr_off = const SCTLR_OFF,
    sctlr = const SCTLR,
    hcr = const HCR_HOST,
    mair = const MAIR,
    tcr = const TCR,
    home_bytes = const size_of::<Home>(),
    pc = const offset_of!(Home, pc),
    pstate = const offset_of!(Home, pstate),
    esr = const offset_of!(Home, esr),
    elr = const offset_of!(Home, elr),
    spsr = const offset_of!(Home, spsr),
    sp = const offset_of!(Home, sp),
    homes = sym HOMES,
    unexpected = sym unexpected,
);

unsafe extern "C" {
    static home_vectors: u8;

    /// # Safety
    ///
    /// Where it leads must not write this program's memory.
    fn go_out(home: *mut Home) -> u64;
}

/// From now on all exceptions of this CPU lead home.
pub(crate) fn settle() {
    VBAR_EL2.set((&raw const home_vectors) as u64);
}

/// Goes out from CPU `cpu`, this one, with the registers in `home`, which gets what ended it. Returns which of the sixteen
/// vectors that was.
pub(crate) fn strike(cpu: usize, home: &mut Home) -> u64 {
    let mine = (&raw mut HOMES).cast::<Home>().wrapping_add(cpu);
    // SAFETY: a CPU uses its own home alone. Addresses that are drawn are not of this program's memory, and code that
    // could compute others is confined by a stage 2.
    unsafe {
        ptr::write(mine, *home);
        let vector = go_out(mine);
        *home = ptr::read(mine);
        vector
    }
}

/// An exception while the CPU was here.
extern "C" fn unexpected(vector: u64) -> ! {
    println!(
        "P FAIL an exception of this program's own: vector {vector}, ESR_EL2 {:#x}, ELR_EL2 {:#x}",
        bare::sysreg::ESR_EL2.get(),
        bare::sysreg::ELR_EL2.get()
    );
    bare::psci::power_off()
}
