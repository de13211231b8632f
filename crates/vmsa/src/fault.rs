//! Why a translation failed, in the architecture's terms. Both stages fail in the same ways.

use crate::Level;
use core::fmt;

/// A translation's fault and the lookup level it is reported at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No valid descriptor, or an input address or a configuration that cannot be translated (then
    /// level 0).
    Translation(Level),
    /// The Access flag is clear and hardware does not manage it.
    AccessFlag(Level),
    /// The descriptor does not allow the access.
    Permission(Level),
    /// A table, page or block lies beyond the output address size. Level 0 when the root does.
    AddressSize(Level),
    /// A synchronous external abort on the read of a descriptor at this level.
    ExternalAbortOnWalk(Level),
}

impl Fault {
    /// The fault status code as in `ESR_ELx.ISS.DFSC` and `IFSC`, 6 bits (DDI 0487, "ISS encoding
    /// for an exception from a Data Abort").
    #[must_use]
    pub const fn fsc(self) -> u8 {
        let (base, level, at_minus_one) = match self {
            Self::AddressSize(level) => (0b00_0000, level, 0b10_1001),
            Self::Translation(level) => (0b00_0100, level, 0b10_1011),
            // There are no leaves at level −1 that could fault so.
            Self::AccessFlag(level) => (0b00_1000, level, 0b00_1000),
            Self::Permission(level) => (0b00_1100, level, 0b00_1100),
            Self::ExternalAbortOnWalk(level) => (0b01_0100, level, 0b01_0011),
        };
        if level.get() < 0 {
            at_minus_one
        } else {
            base | level.get() as u8
        }
    }

    /// The lookup level that is part of the status code.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::AddressSize(level)
            | Self::Translation(level)
            | Self::AccessFlag(level)
            | Self::Permission(level)
            | Self::ExternalAbortOnWalk(level) => level,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Translation(_) => "translation fault",
            Self::AccessFlag(_) => "access flag fault",
            Self::Permission(_) => "permission fault",
            Self::AddressSize(_) => "address size fault",
            Self::ExternalAbortOnWalk(_) => "external abort on walk",
        };
        write!(f, "{what}, {}", self.level())
    }
}

impl core::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn status_codes_are_those_of_esr() {
        assert_eq!(Fault::AddressSize(Level::ZERO).fsc(), 0x00);
        assert_eq!(Fault::Translation(Level::TWO).fsc(), 0x06);
        assert_eq!(Fault::AccessFlag(Level::THREE).fsc(), 0x0b);
        assert_eq!(Fault::Permission(Level::ONE).fsc(), 0x0d);
        assert_eq!(Fault::ExternalAbortOnWalk(Level::THREE).fsc(), 0x17);
    }

    #[test]
    fn level_minus_one_has_codes_of_its_own() {
        assert_eq!(Fault::AddressSize(Level::MINUS_ONE).fsc(), 0x29);
        assert_eq!(Fault::Translation(Level::MINUS_ONE).fsc(), 0x2b);
        assert_eq!(Fault::ExternalAbortOnWalk(Level::MINUS_ONE).fsc(), 0x13);
    }

    #[test]
    fn prints_as_a_sentence_fragment() {
        assert_eq!(Fault::Permission(Level::THREE).to_string(), "permission fault, level 3");
    }
}
