//! The VNCR page: where FEAT_NV2 keeps a guest hypervisor's registers.
//!
//! While `HCR_EL2.{NV,NV2}` are set, an access from EL1 to one of these
//! registers is a load or store at `VNCR_EL2` plus a fixed offset (DDI 0487,
//! "Loading and storing EL2 registers in memory"). The hypervisor sees no exit;
//! it finds the values in the page, and leaves there what the guest is to read.
//! The page has 512 slots of eight bytes. Offsets here are in bytes.
//!
//! Which *name* leads to a slot depends on `HCR_EL2.NV1`, that is on whether the
//! guest believes `E2H` is 0. A VHE guest (`NV1` = 0) has its own EL2 registers
//! in the EL1 hardware under EL1 names, and reaches its guest's EL1 registers,
//! which are in the page, as `_EL12`. A non-VHE guest (`NV1` = 1) means its
//! guest's registers when it says `_EL1`.
//! [`Place::is_memory`](crate::sysreg::Place::is_memory) is that rule.
//!
//! The offsets are in the table of registers ([`sysreg`](crate::sysreg)); here
//! they have names, and an order.

use crate::{
    SysReg,
    sysreg::{Place, Row},
};

/// Size of the page, and its alignment: 4 KiB.
pub const PAGE_BYTES: usize = 4096;

/// A word of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(u8);

impl Word {
    /// The word at byte `offset`.
    ///
    /// # Panics
    ///
    /// If that is none, or too far behind.
    #[must_use]
    pub const fn at(offset: usize) -> Self {
        assert!(offset.is_multiple_of(8) && offset / 8 <= u8::MAX as usize, "no word");
        Self((offset / 8) as u8)
    }

    /// Its offset in bytes.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.0 as usize * 8
    }
}

/// One register of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The register, under the name that owns the word.
    pub reg: SysReg,
    /// Its `_EL12` or `_EL02` name.
    pub alias: Option<SysReg>,
    word: Word,
}

impl Slot {
    /// Offset in the page in bytes, a multiple of 8.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.word.offset()
    }
}

/// The slot a register has under any of its names.
#[must_use]
pub fn slot(reg: SysReg) -> Option<&'static Slot> {
    SLOTS.iter().find(|slot| slot.reg == reg || slot.alias == Some(reg))
}

/// Byte offset of the slot a register has under any of its names.
#[must_use]
pub fn offset(reg: SysReg) -> Option<usize> {
    slot(reg).map(Slot::offset)
}

/// How many slots have a name.
pub const SLOT_COUNT: usize = count();

/// Every slot, ascending by offset.
pub fn slots() -> impl Iterator<Item = &'static Slot> {
    SLOTS.iter()
}

static SLOTS: [Slot; SLOT_COUNT] = collect();

/// The registers of each word: that which owns it, and its alias.
const fn owners() -> [(Option<SysReg>, Option<SysReg>); PAGE_BYTES / 8] {
    let mut owners = [(None, None); PAGE_BYTES / 8];
    let mut part = 0;
    while part < Row::PARTS.len() {
        let (rows, mut index) = (Row::PARTS[part], 0);
        while index < rows.len() {
            let row = rows[index];
            if let Some(word) = row.place.own_word() {
                let owner = &mut owners[word.0 as usize].0;
                assert!(owner.is_none(), "a word has one owner");
                *owner = Some(row.reg);
            }
            if let Place::Alias(word) = row.place {
                owners[word.0 as usize].1 = Some(row.reg);
            }
            index += 1;
        }
        part += 1;
    }
    owners
}

const fn count() -> usize {
    let (owners, mut count, mut word) = (owners(), 0, 0);
    while word < owners.len() {
        count += owners[word].0.is_some() as usize;
        word += 1;
    }
    count
}

const fn collect() -> [Slot; SLOT_COUNT] {
    let owners = owners();
    let none = Slot {
        reg: SysReg::from_bits(0),
        alias: None,
        word: Word(0),
    };
    let (mut slots, mut next, mut word) = ([none; SLOT_COUNT], 0, 0);
    while word < owners.len() {
        if let (Some(reg), alias) = owners[word] {
            slots[next] = Slot {
                reg,
                alias,
                word: Word(word as u8),
            };
            next += 1;
        }
        word += 1;
    }
    slots
}

/// Declares a constant with the offset of each register.
macro_rules! offsets {
    ($($name:ident)*) => {$(
        #[doc = concat!("Byte offset of `", stringify!($name), "`.")]
        pub const $name: usize = match SysReg::$name.const_row().place.own_word() {
            Some(word) => word.offset(),
            None => panic!("not in the page"),
        };
    )*};
}

