/*
 * The first instructions of every CPU.
 *
 * The image is entered like Linux (arm64 boot protocol): MMU and caches off, x0 = device tree, or zero when QEMU
 * loaded the ELF. No Rust runs with the MMU off, because Rust may assume that memory is Normal: the boot CPU
 * turns it on over a static identity map of two 1 GiB blocks, the others over the final tables.
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
    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.ne    wrong_exception_level

    // Where we run must be where we were linked: everything but this file uses absolute addresses.
    adr     x1, _start
    ldr     x2, =_start
    cmp     x1, x2
    b.ne    wrong_address

    // From the last word to the first, for the file has .data below its place, and the two may overlap.
    adrp    x1, __data_start
    adrp    x2, __data_end
    add     x2, x2, :lo12:__data_end
    adrp    x3, __data_load_end
    add     x3, x3, :lo12:__data_load_end
0:  cmp     x2, x1
    b.ls    1f
    ldp     x4, x5, [x3, #-16]!
    stp     x4, x5, [x2, #-16]!
    b       0b
1:
    // The end is a page's; the start is not, and .data comes right before it.
    adrp    x1, __bss_start
    add     x1, x1, :lo12:__bss_start
    adrp    x2, __bss_end
0:  cmp     x1, x2
    b.hs    1f
    stp     xzr, xzr, [x1], #16
    b       0b
1:
    adrp    x0, boot_level0
    adrp    x1, boot_level1
    orr     x2, x1, #3
    str     x2, [x0]
    ldr     x2, ={device_block}
    ldr     x3, =0x40000000 + {memory_block}
    stp     x2, x3, [x1]
    bl      enable_mmu
    msr     SPSel, #1
    adrp    x1, __stacks_start
    ldr     x2, =__stack_stride
    add     x1, x1, x2
    mov     sp, x1
    mov     x0, xzr
    bl      note_emergency_stack
    mov     x0, x20
    mov     x29, xzr
    bl      {primary_main}
    b       .

/* PSCI CPU_ON enters here, at EL2 with the MMU off; x0 = the CPU's number. */
    .global secondary_entry
secondary_entry:
    mov     x20, x0
    adrp    x3, {secondary_ttbr0}
    ldr     x0, [x3, :lo12:{secondary_ttbr0}]
    bl      enable_mmu
    msr     SPSel, #1
    adrp    x1, __stacks_start
    ldr     x2, =__stack_stride
    madd    x1, x2, x20, x1
    add     x1, x1, x2
    mov     sp, x1
    mov     x0, x20
    bl      note_emergency_stack
    mov     x0, x20
    mov     x29, xzr
    bl      {secondary_main}
    b       .

/* x0 = the CPU's number. Keeps the end of its emergency stack where the vectors need no other register to find it. A CPU
   without FEAT_Debugv8p2 may have no such register; on that one boot gets no further than to say so. */
note_emergency_stack:
    mrs     x1, ID_AA64DFR0_EL1
    and     x1, x1, #0xf                // DebugVer
    cmp     x1, #8
    b.lo    1f
    adrp    x1, __emergency_stacks_start
    ldr     x2, =__emergency_stride
    madd    x1, x2, x0, x1
    add     x1, x1, x2
    msr     S3_4_C13_C0_1, x1           // CONTEXTIDR_EL2
    isb
1:  ret

/* x0 = TTBR0_EL2. Returns with MMU and caches on and the vectors in place. */
enable_mmu:
    ldr     x1, ={tcr}
    ldr     x2, ={mair}
    msr     HCR_EL2, xzr
    msr     MAIR_EL2, x2
    msr     TCR_EL2, x1
    msr     TTBR0_EL2, x0
    adrp    x3, exception_vectors
    add     x3, x3, :lo12:exception_vectors
    msr     VBAR_EL2, x3
    dsb     sy
    isb
    tlbi    alle2
    dsb     sy
    isb
    ldr     x3, ={sctlr}
    msr     SCTLR_EL2, x3
    isb
    ret

/* Nothing is known about the machine yet but that it is QEMU's virt board: its first UART says what is wrong. */
wrong_exception_level:
    adr     x1, 3f
    b       2f
wrong_address:
    adr     x1, 4f
2:  mov     x2, #0x09000000
0:  ldrb    w3, [x1], #1
    cbz     w3, 1f
    str     w3, [x2]
    b       0b
1:  ldr     w0, =0x84000008             // PSCI SYSTEM_OFF, by whichever conduit this level has
    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.eq    5f
    hvc     #0
5:  smc     #0
6:  wfi
    b       6b
3:  .asciz  "gnomon: error: not entered at EL2: start QEMU with -machine virt,virtualization=on,gic-version=3\r\n"
4:  .asciz  "gnomon: error: not loaded at the address it is linked for: start it with QEMU's -kernel on the virt machine\r\n"
    .balign 8
    .ltorg

/* Identity map for the first instructions: the devices' GiB, and the GiB of RAM that holds the image. */
    .section .bss.boot_table, "aw", %nobits
    .balign 4096
boot_level0:
    .skip   4096
boot_level1:
    .skip   4096
