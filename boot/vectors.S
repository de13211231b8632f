/*
 * EL2's exception vectors.
 *
 * gnomon runs with interrupts masked from the first instruction to the last, so an exception from EL2 itself is a
 * defect and goes to the fault handler, with all registers as a `Fault` on a stack of its own. An exception from a
 * guest saves the general-purpose registers, ELR_EL2 and SPSR_EL2 as a `GuestFrame` on the CPU's stack, which is empty
 * while the guest runs.
 */

    .macro save_guest
    stp     x0, x1, [sp, #-{frame_bytes}]!
    stp     x2, x3, [sp, #16 * 1]
    stp     x4, x5, [sp, #16 * 2]
    stp     x6, x7, [sp, #16 * 3]
    stp     x8, x9, [sp, #16 * 4]
    stp     x10, x11, [sp, #16 * 5]
    stp     x12, x13, [sp, #16 * 6]
    stp     x14, x15, [sp, #16 * 7]
    stp     x16, x17, [sp, #16 * 8]
    stp     x18, x19, [sp, #16 * 9]
    stp     x20, x21, [sp, #16 * 10]
    stp     x22, x23, [sp, #16 * 11]
    stp     x24, x25, [sp, #16 * 12]
    stp     x26, x27, [sp, #16 * 13]
    stp     x28, x29, [sp, #16 * 14]
    mrs     x1, ELR_EL2
    mrs     x2, SPSR_EL2
    stp     x30, x1, [sp, #{frame_x30}]
    str     x2, [sp, #{frame_spsr}]
    mov     x0, sp
    mov     x29, xzr
    .endm

    .macro from_guest handler
    .balign 128
    save_guest
    bl      \handler
    b       resume_guest
    .endm

    /* SP may be anything. SP_EL0 is the guest's, which is lost with this CPU. */
    .macro from_self vector
    .balign 128
    msr     SP_EL0, x0
    mrs     x0, S3_4_C13_C0_1           // CONTEXTIDR_EL2
    sub     x0, x0, #{fault_bytes}
    stp     x1, x2, [x0, #8 * 1]
    mov     x1, sp
    mov     x2, #\vector
    stp     x1, x2, [x0, #{fault_sp}]
    mov     sp, x0
    b       save_fault
    .endm

    .section .text.vectors, "ax"
    .balign 2048
    .global exception_vectors
exception_vectors:
    from_self 0
    from_self 1
    from_self 2
    from_self 3
    from_self 0
    from_self 1
    from_self 2
    from_self 3
    from_guest {guest_sync}
    from_guest {guest_irq}
    from_guest {guest_irq}
    from_guest {guest_serror}
    from_guest {guest_aarch32}
    from_guest {guest_irq}
    from_guest {guest_irq}
    from_guest {guest_serror}

save_fault:
    stp     x3, x4, [sp, #8 * 3]
    stp     x5, x6, [sp, #8 * 5]
    stp     x7, x8, [sp, #8 * 7]
    stp     x9, x10, [sp, #8 * 9]
    stp     x11, x12, [sp, #8 * 11]
    stp     x13, x14, [sp, #8 * 13]
    stp     x15, x16, [sp, #8 * 15]
    stp     x17, x18, [sp, #8 * 17]
    stp     x19, x20, [sp, #8 * 19]
    stp     x21, x22, [sp, #8 * 21]
    stp     x23, x24, [sp, #8 * 23]
    stp     x25, x26, [sp, #8 * 25]
    stp     x27, x28, [sp, #8 * 27]
    stp     x29, x30, [sp, #8 * 29]
    mrs     x1, SP_EL0
    str     x1, [sp]
    mov     x0, sp
    mov     x29, xzr
    bl      {el2_fault}
    b       .

/* Takes the frame at SP and goes to the guest. */
resume_guest:
    ldp     x30, x1, [sp, #{frame_x30}]
    ldr     x2, [sp, #{frame_spsr}]
    msr     ELR_EL2, x1
    msr     SPSR_EL2, x2
    ldp     x2, x3, [sp, #16 * 1]
    ldp     x4, x5, [sp, #16 * 2]
    ldp     x6, x7, [sp, #16 * 3]
    ldp     x8, x9, [sp, #16 * 4]
    ldp     x10, x11, [sp, #16 * 5]
    ldp     x12, x13, [sp, #16 * 6]
    ldp     x14, x15, [sp, #16 * 7]
    ldp     x16, x17, [sp, #16 * 8]
    ldp     x18, x19, [sp, #16 * 9]
    ldp     x20, x21, [sp, #16 * 10]
    ldp     x22, x23, [sp, #16 * 11]
    ldp     x24, x25, [sp, #16 * 12]
    ldp     x26, x27, [sp, #16 * 13]
    ldp     x28, x29, [sp, #16 * 14]
    ldp     x0, x1, [sp], #{frame_bytes}
    eret

/* x0 = &GuestFrame to start from, x1 = the empty stack of this CPU: does not return. */
    .global enter_guest
enter_guest:
    sub     x1, x1, #{frame_bytes}
    mov     x2, #{frame_bytes}
0:  sub     x2, x2, #8
    ldr     x3, [x0, x2]
    str     x3, [x1, x2]
    cbnz    x2, 0b
    mov     sp, x1
    b       resume_guest

/* x0 = function(x1), x2 = the empty stack of this CPU: restarts a CPU's Rust code on that stack, does not return. */
    .global run_on_stack
run_on_stack:
    mov     sp, x2
    mov     x29, xzr
    mov     x3, x0
    mov     x0, x1
    br      x3