offsets! {
    VTTBR_EL2 VSTTBR_EL2 VTCR_EL2 VSTCR_EL2 VMPIDR_EL2 CNTVOFF_EL2 HCR_EL2 HSTR_EL2 VPIDR_EL2 TPIDR_EL2 HCRX_EL2
    VNCR_EL2 CPACR_EL1 CONTEXTIDR_EL1 SCTLR_EL1 ACTLR_EL1 TCR_EL1 AFSR0_EL1 AFSR1_EL1 ESR_EL1 MAIR_EL1 AMAIR_EL1
    MDSCR_EL1 SPSR_EL1 CNTV_CVAL_EL0 CNTV_CTL_EL0 CNTP_CVAL_EL0 CNTP_CTL_EL0 SCXTNUM_EL1 TFSR_EL1 HDFGRTR2_EL2
    CNTPOFF_EL2 HDFGWTR2_EL2 HFGRTR_EL2 HFGWTR_EL2 HFGITR_EL2 HDFGRTR_EL2 HDFGWTR_EL2 ZCR_EL1 HAFGRTR_EL2 SMCR_EL1
    SMPRIMAP_EL2 TTBR0_EL1 TTBR1_EL1 FAR_EL1 ELR_EL1 SP_EL1 VBAR_EL1 TCR2_EL1 SCTLR2_EL1 PIRE0_EL1 PIR_EL1 POR_EL1
    HFGRTR2_EL2 HFGWTR2_EL2 HFGITR2_EL2 ICH_LR0_EL2 ICH_LR1_EL2 ICH_LR2_EL2 ICH_LR3_EL2 ICH_LR4_EL2 ICH_LR5_EL2
    ICH_LR6_EL2 ICH_LR7_EL2 ICH_LR8_EL2 ICH_LR9_EL2 ICH_LR10_EL2 ICH_LR11_EL2 ICH_LR12_EL2 ICH_LR13_EL2 ICH_LR14_EL2
    ICH_LR15_EL2 ICH_AP0R0_EL2 ICH_AP0R1_EL2 ICH_AP0R2_EL2 ICH_AP0R3_EL2 ICH_AP1R0_EL2 ICH_AP1R1_EL2 ICH_AP1R2_EL2
    ICH_AP1R3_EL2 ICH_HCR_EL2 ICH_VMCR_EL2 VDISR_EL2 VSESR_EL2
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{string::String, vec::Vec};

    #[test]
    fn slots_ascend_inside_the_page() {
        let offsets: Vec<usize> = slots().map(Slot::offset).collect();
        assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(offsets.iter().all(|offset| *offset < PAGE_BYTES));
    }

    #[test]
    fn aliases_are_the_el12_or_el02_names_of_their_registers() {
        for slot in slots() {
            let is_twin = matches!(slot.reg.row().place, Place::Twin(_));
            assert_eq!(slot.alias.is_some(), is_twin, "{}", slot.reg);
            let Some(alias) = slot.alias else { continue };
            assert_eq!(alias.op1(), 5);
            let expected: String = std::format!("{}2", slot.reg.name().expect("slots are named registers"));
            assert_eq!(alias.name(), Some(expected.as_str()));
        }
    }

    #[test]
    fn vhe_guest_reaches_its_guest_by_alias_and_non_vhe_by_name() {
        let is_memory = |reg: SysReg, nv1| reg.row().place.is_memory(nv1);
        assert!(is_memory(SysReg::SCTLR_EL12, false) && !is_memory(SysReg::SCTLR_EL1, false));
        assert!(is_memory(SysReg::SCTLR_EL1, true) && !is_memory(SysReg::SCTLR_EL12, true));
    }

    #[test]
    fn some_registers_are_memory_in_every_mode() {
        for reg in [SysReg::HCR_EL2, SysReg::SP_EL1, SysReg::MDSCR_EL1, SysReg::ACTLR_EL1] {
            let place = reg.row().place;
            assert!(place.is_memory(false) && place.is_memory(true), "{reg}");
        }
    }

    #[test]
    fn without_nv2_each_word_is_reached_by_the_name_that_has_it_with_nv2() {
        for slot in slots() {
            for reg in [Some(slot.reg), slot.alias].into_iter().flatten() {
                let place = reg.row().place;
                let word = place.word_with_vhe();
                assert_eq!(word.is_some(), place.is_memory(false), "{reg}");
                assert!(word.is_none_or(|word| word.offset() == slot.offset()), "{reg}");
            }
        }
    }

    #[test]
    fn trapped_and_redirected_registers_have_no_slot() {
        for reg in [
            SysReg::SCTLR_EL2,
            SysReg::ESR_EL2,
            SysReg::CNTKCTL_EL12,
            SysReg::CNTP_TVAL_EL02,
            SysReg::ICH_MISR_EL2,
        ] {
            assert_eq!(offset(reg), None, "{reg}");
        }
        assert_eq!(offset(SysReg::CNTV_CTL_EL02), Some(CNTV_CTL_EL0));
    }
}
