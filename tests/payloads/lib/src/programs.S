/*
 * What runs in an L2: one page that L1 maps into it, position independent, at EL1 with stage 1 off. A program takes
 * its arguments in registers and ends with HVC #0, again and again if it is entered again.
 *
 * The second half are the L2's exception vectors, each of which reports itself: HVC #(0x10 + vector).
 */

    .section .text.programs, "ax"
    .balign 4096
    .global l2_programs
l2_programs:

/* Nothing but the HVC. */
    .global l2_idle
l2_idle:
0:  hvc     #0
    b       0b

/* x1 = the word at x0 */
    .global l2_load
l2_load:
    ldr     x1, [x0]
    hvc     #0
    b       l2_load

/* the word at x0 = x1 */
    .global l2_store
l2_store:
    str     x1, [x0]
    hvc     #0
    b       l2_store

/* One load every x2 bytes from x0 to x1, which is not below; x3 = how many. */
    .global l2_stride
l2_stride:
    mov     x3, xzr
0:  ldr     x4, [x0]
    add     x3, x3, #1
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    0b
    hvc     #0
    b       l2_stride

/* Never exits. */
    .global l2_spin
l2_spin:
    b       l2_spin

/* For an L2 at a virtual EL2. The registers go by encoding. */

/* TPIDR_EL2 = x1; ELR_EL2 = x2 */
    .global l2_hyp_write
l2_hyp_write:
    msr     S3_4_C13_C0_2, x1
    msr     S3_4_C4_C0_1, x2
    hvc     #0
    b       l2_hyp_write

/* CONTEXTIDR_EL1 = x1 */
    .global l2_hyp_el1
l2_hyp_el1:
    msr     CONTEXTIDR_EL1, x1
    hvc     #0
    b       l2_hyp_el1

/* x1 = TPIDR_EL2, x2 = ELR_EL2, x3 = CurrentEL */
    .global l2_hyp_read
l2_hyp_read:
    mrs     x1, S3_4_C13_C0_2
    mrs     x2, S3_4_C4_C0_1
    mrs     x3, CurrentEL
    hvc     #0
    b       l2_hyp_read

/* TPIDR_EL2 = x1 and more, for ever */
    .global l2_hyp_count
l2_hyp_count:
    add     x1, x1, #1
    msr     S3_4_C13_C0_2, x1
    b       l2_hyp_count

/* SCTLR_EL2 = x1, which is in no memory */
    .global l2_hyp_trap
l2_hyp_trap:
    msr     S3_4_C1_C0_0, x1
    hvc     #0
    b       l2_hyp_trap

/* TLBI ALLE2 */
    .global l2_hyp_tlbi
l2_hyp_tlbi:
    tlbi    alle2
    hvc     #0
    b       l2_hyp_tlbi

/* AT S1E1R of x1 */
    .global l2_hyp_at
l2_hyp_at:
    at      s1e1r, x1
    hvc     #0
    b       l2_hyp_at

/* ERET */
    .global l2_hyp_eret
l2_hyp_eret:
    eret

/* An exception that EL1 takes itself, whose vector is an HVC. */
    .global l2_svc
l2_svc:
    svc     #0
    b       l2_svc

/* x0 = what firmware answers to x0 to x3 */
    .global l2_smc
l2_smc:
    smc     #0
    hvc     #0
    b       l2_smc

    .balign 2048
    .irp    slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    .balign 128
0:  hvc     #(0x10 + \slot)
    b       0b
    .endr
    .balign 2048
