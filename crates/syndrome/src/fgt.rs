//! Fine-grained traps (FEAT_FGT): L1 has a bit for each register and instruction of its guest's.
//!
//! `HFGRTR_EL2` and `HDFGRTR_EL2` trap reads, `HFGWTR_EL2` and `HDFGWTR_EL2` writes, `HFGITR_EL2` instructions, and
//! `HAFGRTR_EL2` activity monitors. Which bit is about an encoding is a column of the table ([`FineTrap`]); it traps when
//! it is 1 or, if its name begins with `n`, when it is 0. Three bits of `HFGITR_EL2` are about instructions that are no
//! encodings: `ERET` and `SVC`.
//!
//! `HCRX_EL2` has a word in it: with `FGTnXS` the `nXS` forms of a TLBI do not trap with the others.
//!
//! DDI 0487, section D8.3.3 "Fine-grained traps", and the descriptions of the registers.

use crate::{
    SysReg,
    regs::{hcrx_el2, hfgitr_el2},
    sysreg::Row,
};

/// A register of fine-grained traps.
#[expect(missing_docs, reason = "they have their own names, without the suffix")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FineRegister {
    HFGRTR,
    HFGWTR,
    HFGITR,
    HDFGRTR,
    HDFGWTR,
    /// Only with activity monitors, which L1 is not shown: no value of it counts.
    HAFGRTR,
}

impl FineRegister {
    const ALL: [Self; 6] = [
        Self::HFGRTR,
        Self::HFGWTR,
        Self::HFGITR,
        Self::HDFGRTR,
        Self::HDFGWTR,
        Self::HAFGRTR,
    ];

    /// The encodings of those that [`FineControls`] has, in the same order.
    const ENCODINGS: [SysReg; 5] = [
        SysReg::HFGRTR_EL2,
        SysReg::HFGWTR_EL2,
        SysReg::HFGITR_EL2,
        SysReg::HDFGRTR_EL2,
        SysReg::HDFGWTR_EL2,
    ];

    /// The one with that encoding.
    #[must_use]
    pub fn of(reg: SysReg) -> Option<Self> {
        let index = Self::ENCODINGS.iter().position(|known| *known == reg)?;
        Some(Self::ALL[index])
    }
}

/// What of the fine-grained traps is about an encoding: a bit, how it traps, and of which registers for a read and a write.
///
/// Packed: the bit's number in 0 to 5, bit 6 if it traps when 0, the number of the register plus one in 8 to 10 for a read
/// and in 11 to 13 for a write. An instruction is a write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FineTrap(u16);

/// One bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FineControl {
    /// Where it is.
    pub register: FineRegister,
    /// Its mask.
    pub mask: u64,
    /// Whether it traps when it is 1.
    pub traps_when_set: bool,
}

#[expect(non_snake_case, reason = "they are called after the registers")]
impl FineTrap {
    /// Nothing.
    pub const NONE: Self = Self(0);

    const fn new(bit: i8, read: Option<FineRegister>, write: Option<FineRegister>) -> Self {
        const fn number(register: Option<FineRegister>) -> u16 {
            match register {
                Some(register) => register as u16 + 1,
                None => 0,
            }
        }
        assert!(bit.unsigned_abs() < 64);
        let negative = (bit < 0) as u16;
        Self(bit.unsigned_abs() as u16 | negative << 6 | number(read) << 8 | number(write) << 11)
    }

    pub(crate) const fn Hfg(bit: i8) -> Self {
        Self::new(bit, Some(FineRegister::HFGRTR), Some(FineRegister::HFGWTR))
    }

    pub(crate) const fn Hfgr(bit: i8) -> Self {
        Self::new(bit, Some(FineRegister::HFGRTR), None)
    }

    pub(crate) const fn Hfgi(bit: i8) -> Self {
        Self::new(bit, None, Some(FineRegister::HFGITR))
    }

    pub(crate) const fn Hdfg(bit: i8) -> Self {
        Self::new(bit, Some(FineRegister::HDFGRTR), Some(FineRegister::HDFGWTR))
    }

    pub(crate) const fn Hdfgr(bit: i8) -> Self {
        Self::new(bit, Some(FineRegister::HDFGRTR), None)
    }

    pub(crate) const fn Hdfgw(bit: i8) -> Self {
        Self::new(bit, None, Some(FineRegister::HDFGWTR))
    }

    pub(crate) const fn Hafg(bit: i8) -> Self {
        Self::new(bit, Some(FineRegister::HAFGRTR), Some(FineRegister::HAFGRTR))
    }

    /// The bit that traps a read or a write.
    #[must_use]
    pub const fn control(self, is_read: bool) -> Option<FineControl> {
        let number = self.0 >> (if is_read { 8 } else { 11 }) & 7;
        if number == 0 {
            return None;
        }
        Some(FineControl {
            register: FineRegister::ALL[number as usize - 1],
            mask: 1 << (self.0 & 0x3f),
            traps_when_set: self.0 & 1 << 6 == 0,
        })
    }
}

