//! What an address translation instruction found: `PAR_EL1`.

use core::fmt;

use crate::{Fault, Level, Pa, stage1::MairAttr};

const F: u64 = 1 << 0;
const PTW: u64 = 1 << 8;
const S: u64 = 1 << 9;
/// Address bits 51:12.
const PA: u64 = 0x000f_ffff_ffff_f000;
const PAGE_OFFSET: u64 = 0xfff;

/// A value of `PAR_EL1` in its 64-bit form (DDI 0487, `PAR_EL1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Par(pub u64);

/// What a [`Par`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translated {
    /// The translation succeeded.
    To {
        /// The page that the address is in.
        page: Pa,
        /// The memory type that both stages give together.
        mem: MairAttr,
    },
    /// It failed.
    Faults(ParFault),
}

/// A failed translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParFault {
    /// `FST`, the fault status code.
    pub fsc: u8,
    /// `S`: it failed at stage 2.
    pub is_stage2: bool,
    /// `PTW`: at stage 2, on a table of stage 1.
    pub is_walk: bool,
}

impl ParFault {
    /// The fault, if the code is one of those that a walk gives.
    #[must_use]
    pub fn fault(self) -> Option<Fault> {
        let levels = || [-1, 0, 1, 2, 3].into_iter().filter_map(Level::new);
        let kinds = [
            Fault::Translation,
            Fault::AccessFlag,
            Fault::Permission,
            Fault::AddressSize,
            Fault::ExternalAbortOnWalk,
        ];
        let mut faults = kinds.into_iter().flat_map(|kind| levels().map(kind));
        faults.find(|fault| fault.fsc() == self.fsc)
    }
}

impl fmt::Display for ParFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault() {
            Some(fault) => write!(f, "{fault}")?,
            None => write!(f, "fault status {:#04x}", self.fsc)?,
        }
        f.write_str(match (self.is_stage2, self.is_walk) {
            (false, _) => " of stage 1",
            (true, false) => " of stage 2",
            (true, true) => " of stage 2, on a table of stage 1",
        })
    }
}

impl Par {
    /// What it says.
    #[must_use]
    pub const fn decode(self) -> Translated {
        if self.0 & F == 0 {
            return Translated::To {
                page: Pa::new(self.0 & PA),
                mem: MairAttr((self.0 >> 56) as u8),
            };
        }
        Translated::Faults(ParFault {
            fsc: (self.0 >> 1 & 0x3f) as u8,
            is_stage2: self.0 & S != 0,
            is_walk: self.0 & PTW != 0,
        })
    }
}

/// The page that `pa` is in, as [`Translated::To`] has it.
#[must_use]
pub const fn page_of(pa: Pa) -> Pa {
    Pa::new(pa.bits() & !PAGE_OFFSET)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn success_has_a_page_and_a_memory_type() {
        let par = Par(0xff << 56 | 0x1234_5000 | 1 << 11 | 0b11 << 7);
        let page = Pa::new(0x1234_5000);
        let mem = MairAttr::NORMAL_WB;
        assert_eq!(par.decode(), Translated::To { page, mem });
        assert_eq!(page_of(Pa::new(0x1234_5678)), page);
    }

    #[test]
    fn failure_has_a_fault_and_a_stage() {
        for (par, words) in [
            (0x6 << 1 | 1, "translation fault, level 2 of stage 1"),
            (0xf << 1 | 1 | S, "permission fault, level 3 of stage 2"),
            (
                0x7 << 1 | 1 | S | PTW,
                "translation fault, level 3 of stage 2, on a table of stage 1",
            ),
            (0x2b << 1 | 1, "translation fault, level -1 of stage 1"),
            (0x30 << 1 | 1, "fault status 0x30 of stage 1"),
        ] {
            let Translated::Faults(fault) = Par(par).decode() else {
                panic!("{par:#x} is a fault");
            };
            assert_eq!(fault.to_string(), words);
        }
    }
}
