//! An exception that the hypervisor took from itself, in words. It is a defect of its own, or a failure of the machine.

use core::fmt;

use super::{Esr, ec};

/// Which of the four vectors of the current level was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vector {
    /// A synchronous exception.
    Synchronous,
    /// An interrupt.
    Irq,
    /// A fast interrupt.
    Fiq,
    /// An SError.
    SError,
}

impl Vector {
    /// The vector of this number, in the order of the table; a number too large is an SError's.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Synchronous,
            1 => Self::Irq,
            2 => Self::Fiq,
            _ => Self::SError,
        }
    }
}

/// What was taken, for its `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnException {
    /// Where it went.
    pub vector: Vector,
    /// Its syndrome.
    pub esr: Esr,
}

impl OwnException {
    /// Whether FAR is the address that could not be accessed.
    #[must_use]
    pub const fn has_address(&self) -> bool {
        const FNV: u64 = 1 << 10;
        match (self.vector, self.esr.ec()) {
            (Vector::Synchronous, ec::DABT_CUR | ec::IABT_CUR) => self.esr.0 & FNV == 0,
            (Vector::Synchronous, ec::PC_ALIGN) => true,
            _ => false,
        }
    }
}

impl fmt::Display for OwnException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vector {
            Vector::Synchronous => synchronous(self.esr, f),
            Vector::Irq => f.write_str("interrupt in EL2, which masks them"),
            Vector::Fiq => f.write_str("fast interrupt in EL2, which masks them"),
            Vector::SError => write!(f, "SError, {}", severity(self.esr)),
        }
    }
}

fn synchronous(esr: Esr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let what = match esr.ec() {
        ec::UNKNOWN => "undefined instruction",
        ec::ILL => "illegal execution state",
        ec::PC_ALIGN => "misaligned instruction address",
        ec::SP_ALIGN => "misaligned stack pointer",
        ec::BRK64 => "breakpoint instruction",
        ec::IABT_CUR => return write!(f, "instruction abort in EL2: {}", esr.fault()),
        ec::DABT_CUR => {
            let access = if esr.data_abort().needs_write() {
                "write"
            } else {
                "read"
            };
            return write!(f, "data abort in EL2 on a {access}: {}", esr.fault());
        }
        class => return write!(f, "exception in EL2 of class {} ({class:#04x})", ec::name(class)),
    };
    write!(f, "{what} in EL2")
}

/// How bad an SError is: `AET` where the syndrome is that of FEAT_RAS (DDI 0487, "ISS encoding for an SError exception").
const fn severity(esr: Esr) -> &'static str {
    const IDS: u64 = 1 << 24;
    const ASYNCHRONOUS: u64 = 0x11;
    if esr.0 & IDS != 0 {
        return "of a kind of this CPU's own";
    }
    if esr.0 & 0x3f != ASYNCHRONOUS {
        return "of an unknown kind";
    }
    match esr.0 >> 10 & 7 {
        0 => "uncontainable",
        1 => "unrecoverable",
        2 => "restartable",
        3 => "recoverable",
        6 => "corrected",
        _ => "of a reserved kind",
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    fn words(vector: Vector, ec: u8, iss: u32) -> std::string::String {
        let esr = Esr::new(ec, iss);
        OwnException { vector, esr }.to_string()
    }

    #[test]
    fn own_exceptions_are_told_apart_in_words() {
        let sync = |ec, iss| words(Vector::Synchronous, ec, iss);
        assert_eq!(
            sync(ec::DABT_CUR, 0x47),
            "data abort in EL2 on a write: translation fault, level 3"
        );
        assert_eq!(
            sync(ec::DABT_CUR, 0x0f),
            "data abort in EL2 on a read: permission fault, level 3"
        );
        assert_eq!(sync(ec::DABT_CUR, 0x10), "data abort in EL2 on a read: external abort");
        assert_eq!(
            sync(ec::IABT_CUR, 0x0e),
            "instruction abort in EL2: permission fault, level 2"
        );
        assert_eq!(sync(ec::UNKNOWN, 0), "undefined instruction in EL2");
        assert_eq!(sync(ec::SVE, 0), "exception in EL2 of class SVE (0x19)");
        assert_eq!(words(Vector::Irq, 0, 0), "interrupt in EL2, which masks them");
        assert_eq!(words(Vector::SError, ec::SERROR, 0), "SError, of an unknown kind");
        assert_eq!(words(Vector::SError, ec::SERROR, 0x11), "SError, uncontainable");
        assert_eq!(words(Vector::SError, ec::SERROR, 0xc11), "SError, recoverable");
        assert_eq!(
            words(Vector::SError, ec::SERROR, 1 << 24 | 0x11),
            "SError, of a kind of this CPU's own"
        );
    }

    #[test]
    fn every_syndrome_has_words_and_an_address_only_where_far_is_valid() {
        for ec in 0..64 {
            for fsc in 0..64 {
                assert!(!words(Vector::Synchronous, ec, fsc).is_empty());
                assert!(!words(Vector::SError, ec, fsc).is_empty());
            }
        }
        let has_address = |vector, ec, iss| {
            let esr = Esr::new(ec, iss);
            OwnException { vector, esr }.has_address()
        };
        assert!(has_address(Vector::Synchronous, ec::DABT_CUR, 0x47));
        assert!(!has_address(Vector::Synchronous, ec::DABT_CUR, 1 << 10 | 0x10));
        assert!(!has_address(Vector::Synchronous, ec::UNKNOWN, 0));
        assert!(!has_address(Vector::SError, ec::DABT_CUR, 0x47));
    }

    #[test]
    fn vectors_are_numbered_as_the_table_has_them() {
        use Vector::*;
        assert_eq!([0, 1, 2, 3].map(Vector::from_number), [Synchronous, Irq, Fiq, SError]);
    }
}
