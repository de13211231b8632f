//! Vectors that do nothing but return: the least that L1 can do about an exception.

use core::arch::global_asm;

use bare::sysreg::VBAR_EL2;

// A program that wants the exception to be over at once has x9 = 1; anything else goes where it would go without.
global_asm!(
    "    .section .text.vectors, \"ax\"",
    "    .balign 2048",
    "returning_vectors:",
    "    .irp slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "    .balign 128",
    "    cmp x9, #1",
    "    b.ne exception_vectors + 128 * \\slot",
    "    eret",
    "    .endr",
    "    .balign 128",
);

unsafe extern "C" {
    static returning_vectors: u8;
}

/// Does `work` with these vectors.
pub(crate) fn while_returning<T>(work: impl FnOnce() -> T) -> T {
    let usual = VBAR_EL2.get();
    VBAR_EL2.set((&raw const returning_vectors) as u64);
    let result = work();
    VBAR_EL2.set(usual);
    result
}
