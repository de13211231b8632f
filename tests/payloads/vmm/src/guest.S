/*
 * The guests' one page of code. x4 is the mailbox, x5 where to go on; both are set by whoever runs the guest.
 */

    .pushsection .rodata.guest, "a"
    .balign 4096
guest_begin:
mailbox:
    str     x0, [x4]
guest_next:
    br      x5

guest_read:
    mov     x0, xzr
1:  ldr     x6, [x1]
    eor     x0, x0, x6
    add     x1, x1, x3
    cmp     x1, x2
    b.lo    1b
    b       mailbox

guest_write:
    mov     x0, xzr
1:  str     x1, [x1]
    add     x1, x1, x3
    cmp     x1, x2
    b.lo    1b
    b       mailbox

guest_call:
    mov     x0, xzr
1:  blr     x1
    add     x1, x1, x3
    cmp     x1, x2
    b.lo    1b
    b       mailbox

guest_hypercall:
    mov     x7, x2
1:  mov     w0, #0x84000000             // PSCI_VERSION
    hvc     #0
    subs    x7, x7, #1
    b.ne    1b
    b       mailbox

guest_spin:
    b       guest_spin

/* What counts: x20 and x21 are the counter before and after, x10 is the least number, x11 the sum. */
    .macro  clear
    mov     x10, #-1
    mov     x11, xzr
    .endm

    .macro  take
    sub     x21, x21, x20
    sub     x21, x21, #1
    add     x11, x11, x21
    cmp     x21, x10
    csel    x10, x21, x10, lo
    .endm

guest_count_hypercall:
    clear
    mov     x7, x2
1:  mov     w0, #0x84000000             // PSCI_VERSION
    mrs     x20, cntvct_el0
    hvc     #0
    mrs     x21, cntvct_el0
    take
    subs    x7, x7, #1
    b.ne    1b
    b       report

guest_count_id_register:
    clear
1:  mrs     x20, cntvct_el0
    mrs     x0, id_aa64mmfr0_el1
    mrs     x21, cntvct_el0
    take
    subs    x2, x2, #1
    b.ne    1b
    b       report

guest_count_load:
    clear
1:  mrs     x20, cntvct_el0
    ldr     w6, [x1]
    mrs     x21, cntvct_el0
    take
    subs    x2, x2, #1
    b.ne    1b
    b       report

guest_count_write:
    clear
1:  mrs     x20, cntvct_el0
    str     x1, [x1]
    mrs     x21, cntvct_el0
    take
    add     x1, x1, x3
    cmp     x1, x2
    b.lo    1b
    b       report

/* The handler leaves the counter in x21, and 1 in x23. */
guest_count_sgi:
    clear
    bl      take_interrupts
1:  mov     x23, xzr
    mov     x24, #1                     // INTID 0, to affinity 0
    mrs     x20, cntvct_el0
    msr     S3_0_C12_C11_5, x24         // ICC_SGI1R_EL1
2:  cbz     x23, 2b
    take
    subs    x2, x2, #1
    b.ne    1b
    b       report

guest_count_timer:
    clear
    bl      take_interrupts
1:  bl      start_timer
2:  cbz     x23, 2b
    take
    subs    x2, x2, #1
    b.ne    1b
    b       report

guest_count_wait:
    clear
    bl      take_interrupts
1:  bl      start_timer
2:  wfi
    cbz     x23, 2b
    take
    subs    x2, x2, #1
    b.ne    1b

report:
    str     x10, [x4]
    mov     x0, x11
    b       mailbox

/* The virtual timer, x3 ticks from now; x20 = the deadline. */
start_timer:
    mov     x23, xzr
    mov     x24, #1
    mrs     x20, cntvct_el0
    add     x20, x20, x3
    msr     cntv_cval_el0, x20
    msr     cntv_ctl_el0, x24
    isb
    ret

/* SGIs, and the virtual timer's interrupt, 27, from now on. */
take_interrupts:
    mov     x24, #{gicd}
    mov     w25, #2                     // EnableGrp1
    str     w25, [x24]                  // GICD_CTLR
    mov     x24, #{gicr}
    add     x24, x24, #0x10, lsl #12
    mov     w25, #0xffff
    movk    w25, #0x800, lsl #16
    str     w25, [x24, #0x100]          // GICR_ISENABLER0
    mov     x25, #0xff
    msr     S3_0_C4_C6_0, x25           // ICC_PMR_EL1
    mov     x25, #1
    msr     S3_0_C12_C12_7, x25         // ICC_IGRPEN1_EL1
    adr     x25, guest_vectors
    msr     vbar_el1, x25
    isb
    msr     daifclr, #2
    ret

/* Nothing but interrupts, from EL1 with its own stack pointer, has a handler. */
    .balign 2048
guest_vectors:
    .skip   0x280
    mrs     x21, cntvct_el0
    mrs     x24, S3_0_C12_C12_0         // ICC_IAR1_EL1
    msr     cntv_ctl_el0, xzr
    msr     S3_0_C12_C12_1, x24         // ICC_EOIR1_EL1
    mov     x23, #1
    eret
guest_end:
    .popsection
