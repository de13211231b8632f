//! System registers that `aarch64-cpu` lacks, with its interface: `NAME.get()`, `NAME.set(value)`.
//!
//! They are named by encoding, so that the assembler needs no feature switched on for them.

use core::arch::asm;

pub use aarch64_cpu::registers::*;

macro_rules! system_registers {
    ($($(#[$doc:meta])* $name:ident = $encoding:literal;)*) => {$(
        #[doc = concat!("The register `", stringify!($name), "`.")]
        $(#[$doc])*
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, reason = "Arm ARM spelling")]
        pub struct $name;

        #[allow(dead_code, reason = "some registers are only read or only written")]
        impl $name {
            /// Reads the register.
            #[inline(always)]
            pub fn get(self) -> u64 {
                let value;
                // SAFETY: reading one of the registers listed here has no effect on memory.
                unsafe { asm!(concat!("mrs {}, ", $encoding), out(reg) value, options(nostack, preserves_flags)) }
                value
            }

            /// Writes the register.
            #[inline(always)]
            pub fn set(self, value: u64) {
                // SAFETY: the registers listed here govern guests and interrupts, not EL2's own translation.
                unsafe { asm!(concat!("msr ", $encoding, ", {}"), in(reg) value, options(nostack, preserves_flags)) }
            }
        }
    )*};
}

system_registers! {
    VPIDR_EL2 = "S3_4_C0_C0_0";
    ZCR_EL1 = "S3_0_C1_C2_0";
    ZCR_EL2 = "S3_4_C1_C2_0";
    HSTR_EL2 = "S3_4_C1_C1_3";
    HFGRTR_EL2 = "S3_4_C1_C1_4";
    HFGWTR_EL2 = "S3_4_C1_C1_5";
    HFGITR_EL2 = "S3_4_C1_C1_6";
    HDFGRTR_EL2 = "S3_4_C3_C1_4";
    HDFGWTR_EL2 = "S3_4_C3_C1_5";
    HCRX_EL2 = "S3_4_C1_C2_2";
    VSESR_EL2 = "S3_4_C5_C2_3";
    VDISR_EL2 = "S3_4_C12_C1_1";
    VNCR_EL2 = "S3_4_C2_C2_0";
    CNTHP_CVAL_EL2 = "S3_4_C14_C2_2";
    CNTHP_CTL = "S3_4_C14_C2_1";
    CNTHV_CVAL_EL2 = "S3_4_C14_C3_2";
    CNTHV_CTL = "S3_4_C14_C3_1";
    PMCR_EL0 = "S3_3_C9_C12_0";
    PMCNTENSET_EL0 = "S3_3_C9_C12_1";
    PMCNTENCLR_EL0 = "S3_3_C9_C12_2";
    PMOVSCLR_EL0 = "S3_3_C9_C12_3";
    PMSWINC_EL0 = "S3_3_C9_C12_4";
    PMSELR_EL0 = "S3_3_C9_C12_5";
    PMCEID0_EL0 = "S3_3_C9_C12_6";
    PMCEID1_EL0 = "S3_3_C9_C12_7";
    PMCCNTR_EL0 = "S3_3_C9_C13_0";
    PMXEVTYPER_EL0 = "S3_3_C9_C13_1";
    PMXEVCNTR_EL0 = "S3_3_C9_C13_2";
    PMUSERENR_EL0 = "S3_3_C9_C14_0";
    PMOVSSET_EL0 = "S3_3_C9_C14_3";
    PMINTENSET_EL1 = "S3_0_C9_C14_1";
    PMINTENCLR_EL1 = "S3_0_C9_C14_2";
    PMMIR_EL1 = "S3_0_C9_C14_6";
    APIAKEYLO_EL1 = "S3_0_C2_C1_0";
    APIAKEYHI_EL1 = "S3_0_C2_C1_1";
    APIBKEYLO_EL1 = "S3_0_C2_C1_2";
    APIBKEYHI_EL1 = "S3_0_C2_C1_3";
    APGAKEYLO_EL1 = "S3_0_C2_C3_0";
    APGAKEYHI_EL1 = "S3_0_C2_C3_1";
    DCZID_EL0 = "S3_3_C0_C0_7";
    ICC_PMR_EL1 = "S3_0_C4_C6_0";
    /// Acknowledges the most urgent pending group 1 interrupt.
    ICC_IAR1_EL1 = "S3_0_C12_C12_0";
    /// Drops the running priority; with `EOImode` 1 the interrupt stays active.
    ICC_EOIR1_EL1 = "S3_0_C12_C12_1";
    ICC_BPR1_EL1 = "S3_0_C12_C12_3";
    ICC_CTLR = "S3_0_C12_C12_4";
    ICC_SRE_EL1 = "S3_0_C12_C12_5";
    ICC_SRE = "S3_4_C12_C9_5";
    ICC_IGRPEN1_EL1 = "S3_0_C12_C12_7";
    /// Deactivates an interrupt.
    ICC_DIR_EL1 = "S3_0_C12_C11_1";
    ICC_SGI1R_EL1 = "S3_0_C12_C11_5";
}

/// Reads any register of the ID space (`op0` 3, `op1` 0, `CRn` 0, `CRm` 1 to 7) by `CRm` and `op2`.
pub fn read_id_register(crm: u8, op2: u8) -> u64 {
    macro_rules! row {
        ($crm:literal: $($op2:literal)*) => {
            match op2 {
                $($op2 => {
                    let value: u64;
                    // SAFETY: every encoding of the ID space can be read at EL2; reserved ones read as zero.
                    unsafe {
                        asm!(concat!("mrs {}, S3_0_C0_C", $crm, "_", $op2), out(reg) value, options(nostack, nomem, preserves_flags));
                    }
                    value
                })*
                _ => 0,
            }
        };
    }
    match crm {
        4 => row!(4: 0 1 2 3 4 5 6 7),
        5 => row!(5: 0 1 2 3 4 5 6 7),
        6 => row!(6: 0 1 2 3 4 5 6 7),
        7 => row!(7: 0 1 2 3 4 5 6 7),
        _ => 0,
    }
}
