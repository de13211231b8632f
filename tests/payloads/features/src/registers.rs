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
                // SAFETY: the registers listed here are about vectors and counters, which this program does not use.
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