impl core::fmt::Debug for FineTrap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}/{:?}", self.control(true), self.control(false))
    }
}

/// The fine-grained traps of one hypervisor or of both.
///
/// Fields and no array: those are compared faster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FineControls {
    /// `HFGRTR_EL2`
    pub hfgrtr: u64,
    /// `HFGWTR_EL2`
    pub hfgwtr: u64,
    /// `HFGITR_EL2`
    pub hfgitr: u64,
    /// `HDFGRTR_EL2`
    pub hdfgrtr: u64,
    /// `HDFGWTR_EL2`
    pub hdfgwtr: u64,
}

impl FineControls {
    /// The controls for a nested context: traps of either, and what both let through. Of L1's only bits count that are
    /// about what L1 is shown.
    #[must_use]
    pub const fn for_nested(l0: &Self, l1: &Self) -> Self {
        const fn merged(register: FineRegister, l0: u64, l1: u64) -> u64 {
            let traps = l0 | l1 & TRAPS[register as usize];
            traps & (l1 | !ENABLES[register as usize])
        }
        Self {
            hfgrtr: merged(FineRegister::HFGRTR, l0.hfgrtr, l1.hfgrtr),
            hfgwtr: merged(FineRegister::HFGWTR, l0.hfgwtr, l1.hfgwtr),
            hfgitr: merged(FineRegister::HFGITR, l0.hfgitr, l1.hfgitr),
            hdfgrtr: merged(FineRegister::HDFGRTR, l0.hdfgrtr, l1.hdfgrtr),
            hdfgwtr: merged(FineRegister::HDFGWTR, l0.hdfgwtr, l1.hdfgwtr),
        }
    }

    /// The value of one of the registers of traps, if it is among these.
    #[must_use]
    pub const fn of(&self, register: FineRegister) -> Option<u64> {
        Some(match register {
            FineRegister::HFGRTR => self.hfgrtr,
            FineRegister::HFGWTR => self.hfgwtr,
            FineRegister::HFGITR => self.hfgitr,
            FineRegister::HDFGRTR => self.hdfgrtr,
            FineRegister::HDFGWTR => self.hdfgwtr,
            FineRegister::HAFGRTR => return None,
        })
    }

    /// The value of one of the registers.
    #[must_use]
    pub fn get(&self, reg: SysReg) -> Option<u64> {
        self.of(FineRegister::of(reg)?)
    }

    /// Whether L1 wants to see its guest's access to a register or instruction (EC 0x18) that is not hidden; `hcrx` is its
    /// `HCRX_EL2`.
    #[must_use]
    pub fn wants(&self, row: Row, is_read: bool, hcrx: u64) -> bool {
        let exempt = hcrx & hcrx_el2::FGTnXS != 0 && row.reg.is_nxs();
        row.fine.control(is_read).is_some_and(|control| {
            let value = self.of(control.register);
            !exempt && value.is_some_and(|value| (value & control.mask != 0) == control.traps_when_set)
        })
    }
}

/// Bits that trap when they are 1, and are about what L1 is shown.
const TRAPS: [u64; 5] = {
    let mut traps = shown(true);
    traps[FineRegister::HFGITR as usize] |= hfgitr_el2::ERET | hfgitr_el2::SVC_EL0 | hfgitr_el2::SVC_EL1;
    traps
};

/// The same for those that trap when they are 0.
const ENABLES: [u64; 5] = shown(false);

const fn shown(when_set: bool) -> [u64; 5] {
    let (mut masks, mut part) = ([0; 5], 0);
    while part < Row::PARTS.len() {
        let (rows, mut index) = (Row::PARTS[part], 0);
        while index < rows.len() {
            let row = rows[index];
            let mut direction = 0;
            while direction < 2 {
                if let Some(control) = row.fine.control(direction == 0)
                    && control.traps_when_set == when_set
                    && (control.register as usize) < masks.len()
                    && !row.is_hidden()
                {
                    masks[control.register as usize] |= control.mask;
                }
                direction += 1;
            }
            index += 1;
        }
        part += 1;
    }
    masks
}

/// The names of what a value of such a register traps, each of those that share a bit once.
pub fn trapped_names(register: FineRegister, value: u64) -> impl Iterator<Item = &'static str> {
    let mut seen = 0;
    SysReg::rows().filter_map(move |(row, name)| {
        let both = [row.fine.control(true), row.fine.control(false)];
        let control = both
            .into_iter()
            .flatten()
            .find(|control| control.register == register)?;
        let is_new = seen & control.mask == 0;
        seen |= control.mask;
        (is_new && !row.is_hidden() && (value & control.mask != 0) == control.traps_when_set).then_some(name)
    })
}

#[cfg(test)]
mod tests;
