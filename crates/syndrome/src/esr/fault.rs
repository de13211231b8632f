//! Fault status codes, the low six bits of an abort's syndrome.

use core::fmt;

/// The cause of an abort, with its translation level where it has one.
///
/// Codes that are reserved or that this project has no use for survive as
/// [`FaultKind::Other`], so that a syndrome can always be put together again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FaultStatus {
    /// What went wrong.
    pub kind: FaultKind,
    /// Level of the lookup that failed, -1 to 3; 0 for a cause without level.
    pub level: i8,
}

/// What went wrong with an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// An address, in or out, that is wider than it may be.
    AddressSize,
    /// No valid descriptor.
    Translation,
    /// The access flag was clear.
    AccessFlag,
    /// The permissions forbid the access.
    Permission,
    /// Synchronous external abort on the access itself.
    External,
    /// Synchronous external abort on a translation table walk.
    ExternalOnWalk,
    /// Misaligned access.
    Alignment,
    /// Contradicting TLB entries.
    TlbConflict,
    /// An exclusive or atomic access the memory does not support.
    UnsupportedAtomic,
    /// Any other code, as it stands.
    Other(u8),
}

impl FaultStatus {
    /// Synchronous external abort, not on a walk.
    pub const EXTERNAL: Self = Self::new(FaultKind::External, 0);

    /// A fault of `kind` at `level`.
    ///
    /// `level` is ignored by kinds that have none.
    #[must_use]
    pub const fn new(kind: FaultKind, level: i8) -> Self {
        Self { kind, level }
    }

    /// Decodes a six-bit `DFSC` or `IFSC`; higher bits are ignored.
    #[must_use]
    pub const fn decode(fsc: u8) -> Self {
        let fsc = fsc & 0x3f;
        let level = (fsc & 0x3).cast_signed();
        match fsc {
            0x00..=0x03 => Self::new(FaultKind::AddressSize, level),
            0x04..=0x07 => Self::new(FaultKind::Translation, level),
            0x08..=0x0b => Self::new(FaultKind::AccessFlag, level),
            0x0c..=0x0f => Self::new(FaultKind::Permission, level),
            0x10 => Self::EXTERNAL,
            0x13 => Self::new(FaultKind::ExternalOnWalk, -1),
            0x14..=0x17 => Self::new(FaultKind::ExternalOnWalk, level),
            0x21 => Self::new(FaultKind::Alignment, 0),
            0x29 => Self::new(FaultKind::AddressSize, -1),
            0x2b => Self::new(FaultKind::Translation, -1),
            0x30 => Self::new(FaultKind::TlbConflict, 0),
            0x35 => Self::new(FaultKind::UnsupportedAtomic, 0),
            _ => Self::new(FaultKind::Other(fsc), 0),
        }
    }

    /// The six-bit code.
    ///
    /// A kind that has no code for `level` (there is no access flag fault at
    /// level -1) takes the one of level 0.
    #[must_use]
    pub const fn encode(self) -> u8 {
        let level = if self.level > 0 && self.level <= 3 {
            self.level.cast_unsigned()
        } else {
            0
        };
        match (self.kind, self.level) {
            (FaultKind::AddressSize, -1) => 0x29,
            (FaultKind::AddressSize, _) => level,
            (FaultKind::Translation, -1) => 0x2b,
            (FaultKind::Translation, _) => 0x04 | level,
            (FaultKind::AccessFlag, _) => 0x08 | level,
            (FaultKind::Permission, _) => 0x0c | level,
            (FaultKind::External, _) => 0x10,
            (FaultKind::ExternalOnWalk, -1) => 0x13,
            (FaultKind::ExternalOnWalk, _) => 0x14 | level,
            (FaultKind::Alignment, _) => 0x21,
            (FaultKind::TlbConflict, _) => 0x30,
            (FaultKind::UnsupportedAtomic, _) => 0x35,
            (FaultKind::Other(fsc), _) => fsc & 0x3f,
        }
    }

    /// Whether the fault comes from a translation table and can be mended by
    /// changing one.
    #[must_use]
    pub const fn is_translation_regime(self) -> bool {
        matches!(
            self.kind,
            FaultKind::AddressSize | FaultKind::Translation | FaultKind::AccessFlag | FaultKind::Permission
        )
    }
}

impl fmt::Display for FaultStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            FaultKind::AddressSize => "address size fault",
            FaultKind::Translation => "translation fault",
            FaultKind::AccessFlag => "access flag fault",
            FaultKind::Permission => "permission fault",
            FaultKind::External => return f.write_str("external abort"),
            FaultKind::ExternalOnWalk => "external abort on walk",
            FaultKind::Alignment => return f.write_str("alignment fault"),
            FaultKind::TlbConflict => return f.write_str("TLB conflict"),
            FaultKind::UnsupportedAtomic => return f.write_str("unsupported atomic access"),
            FaultKind::Other(fsc) => return write!(f, "fault status {fsc:#04x}"),
        };
        write!(f, "{name}, level {}", self.level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_decoding() {
        for fsc in 0..64 {
            assert_eq!(FaultStatus::decode(fsc).encode(), fsc, "{fsc:#x}");
        }
    }

    #[test]
    fn level_minus_one_has_codes_of_its_own() {
        assert_eq!(FaultStatus::new(FaultKind::Translation, -1).encode(), 0x2b);
        assert_eq!(FaultStatus::new(FaultKind::AddressSize, -1).encode(), 0x29);
        assert_eq!(FaultStatus::new(FaultKind::ExternalOnWalk, -1).encode(), 0x13);
        assert_eq!(FaultStatus::new(FaultKind::Permission, -1).encode(), 0x0c);
    }
}
