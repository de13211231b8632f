//! The registers of a stage 1, as values, and the two layouts of `TCR_ELx`.

use core::fmt;

/// A translation regime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// EL1 and EL0.
    El1And0,
    /// EL2 and EL0 (`HCR_EL2.E2H` = 1): laid out like EL1&0.
    El2And0,
    /// EL2 alone (`HCR_EL2.E2H` = 0): one range of addresses, one privilege.
    El2,
}

impl Regime {
    /// Whether EL0 belongs to it, so that there are two ranges of addresses and two privileges.
    #[must_use]
    pub const fn has_el0(self) -> bool {
        !matches!(self, Self::El2)
    }
}

impl fmt::Display for Regime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::El1And0 => "EL1&0",
            Self::El2And0 => "EL2&0",
            Self::El2 => "EL2",
        })
    }
}

/// The registers that govern a regime: those of EL1 for EL1&0, of EL2 for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage1Registers {
    /// `TCR_ELx`
    pub tcr: u64,
    /// `TTBR0_ELx`
    pub ttbr0: u64,
    /// `TTBR1_ELx`; means nothing where the regime has one range.
    pub ttbr1: u64,
    /// `MAIR_ELx`
    pub mair: u64,
    /// `SCTLR_ELx`
    pub sctlr: u64,
    /// `HCR_EL2`, as far as it changes what the stage does: `DC` and `TGE` for EL1&0.
    pub hcr: u64,
}

/// The part of `TCR_ELx` that is about one range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one bit of a register")]
pub(super) struct RangeControls {
    /// `TxSZ`
    pub(super) txsz: u32,
    /// The granule field, in the encoding of `TG0`.
    pub(super) tg0: u64,
    /// `SHx`
    pub(super) sh: u64,
    /// `EPDx`: no walks.
    pub(super) epd: bool,
    /// `TBIx`: the top byte of a data address is ignored.
    pub(super) tbi: bool,
    /// `TBIDx`: but not that of an instruction's.
    pub(super) tbid: bool,
    /// `HPDx`: table descriptors restrict nothing.
    pub(super) hpd: bool,
    /// `E0PDx`: EL0 cannot use the range.
    pub(super) e0pd: bool,
}

/// The part of `TCR_ELx` that is about all addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommonControls {
    /// `IPS` or `PS`
    pub(super) ps: u64,
    /// `HA`
    pub(super) ha: bool,
    /// `HD`, which means nothing without `HA`.
    pub(super) hd: bool,
    /// `DS`
    pub(super) ds: bool,
}

/// A value of `TCR_ELx` with the regime whose layout it has.
#[derive(Clone, Copy)]
pub(super) struct Tcr {
    pub(super) regime: Regime,
    pub(super) raw: u64,
}

impl Tcr {
    pub(super) fn common(self) -> CommonControls {
        let (ps, ha, hd, ds) = if self.regime.has_el0() {
            (32, 39, 40, 59)
        } else {
            (16, 21, 22, 32)
        };
        CommonControls {
            ps: self.field(ps, 3),
            ha: self.bit(ha),
            hd: self.bit(ha) && self.bit(hd),
            ds: self.bit(ds),
        }
    }

    /// The controls of `TTBR0_ELx`'s range.
    pub(super) fn lower(self) -> RangeControls {
        let has_el0 = self.regime.has_el0();
        let (tbi, tbid, hpd) = if has_el0 { (37, 51, 41) } else { (20, 29, 24) };
        RangeControls {
            txsz: self.field(0, 6) as u32,
            tg0: self.field(14, 2),
            sh: self.field(12, 2),
            epd: has_el0 && self.bit(7),
            tbi: self.bit(tbi),
            tbid: self.bit(tbid),
            hpd: self.bit(hpd),
            e0pd: has_el0 && self.bit(55),
        }
    }

    /// The controls of `TTBR1_ELx`'s range, of a regime that has one.
    pub(super) fn upper(self) -> RangeControls {
        /// `TG0` for each value of `TG1`, which numbers the granules differently.
        const TG0_OF_TG1: [u64; 4] = [0b11, 0b10, 0b00, 0b01];
        let tg1 = self.field(30, 2) as usize;
        RangeControls {
            txsz: self.field(16, 6) as u32,
            tg0: TG0_OF_TG1.get(tg1).copied().unwrap_or(0b11),
            sh: self.field(28, 2),
            epd: self.bit(23),
            tbi: self.bit(38),
            tbid: self.bit(52),
            hpd: self.bit(42),
            e0pd: self.bit(56),
        }
    }

    const fn field(self, shift: u32, width: u32) -> u64 {
        self.raw >> shift & ((1 << width) - 1)
    }

    const fn bit(self, shift: u32) -> bool {
        self.field(shift, 1) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tg1_and_tg0_mean_the_same_granule_in_one_encoding() {
        let upper = |tg1: u64| {
            let raw = tg1 << 30;
            let regime = Regime::El1And0;
            Tcr { regime, raw }.upper().tg0
        };
        assert_eq!([upper(0b10), upper(0b11), upper(0b01)], [0b00, 0b01, 0b10]);
        assert_eq!(upper(0b00), 0b11, "reserved");
    }

    #[test]
    fn the_single_range_layout_has_its_fields_elsewhere() {
        let raw = 0b101 << 16 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 24 | 1 << 32;
        let regime = Regime::El2;
        let tcr = Tcr { regime, raw };
        let common = tcr.common();
        assert_eq!((common.ps, common.ha, common.hd, common.ds), (0b101, true, true, true));
        let lower = tcr.lower();
        assert!(lower.tbi && lower.hpd && !lower.epd);
        let other = Tcr {
            regime: Regime::El1And0,
            ..tcr
        };
        assert!(!other.lower().tbi && !other.lower().hpd && !other.common().ds);
    }

    #[test]
    fn dirty_state_needs_the_access_flag_update() {
        let common = |raw| {
            let regime = Regime::El2And0;
            Tcr { regime, raw }.common()
        };
        assert!(!common(1 << 40).hd);
        assert!(common(0b11 << 39).hd);
    }
}
