//! Registers that `bare` has no use for, by encoding.

use core::arch::asm;

macro_rules! system_registers {
    ($($(#[$doc:meta])* $name:ident = $encoding:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        #[allow(dead_code, reason = "some registers are only read or only written")]
        impl $name {
            /// Reads the register.
            pub(crate) fn get() -> u64 {
                let value;
                // SAFETY: reading one of the registers listed here has no effect on memory.
                unsafe { asm!(concat!("mrs {}, ", $encoding), out(reg) value, options(nostack, preserves_flags)) }
                value
            }

            /// Writes the register; the effect is there before the next statement.
            pub(crate) fn set(value: u64) {
                // SAFETY: the registers listed here are about vectors, counters and interrupts, which nothing else here uses.
                unsafe { asm!(concat!("msr ", $encoding, ", {}"), "isb", in(reg) value, options(nostack, preserves_flags)) }
            }
        }
    )*};
}

system_registers! {
    /// `ID_AA64PFR0_EL1`
    Pfr0 = "S3_0_C0_C4_0";
    /// `ID_AA64ZFR0_EL1`
    Zfr0 = "S3_0_C0_C4_4";
    /// `ID_AA64DFR0_EL1`
    Dfr0 = "S3_0_C0_C5_0";
    /// `MDCR_EL2`
    MdcrEl2 = "S3_4_C1_C1_1";
    /// `PMCR_EL0`
    PmCr = "S3_3_C9_C12_0";
    /// `PMCNTENSET_EL0`
    PmCntenset = "S3_3_C9_C12_1";
    /// `PMCNTENCLR_EL0`
    PmCntenclr = "S3_3_C9_C12_2";
    /// `PMOVSCLR_EL0`
    PmOvsclr = "S3_3_C9_C12_3";
    /// `PMSWINC_EL0`
    PmSwinc = "S3_3_C9_C12_4";
    /// `PMSELR_EL0`
    PmSelr = "S3_3_C9_C12_5";
    /// `PMCCNTR_EL0`
    PmCcntr = "S3_3_C9_C13_0";
    /// `PMXEVTYPER_EL0`
    PmXevtyper = "S3_3_C9_C13_1";
    /// `PMXEVCNTR_EL0`
    PmXevcntr = "S3_3_C9_C13_2";
    /// `PMOVSSET_EL0`
    PmOvsset = "S3_3_C9_C14_3";
    /// `PMINTENSET_EL1`
    PmIntenset = "S3_0_C9_C14_1";
    /// `PMINTENCLR_EL1`
    PmIntenclr = "S3_0_C9_C14_2";
    /// `PMEVCNTR0_EL0`
    PmEvcntr0 = "S3_3_C14_C8_0";
    /// `PMEVTYPER0_EL0`
    PmEvtyper0 = "S3_3_C14_C12_0";
    /// `PMCCFILTR_EL0`
    PmCcfiltr = "S3_3_C14_C15_7";
    /// `ICC_IAR1_EL1`
    IccIar1 = "S3_0_C12_C12_0";
    /// `ICC_EOIR1_EL1`
    IccEoir1 = "S3_0_C12_C12_1";
    /// `ICC_PMR_EL1`
    IccPmr = "S3_0_C4_C6_0";
    /// `ICC_IGRPEN1_EL1`
    IccIgrpen1 = "S3_0_C12_C12_7";
    /// `CPTR_EL2`
    CptrEl2 = "S3_4_C1_C1_2";
    /// `CPACR_EL12`
    CpacrEl12 = "S3_5_C1_C0_2";
    /// `ZCR_EL2`
    ZcrEl2 = "S3_4_C1_C2_0";
    /// `ZCR_EL1`, which with `E2H` = 1 is another name for `ZCR_EL2`.
    ZcrEl1 = "S3_0_C1_C2_0";
    /// `ZCR_EL1` of the guest
    ZcrEl12 = "S3_5_C1_C2_0";
}
