/*
 * The first instructions of a payload, on every CPU.
 *
 * Entered by Linux's boot protocol at EL2, virtual or real, with MMU and caches off: x0 = device tree. HCR_EL2.E2H is
 * set to what it is under gnomon anyway, so that both runs are alike.
 */

    .section .head, "ax"
    .global _start
_start:
    b       primary_entry
    .long   0
    .quad   0                           // text_offset: from a 2 MiB boundary
    .quad   __image_bytes               // image_size: with .bss and stacks
    .quad   0xa                         // flags: little-endian, 4K pages, anywhere in RAM
    .quad   0
    .quad   0
    .quad   0
    .ascii  "ARM\x64"
    .long   0

primary_entry:
    mov     x20, x0
    // To where we are linked.
    adr     x1, _start
    ldr     x2, =_start
    cmp     x1, x2
    b.eq    in_place
    ldr     x3, =__file_end
0:  ldp     x4, x5, [x1], #16
    stp     x4, x5, [x2], #16
    cmp     x2, x3
    b.lo    0b
    dsb     sy
    ic      iallu
    dsb     sy
    isb
    ldr     x1, =in_place
    br      x1

in_place:
    ldr     x1, =__bss_start
    ldr     x2, =__bss_end
0:  cmp     x1, x2
    b.hs    1f
    stp     xzr, xzr, [x1], #16
    b       0b

    // The identity map: one table of level 1, 1 GiB blocks. The first GiB is devices; RAM begins with the second, and
    // nobody touches what is not there.
1:  ldr     x0, =__translation_table
    ldr     x1, ={device_block}
    str     x1, [x0], #8
    ldr     x1, ={memory_block}
    mov     x2, #(1 << 30)
    mov     x3, #255
0:  add     x1, x1, x2
    str     x1, [x0], #8
    subs    x3, x3, #1
    b.ne    0b
    bl      enable_mmu
    mov     x0, xzr
    bl      set_stack
    mov     x0, x20
    bl      {primary_main}
    b       .

/* PSCI CPU_ON enters here with x0 = the CPU's number. */
    .global secondary_entry
secondary_entry:
    mov     x20, x0
    bl      enable_mmu
    mov     x0, x20
    bl      set_stack
    mov     x0, x20
    bl      {secondary_main}
    b       .

/* x0 = the CPU's number */
set_stack:
    ldr     x1, =__stacks_start
    ldr     x2, =__stack_bytes
    madd    x1, x2, x0, x1
    add     sp, x1, x2
    mov     x29, xzr
    ret

enable_mmu:
    ldr     x0, ={hcr}
    msr     HCR_EL2, x0
    isb
    msr     SPSel, #1
    ldr     x0, =exception_vectors
    msr     VBAR_EL2, x0
    ldr     x0, ={mair}
    msr     MAIR_EL2, x0
    ldr     x0, ={tcr}
    msr     TCR_EL2, x0
    ldr     x0, =__translation_table
    msr     TTBR0_EL2, x0
    msr     TPIDR_EL2, xzr
    dsb     sy
    isb
    tlbi    alle2
    dsb     sy
    isb
    ldr     x0, ={sctlr}
    msr     SCTLR_EL2, x0
    isb
    ret
    .ltorg
