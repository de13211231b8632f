//! What is wrong with stage-2 registers that no walk can start from.

use core::fmt;

use crate::{Fault, Level};

/// Why `VTCR_EL2` and `VTTBR_EL2` describe no tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwalkable {
    /// `T0SZ` asks for an input address size that the machine lacks.
    InputSize {
        /// The size in bits.
        ipa_bits: u32,
    },
    /// `SL0` names a start level that does not exist with this granule on this machine.
    StartLevel,
    /// A start at this level does not resolve the input address size.
    StartLevelMismatch {
        /// The level that `SL0` names.
        start_level: Level,
        /// The size that `T0SZ` names, in bits.
        ipa_bits: u32,
    },
    /// The start tables lie beyond the output address size.
    Root {
        /// Their address.
        root: u64,
        /// The size in bits.
        oa_bits: u32,
    },
}

impl Unwalkable {
    /// What hardware reports for every access.
    #[must_use]
    pub const fn fault(self) -> Fault {
        match self {
            Self::InputSize { .. } | Self::StartLevel | Self::StartLevelMismatch { .. } => {
                Fault::Translation(Level::ZERO)
            }
            Self::Root { .. } => Fault::AddressSize(Level::ZERO),
        }
    }
}

impl fmt::Display for Unwalkable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InputSize { ipa_bits } => write!(f, "T0SZ asks for {ipa_bits}-bit IPAs, which do not exist here"),
            Self::StartLevel => f.write_str("SL0 names a start level that does not exist with this granule"),
            Self::StartLevelMismatch { start_level, ipa_bits } => {
                write!(
                    f,
                    "a start at {start_level} (SL0) does not fit {ipa_bits}-bit IPAs (T0SZ)"
                )
            }
            Self::Root { root, oa_bits } => {
                write!(f, "the root {root:#x} is beyond the {oa_bits}-bit output size (PS)")
            }
        }
    }
}

impl core::error::Error for Unwalkable {}

#[cfg(test)]
mod tests {
    use crate::{
        Granule,
        stage2::Stage2Config,
        testing::{LIMITS, vtcr},
    };
    use std::string::ToString;

    #[test]
    fn the_rule_that_is_broken_is_named() {
        let reason = |vtcr, vttbr| Stage2Config::diagnose(vtcr, vttbr, &LIMITS).unwrap_err().to_string();
        let good = vtcr(Granule::K4, 40, 1);
        assert_eq!(
            reason(good & !0x3f | 63, 0),
            "T0SZ asks for 1-bit IPAs, which do not exist here"
        );
        assert_eq!(
            reason(good | 0b11 << 6, 0),
            "SL0 names a start level that does not exist with this granule"
        );
        let start = vtcr(Granule::K4, 44, 1);
        assert_eq!(
            reason(start, 0),
            "a start at level 1 (SL0) does not fit 44-bit IPAs (T0SZ)"
        );
        let root = good & !(0b111 << 16);
        assert_eq!(
            reason(root, 1 << 32),
            "the root 0x100000000 is beyond the 32-bit output size (PS)"
        );
    }
}
