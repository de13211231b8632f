//! The features that registers and instructions come with.
//!
//! Whether a feature is shown is not said here: it is what [`idreg`](crate::idreg) lets L1 see of its field.

use super::SysReg;
use crate::idreg;

/// Declares the features, each with its field of a feature register and the least value that means "there".
macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $reg:ident, $shift:literal, $least:literal;)*) => {
        /// What an encoding belongs to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Feature {
            /// What every machine has that gnomon runs on.
            Base,
            $($(#[$doc])* $name,)*
        }

        impl Feature {
            /// All but [`Feature::Base`].
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// The feature register that has it, the lowest bit of the field, and the least value of it.
            #[must_use]
            pub const fn field(self) -> Option<(SysReg, u8, u8)> {
                match self {
                    Self::Base => None,
                    $(Self::$name => Some((SysReg::$reg, $shift, $least)),)*
                }
            }
        }

        /// Those that L1 is not shown, one bit each.
        const HIDDEN: u64 = 0 $(| Feature::$name.bit_if_hidden())*;
    };
}

features! {
    /// AArch32 at EL1.
    Aarch32 = ID_AA64PFR0_EL1, 4, 2;
    /// SVE.
    Sve = ID_AA64PFR0_EL1, 32, 1;
    /// Secure EL2.
    Sel2 = ID_AA64PFR0_EL1, 36, 1;
    /// Partitioning of memory systems.
    Mpam = ID_AA64PFR0_EL1, 40, 1;
    /// Activity monitors.
    Amu = ID_AA64PFR0_EL1, 44, 1;
    /// `SCXTNUM_ELx`.
    Csv2v2 = ID_AA64PFR0_EL1, 56, 2;
    /// Tag instructions.
    Mte = ID_AA64PFR1_EL1, 8, 1;
    /// Tags in memory.
    Mte2 = ID_AA64PFR1_EL1, 8, 2;
    /// SME.
    Sme = ID_AA64PFR1_EL1, 24, 1;
    /// Non-maskable interrupts.
    Nmi = ID_AA64PFR1_EL1, 36, 1;
    /// Read-check-write masks.
    The = ID_AA64PFR1_EL1, 48, 1;
    /// Physical fault addresses.
    Pfar = ID_AA64PFR1_EL1, 60, 1;
    /// `FPMR`.
    Fpmr = ID_AA64PFR2_EL1, 32, 1;
    /// Debug of Armv8.9.
    Debugv8p9 = ID_AA64DFR0_EL1, 0, 11;
    /// The trace unit's registers.
    Trace = ID_AA64DFR0_EL1, 4, 1;
    /// Performance monitors.
    Pmu = ID_AA64DFR0_EL1, 8, 1;
    /// Exceptions of performance monitors.
    Ebep = ID_AA64DFR0_EL1, 24, 1;
    /// Statistical profiling.
    Spe = ID_AA64DFR0_EL1, 32, 1;
    /// Trace filters.
    TraceFilter = ID_AA64DFR0_EL1, 40, 1;
    /// Trace buffers.
    Trbe = ID_AA64DFR0_EL1, 44, 1;
    /// Branch records.
    Brbe = ID_AA64DFR0_EL1, 52, 1;
    /// Restriction of predictions.
    Specres = ID_AA64ISAR1_EL1, 40, 1;
    /// The `nXS` forms.
    Xs = ID_AA64ISAR1_EL1, 56, 1;
    /// Stores of 64 bytes with `ACCDATA_EL1`.
    Ls64 = ID_AA64ISAR1_EL1, 60, 3;
    /// `AT S1E1A`, `AT S1E2A`.
    Ats1a = ID_AA64ISAR2_EL1, 60, 1;
    /// Fine-grained traps.
    Fgt = ID_AA64MMFR0_EL1, 56, 1;
    /// More of them.
    Fgt2 = ID_AA64MMFR0_EL1, 56, 2;
    /// `CNTPOFF_EL2`.
    EcvOffset = ID_AA64MMFR0_EL1, 60, 2;
    /// `HCRX_EL2`.
    Hcx = ID_AA64MMFR1_EL1, 40, 1;
    /// `VNCR_EL2`.
    Nv2 = ID_AA64MMFR2_EL1, 24, 2;
    /// `TCR2_ELx`.
    Tcr2 = ID_AA64MMFR3_EL1, 0, 1;
    /// `SCTLR2_ELx`.
    Sctlr2 = ID_AA64MMFR3_EL1, 4, 1;
    /// Permission indirection at stage 1.
    S1pie = ID_AA64MMFR3_EL1, 8, 1;
    /// Permission overlay at stage 1.
    S1poe = ID_AA64MMFR3_EL1, 16, 1;
    /// Permission overlay at stage 2.
    S2poe = ID_AA64MMFR3_EL1, 20, 1;
    /// More memory attributes.
    Aie = ID_AA64MMFR3_EL1, 24, 1;
}

impl Feature {
    /// Whether L1 is never shown it.
    #[must_use]
    pub const fn is_hidden(self) -> bool {
        HIDDEN >> self as u32 & 1 != 0
    }

    const fn bit_if_hidden(self) -> u64 {
        match self.field() {
            Some((reg, shift, least)) if idreg::shown_at_most(reg, shift) < least => 1 << self as u32,
            _ => 0,
        }
    }
}
