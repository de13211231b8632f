/*
 * What runs in the guest: one page, position independent, at EL1 with stage 1 off. A program takes an argument in x0,
 * leaves what it found in x1 to x3, and ends with HVC #0.
 */

    .section .text.features, "ax"
    .balign 4096
    .global features_programs
features_programs:

/* ZCR_EL1 = x0, unless that is -1; x1 = ZCR_EL1, x2 = bytes of a vector. */
    .global l2_vector_length
l2_vector_length:
    cmn     x0, #1
    b.eq    0f
    msr     S3_0_C1_C2_0, x0
    isb
0:  mrs     x1, S3_0_C1_C2_0
    .inst   0x04bf5022                  /* rdvl x2, #1 */
    hvc     #0

/* Goes round x0 times. */
    .global l2_loop
l2_loop:
    subs    x0, x0, #1
    b.ne    l2_loop
    hvc     #0

/* x1 = PMCR_EL0, PMCNTENCLR_EL0 = x0, x2 = what is left of it, x3 = PMCEID0_EL0 */
    .global l2_monitors
l2_monitors:
    mrs     x1, S3_3_C9_C12_0
    msr     S3_3_C9_C12_2, x0
    isb
    mrs     x2, S3_3_C9_C12_1
    mrs     x3, S3_3_C9_C12_6
    hvc     #0

    .balign 4096
