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

    .balign 4096
