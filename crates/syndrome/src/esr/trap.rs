//! The ISS of trapped instructions: register accesses, waits, exception
//! returns.

use crate::SysReg;

/// A trapped `MRS`, `MSR` or system instruction (EC 0x18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SysRegTrap {
    /// What was accessed.
    pub reg: SysReg,
    /// General register that takes or gives the value; 31 is the zero register.
    pub rt: u8,
    /// An `MRS`. Instructions are writes.
    pub is_read: bool,
}

impl SysRegTrap {
    /// Decodes an ISS (25 bits).
    #[must_use]
    pub const fn decode(iss: u32) -> Self {
        Self {
            reg: SysReg::new(
                (iss >> 20) as u8,
                (iss >> 14) as u8,
                (iss >> 10) as u8,
                (iss >> 1) as u8,
                (iss >> 17) as u8,
            ),
            rt: (iss >> 5) as u8 & 0x1f,
            is_read: iss & 1 != 0,
        }
    }

    /// The ISS of this access.
    #[must_use]
    pub const fn encode(self) -> u32 {
        (self.reg.op0() as u32) << 20
            | (self.reg.op2() as u32) << 17
            | (self.reg.op1() as u32) << 14
            | (self.reg.crn() as u32) << 10
            | (self.rt as u32 & 0x1f) << 5
            | (self.reg.crm() as u32) << 1
            | self.is_read as u32
    }
}

/// Which wait instruction trapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WfxKind {
    /// Wait for interrupt.
    Wfi,
    /// Wait for event.
    Wfe,
    /// Wait for interrupt with timeout (FEAT_WFxT).
    Wfit,
    /// Wait for event with timeout (FEAT_WFxT).
    Wfet,
}

impl WfxKind {
    /// The mnemonic.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wfi => "WFI",
            Self::Wfe => "WFE",
            Self::Wfit => "WFIT",
            Self::Wfet => "WFET",
        }
    }

    /// Whether it waits for an event (`TWE`) and not for an interrupt (`TWI`).
    #[must_use]
    pub const fn waits_for_event(self) -> bool {
        matches!(self, Self::Wfe | Self::Wfet)
    }
}

/// A trapped `WFI`, `WFE`, `WFIT` or `WFET` (EC 0x01).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WfxTrap {
    /// The instruction.
    pub kind: WfxKind,
    /// Register with the timeout, as a value of `CNTVCT_EL0`: only for the two
    /// forms that have one, and only where the hardware reports it (`RV`).
    pub rn: Option<u8>,
}

impl WfxTrap {
    /// Decodes an ISS (25 bits).
    #[must_use]
    pub const fn decode(iss: u32) -> Self {
        let kind = match iss & 0x3 {
            0 => WfxKind::Wfi,
            1 => WfxKind::Wfe,
            2 => WfxKind::Wfit,
            _ => WfxKind::Wfet,
        };
        let has_register = matches!(kind, WfxKind::Wfit | WfxKind::Wfet) && iss & 1 << 2 != 0;
        Self {
            kind,
            rn: if has_register {
                Some((iss >> 5) as u8 & 0x1f)
            } else {
                None
            },
        }
    }
}

/// Which exception return trapped (EC 0x1A).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EretKind {
    /// `ERET`.
    Eret,
    /// `ERETAA`: the address is to be authenticated with key A.
    Eretaa,
    /// `ERETAB`: the address is to be authenticated with key B.
    Eretab,
}

impl EretKind {
    /// Decodes an ISS (25 bits).
    #[must_use]
    pub const fn decode(iss: u32) -> Self {
        match iss & 0x3 {
            2 => Self::Eretaa,
            3 => Self::Eretab,
            _ => Self::Eret,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_register_counts_only_where_the_hardware_gives_it() {
        assert_eq!(WfxTrap::decode(7 << 5 | 1 << 2 | 2).rn, Some(7));
        assert_eq!(WfxTrap::decode(7 << 5 | 2).rn, None);
        assert_eq!(WfxTrap::decode(7 << 5 | 1 << 2).rn, None);
        assert!(WfxTrap::decode(3).kind.waits_for_event());
    }

    #[test]
    fn instructions_decode_like_registers() {
        // TLBI VMALLE1IS: op0 1, op1 0, CRn 8, CRm 3, op2 0, Rt 31.
        let trap = SysRegTrap::decode(1 << 20 | 8 << 10 | 31 << 5 | 3 << 1);
        assert_eq!(trap.reg, SysReg::TLBI_VMALLE1IS);
        assert_eq!((trap.rt, trap.is_read), (31, false));
    }
}
