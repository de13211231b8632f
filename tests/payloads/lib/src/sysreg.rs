//! System registers, by encoding, so that the assembler needs no feature switched on for them.
#![expect(unsafe_code, reason = "registers are reached by instructions")]

use core::arch::asm;

macro_rules! system_registers {
    ($($name:ident = $encoding:expr;)*) => {$(
        #[doc = concat!("The register `", stringify!($name), "`.")]
        #[derive(Clone, Copy, Debug)]
        #[expect(non_camel_case_types, reason = "Arm ARM spelling")]
        pub struct $name;

        impl $name {
            /// Reads the register.
            #[must_use]
            pub fn get(self) -> u64 {
                let value;
                // SAFETY: reading one of the registers listed here has no effect on memory.
                unsafe { asm!(concat!("mrs {}, ", $encoding), out(reg) value, options(nostack, preserves_flags)) }
                value
            }

            /// Writes the register; the effect is there before the next statement.
            pub fn set(self, value: u64) {
                // SAFETY: the registers listed here govern the guest, or exceptions that no program recovers from.
                unsafe { asm!(concat!("msr ", $encoding, ", {}"), "isb", in(reg) value, options(nostack, preserves_flags)) }
            }
        }
    )*};
}

/// The encoding of a register of the guest's: its own with `E2H` = 0, that of its alias with 1.
#[cfg(feature = "nvhe")]
macro_rules! of_guest {
    ($own:literal, $alias:literal, $rest:literal) => {
        concat!($own, $rest)
    };
}
#[cfg(not(feature = "nvhe"))]
macro_rules! of_guest {
    ($own:literal, $alias:literal, $rest:literal) => {
        concat!($alias, $rest)
    };
}

system_registers! {
    HCR_EL2 = "S3_4_C1_C1_0";
    SCTLR_EL2 = "S3_4_C1_C0_0";
    MDCR_EL2 = "S3_4_C1_C1_1";
    CPTR_EL2 = "S3_4_C1_C1_2";
    HFGRTR_EL2 = "S3_4_C1_C1_4";
    HFGWTR_EL2 = "S3_4_C1_C1_5";
    HFGITR_EL2 = "S3_4_C1_C1_6";
    HCRX_EL2 = "S3_4_C1_C2_2";
    HDFGRTR_EL2 = "S3_4_C3_C1_4";
    HDFGWTR_EL2 = "S3_4_C3_C1_5";
    TTBR0_EL2 = "S3_4_C2_C0_0";
    VTTBR_EL2 = "S3_4_C2_C1_0";
    VNCR_EL2 = "S3_4_C2_C2_0";
    VTCR_EL2 = "S3_4_C2_C1_2";
    SPSR_EL2 = "S3_4_C4_C0_0";
    ELR_EL2 = "S3_4_C4_C0_1";
    ESR_EL2 = "S3_4_C5_C2_0";
    FAR_EL2 = "S3_4_C6_C0_0";
    HPFAR_EL2 = "S3_4_C6_C0_4";
    VBAR_EL2 = "S3_4_C12_C0_0";
    VSESR_EL2 = "S3_4_C5_C2_3";
    VDISR_EL2 = "S3_4_C12_C1_1";
    ICH_HCR_EL2 = "S3_4_C12_C11_0";
    CNTHCTL_EL2 = "S3_4_C14_C1_0";
    ICH_VMCR_EL2 = "S3_4_C12_C11_7";
    ICH_MISR_EL2 = "S3_4_C12_C11_2";
    ICH_EISR_EL2 = "S3_4_C12_C11_3";
    ICH_ELRSR_EL2 = "S3_4_C12_C11_5";
    ICH_LR0_EL2 = "S3_4_C12_C12_0";
    ICH_LR1_EL2 = "S3_4_C12_C12_1";
    ICH_AP1R0_EL2 = "S3_4_C12_C9_0";
    CNTVOFF_EL2 = "S3_4_C14_C0_3";
    CNTPCT_EL0 = "S3_3_C14_C0_1";
    CNTV_CTL_EL02 = of_guest!("S3_3_", "S3_5_", "C14_C3_1");
    CNTV_CVAL_EL02 = of_guest!("S3_3_", "S3_5_", "C14_C3_2");
    CNTP_CTL_EL02 = of_guest!("S3_3_", "S3_5_", "C14_C2_1");
    CNTP_CVAL_EL02 = of_guest!("S3_3_", "S3_5_", "C14_C2_2");
    CNTHP_CTL_EL2 = "S3_4_C14_C2_1";
    CNTHP_CVAL_EL2 = "S3_4_C14_C2_2";
    CNTHV_CTL_EL2 = "S3_4_C14_C3_1";
    CNTHV_CVAL_EL2 = "S3_4_C14_C3_2";
    PAR_EL1 = "S3_0_C7_C4_0";
    TTBR0_EL12 = of_guest!("S3_0_", "S3_5_", "C2_C0_0");
    TTBR1_EL12 = of_guest!("S3_0_", "S3_5_", "C2_C0_1");
    CPACR_EL12 = of_guest!("S3_0_", "S3_5_", "C1_C0_2");
    CNTKCTL_EL12 = of_guest!("S3_0_", "S3_5_", "C14_C1_0");
    PMUSERENR_EL0 = "S3_3_C9_C14_0";
    TCR_EL12 = of_guest!("S3_0_", "S3_5_", "C2_C0_2");
    MAIR_EL12 = of_guest!("S3_0_", "S3_5_", "C10_C2_0");
    MDSCR_EL1 = "S2_0_C0_C2_2";
    SCTLR_EL12 = of_guest!("S3_0_", "S3_5_", "C1_C0_0");
    ESR_EL12 = of_guest!("S3_0_", "S3_5_", "C5_C2_0");
    FAR_EL12 = of_guest!("S3_0_", "S3_5_", "C6_C0_0");
    VBAR_EL12 = of_guest!("S3_0_", "S3_5_", "C12_C0_0");
    ELR_EL12 = of_guest!("S3_0_", "S3_5_", "C4_C0_1");
    SPSR_EL12 = of_guest!("S3_0_", "S3_5_", "C4_C0_0");
    TPIDRRO_EL0 = "S3_3_C13_C0_3";
    MIDR_EL1 = "S3_0_C0_C0_0";
    MPIDR_EL1 = "S3_0_C0_C0_5";
    VPIDR_EL2 = "S3_4_C0_C0_0";
    VMPIDR_EL2 = "S3_4_C0_C0_5";
    ID_AA64PFR0_EL1 = "S3_0_C0_C4_0";
    ID_AA64MMFR4_EL1 = "S3_0_C0_C7_4";
    ICC_IAR1_EL1 = "S3_0_C12_C12_0";
    ICC_EOIR1_EL1 = "S3_0_C12_C12_1";
    ICC_SGI1R_EL1 = "S3_0_C12_C11_5";
    CNTFRQ_EL0 = "S3_3_C14_C0_0";
    CNTVCT_EL0 = "S3_3_C14_C0_2";
    HSTR_EL2 = "S3_4_C1_C1_3";
    ICC_PMR_EL1 = "S3_0_C4_C6_0";
    ICC_AP0R0_EL1 = "S3_0_C12_C8_4";
    ICC_AP1R0_EL1 = "S3_0_C12_C9_0";
    ICC_BPR1_EL1 = "S3_0_C12_C12_3";
    ICC_CTLR_EL1 = "S3_0_C12_C12_4";
    ICC_SRE_EL1 = "S3_0_C12_C12_5";
    ICC_IGRPEN1_EL1 = "S3_0_C12_C12_7";
}
