/*
 * EL2's vectors, and the way to an L2 and back.
 *
 * TPIDR_EL2 is the L2's registers from `enter_l2` until its exit, and zero otherwise. An exception from EL2 itself
 * while it is not zero is an ERET that did not arrive: that is an exit, too.
 */

    .macro vector kind
    .balign 128
    stp     x0, x1, [sp, #-16]!
    mov     x1, #\kind
    b       leave_l2
    .endm

    .section .text.vectors, "ax"
    .balign 2048
    .global exception_vectors
exception_vectors:
    vector {kind_self}
    vector {kind_self}
    vector {kind_self}
    vector {kind_self}
    vector {kind_self}
    vector {kind_self}
    vector {kind_self}
    vector {kind_self}
    vector {kind_sync}
    vector {kind_irq}
    vector {kind_irq}
    vector {kind_serror}
    vector {kind_sync}
    vector {kind_irq}
    vector {kind_irq}
    vector {kind_serror}

/* x1 = the kind of exit; the guest's x0 and x1 are on the stack. Returns from `enter_l2` with the kind. */
leave_l2:
    mrs     x0, TPIDR_EL2
    cbz     x0, {unexpected_exception}
    stp     x2, x3, [x0, #16 * 1]
    stp     x4, x5, [x0, #16 * 2]
    stp     x6, x7, [x0, #16 * 3]
    stp     x8, x9, [x0, #16 * 4]
    stp     x10, x11, [x0, #16 * 5]
    stp     x12, x13, [x0, #16 * 6]
    stp     x14, x15, [x0, #16 * 7]
    stp     x16, x17, [x0, #16 * 8]
    stp     x18, x19, [x0, #16 * 9]
    stp     x20, x21, [x0, #16 * 10]
    stp     x22, x23, [x0, #16 * 11]
    stp     x24, x25, [x0, #16 * 12]
    stp     x26, x27, [x0, #16 * 13]
    stp     x28, x29, [x0, #16 * 14]
    str     x30, [x0, #16 * 15]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    msr     TPIDR_EL2, xzr
    mov     x0, x1
    ldp     x19, x20, [sp, #16 * 0]
    ldp     x21, x22, [sp, #16 * 1]
    ldp     x23, x24, [sp, #16 * 2]
    ldp     x25, x26, [sp, #16 * 3]
    ldp     x27, x28, [sp, #16 * 4]
    ldp     x29, x30, [sp, #16 * 5]
    add     sp, sp, #16 * 6
    ret

/* x0 = the L2's x0 to x30: ERET with them. Returns the kind of exit. */
    .global enter_l2
enter_l2:
    sub     sp, sp, #16 * 6
    stp     x19, x20, [sp, #16 * 0]
    stp     x21, x22, [sp, #16 * 1]
    stp     x23, x24, [sp, #16 * 2]
    stp     x25, x26, [sp, #16 * 3]
    stp     x27, x28, [sp, #16 * 4]
    stp     x29, x30, [sp, #16 * 5]
    msr     TPIDR_EL2, x0
    ldp     x2, x3, [x0, #16 * 1]
    ldp     x4, x5, [x0, #16 * 2]
    ldp     x6, x7, [x0, #16 * 3]
    ldp     x8, x9, [x0, #16 * 4]
    ldp     x10, x11, [x0, #16 * 5]
    ldp     x12, x13, [x0, #16 * 6]
    ldp     x14, x15, [x0, #16 * 7]
    ldp     x16, x17, [x0, #16 * 8]
    ldp     x18, x19, [x0, #16 * 9]
    ldp     x20, x21, [x0, #16 * 10]
    ldp     x22, x23, [x0, #16 * 11]
    ldp     x24, x25, [x0, #16 * 12]
    ldp     x26, x27, [x0, #16 * 13]
    ldp     x28, x29, [x0, #16 * 14]
    ldr     x30, [x0, #16 * 15]
    ldp     x0, x1, [x0]
    eret
