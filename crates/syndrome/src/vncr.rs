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
//! guest's registers when it says `_EL1`. [`Slot::is_memory`] is that rule.

use crate::SysReg;

/// Size of the page, and its alignment: 4 KiB.
pub const PAGE_BYTES: usize = 4096;

/// Which names reach a slot, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An EL2 register (or `SP_EL1`): in memory in every NV2 mode.
    El2,
    /// A register of the guest's EL1 or EL0: in memory under its `_EL12` or
    /// `_EL02` name with `NV1` = 0, under its own name with `NV1` = 1.
    El1,
    /// `MDSCR_EL1` and `ACTLR_EL1`: no alias, in memory in every NV2 mode.
    El1Always,
}

/// One register of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The register, under the name that owns the offset.
    pub reg: SysReg,
    /// Its `_EL12` or `_EL02` name.
    pub alias: Option<SysReg>,
    /// Offset in the page in bytes, a multiple of 8.
    pub offset: usize,
    /// Which names reach it.
    pub class: Class,
}

impl Slot {
    /// Whether an access to `reg` from virtual EL2 is an access to this slot,
    /// given `HCR_EL2.NV1`.
    #[must_use]
    pub fn is_memory(&self, reg: SysReg, nv1: bool) -> bool {
        match self.class {
            Class::El2 | Class::El1Always => reg == self.reg,
            Class::El1 if nv1 => reg == self.reg,
            Class::El1 => self.alias == Some(reg),
        }
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
    slot(reg).map(|slot| slot.offset)
}

/// How many slots have a name.
pub const SLOT_COUNT: usize = SLOTS.len();

/// Every slot, ascending by offset.
pub fn slots() -> impl Iterator<Item = &'static Slot> {
    SLOTS.iter()
}

/// Declares the slots: a constant with the offset, and a row of [`SLOTS`].
macro_rules! slots {
    (@alias) => { None };
    (@alias $alias:ident) => { Some(SysReg::$alias) };
    ($($name:ident $(/ $alias:ident)? = $offset:literal, $class:ident;)*) => {
        $(
            #[doc = concat!("Byte offset of `", stringify!($name), "`", $(" (`", stringify!($alias), "`)",)? ".")]
            pub const $name: usize = $offset;
        )*

        static SLOTS: &[Slot] = &[$(
            Slot {
                reg: SysReg::$name,
                alias: slots!(@alias $($alias)?),
                offset: $offset,
                class: Class::$class,
            },
        )*];
    };
}

slots! {
    VTTBR_EL2 = 0x020, El2;
    VSTTBR_EL2 = 0x030, El2;
    VTCR_EL2 = 0x040, El2;
    VSTCR_EL2 = 0x048, El2;
    VMPIDR_EL2 = 0x050, El2;
    CNTVOFF_EL2 = 0x060, El2;
    HCR_EL2 = 0x078, El2;
    HSTR_EL2 = 0x080, El2;
    VPIDR_EL2 = 0x088, El2;
    TPIDR_EL2 = 0x090, El2;
    HCRX_EL2 = 0x0a0, El2;
    VNCR_EL2 = 0x0b0, El2;
    CPACR_EL1 / CPACR_EL12 = 0x100, El1;
    CONTEXTIDR_EL1 / CONTEXTIDR_EL12 = 0x108, El1;
    SCTLR_EL1 / SCTLR_EL12 = 0x110, El1;
    ACTLR_EL1 = 0x118, El1Always;
    TCR_EL1 / TCR_EL12 = 0x120, El1;
    AFSR0_EL1 / AFSR0_EL12 = 0x128, El1;
    AFSR1_EL1 / AFSR1_EL12 = 0x130, El1;
    ESR_EL1 / ESR_EL12 = 0x138, El1;
    MAIR_EL1 / MAIR_EL12 = 0x140, El1;
    AMAIR_EL1 / AMAIR_EL12 = 0x148, El1;
    MDSCR_EL1 = 0x158, El1Always;
    SPSR_EL1 / SPSR_EL12 = 0x160, El1;
    CNTV_CVAL_EL0 / CNTV_CVAL_EL02 = 0x168, El1;
    CNTV_CTL_EL0 / CNTV_CTL_EL02 = 0x170, El1;
    CNTP_CVAL_EL0 / CNTP_CVAL_EL02 = 0x178, El1;
    CNTP_CTL_EL0 / CNTP_CTL_EL02 = 0x180, El1;
    SCXTNUM_EL1 / SCXTNUM_EL12 = 0x188, El1;
    TFSR_EL1 / TFSR_EL12 = 0x190, El1;
    HDFGRTR2_EL2 = 0x1a0, El2;
    CNTPOFF_EL2 = 0x1a8, El2;
    HDFGWTR2_EL2 = 0x1b0, El2;
    HFGRTR_EL2 = 0x1b8, El2;
    HFGWTR_EL2 = 0x1c0, El2;
    HFGITR_EL2 = 0x1c8, El2;
    HDFGRTR_EL2 = 0x1d0, El2;
    HDFGWTR_EL2 = 0x1d8, El2;
    ZCR_EL1 / ZCR_EL12 = 0x1e0, El1;
    HAFGRTR_EL2 = 0x1e8, El2;
    SMCR_EL1 / SMCR_EL12 = 0x1f0, El1;
    SMPRIMAP_EL2 = 0x1f8, El2;
    TTBR0_EL1 / TTBR0_EL12 = 0x200, El1;
    TTBR1_EL1 / TTBR1_EL12 = 0x210, El1;
    FAR_EL1 / FAR_EL12 = 0x220, El1;
    ELR_EL1 / ELR_EL12 = 0x230, El1;
    SP_EL1 = 0x240, El2;
    VBAR_EL1 / VBAR_EL12 = 0x250, El1;
    TCR2_EL1 / TCR2_EL12 = 0x270, El1;
    SCTLR2_EL1 / SCTLR2_EL12 = 0x278, El1;
    PIRE0_EL1 / PIRE0_EL12 = 0x290, El1;
    PIR_EL1 / PIR_EL12 = 0x2a0, El1;
    POR_EL1 / POR_EL12 = 0x2a8, El1;
    HFGRTR2_EL2 = 0x2c0, El2;
    HFGWTR2_EL2 = 0x2c8, El2;
    HFGITR2_EL2 = 0x310, El2;
    ICH_LR0_EL2 = 0x400, El2;
    ICH_LR1_EL2 = 0x408, El2;
    ICH_LR2_EL2 = 0x410, El2;
    ICH_LR3_EL2 = 0x418, El2;
    ICH_LR4_EL2 = 0x420, El2;
    ICH_LR5_EL2 = 0x428, El2;
    ICH_LR6_EL2 = 0x430, El2;
    ICH_LR7_EL2 = 0x438, El2;
    ICH_LR8_EL2 = 0x440, El2;
    ICH_LR9_EL2 = 0x448, El2;
    ICH_LR10_EL2 = 0x450, El2;
    ICH_LR11_EL2 = 0x458, El2;
    ICH_LR12_EL2 = 0x460, El2;
    ICH_LR13_EL2 = 0x468, El2;
    ICH_LR14_EL2 = 0x470, El2;
    ICH_LR15_EL2 = 0x478, El2;
    ICH_AP0R0_EL2 = 0x480, El2;
    ICH_AP0R1_EL2 = 0x488, El2;
    ICH_AP0R2_EL2 = 0x490, El2;
    ICH_AP0R3_EL2 = 0x498, El2;
    ICH_AP1R0_EL2 = 0x4a0, El2;
    ICH_AP1R1_EL2 = 0x4a8, El2;
    ICH_AP1R2_EL2 = 0x4b0, El2;
    ICH_AP1R3_EL2 = 0x4b8, El2;
    ICH_HCR_EL2 = 0x4c0, El2;
    ICH_VMCR_EL2 = 0x4c8, El2;
    VDISR_EL2 = 0x500, El2;
    VSESR_EL2 = 0x508, El2;
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{string::String, vec::Vec};

    #[test]
    fn slots_ascend_in_steps_of_eight_inside_the_page() {
        let offsets: Vec<usize> = slots().map(|slot| slot.offset).collect();
        assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(offsets.iter().all(|offset| offset % 8 == 0 && *offset < PAGE_BYTES));
    }

    #[test]
    fn aliases_are_the_el12_or_el02_names_of_their_registers() {
        for slot in slots() {
            let Some(alias) = slot.alias else {
                assert_ne!(slot.class, Class::El1, "{}", slot.reg);
                continue;
            };
            assert_eq!(slot.class, Class::El1);
            assert_eq!(alias.op1(), 5);
            let expected: String = std::format!("{}2", slot.reg.name().expect("slots are named registers"));
            assert_eq!(alias.name(), Some(expected.as_str()));
        }
    }

    #[test]
    fn vhe_guest_reaches_its_guest_by_alias_and_non_vhe_by_name() {
        let sctlr = slot(SysReg::SCTLR_EL1).expect("known");
        assert!(sctlr.is_memory(SysReg::SCTLR_EL12, false));
        assert!(!sctlr.is_memory(SysReg::SCTLR_EL1, false));
        assert!(sctlr.is_memory(SysReg::SCTLR_EL1, true));
        assert!(!sctlr.is_memory(SysReg::SCTLR_EL12, true));
    }

    #[test]
    fn some_registers_are_memory_in_every_mode() {
        for reg in [SysReg::HCR_EL2, SysReg::SP_EL1, SysReg::MDSCR_EL1, SysReg::ACTLR_EL1] {
            let slot = slot(reg).expect("known");
            assert!(slot.is_memory(reg, false) && slot.is_memory(reg, true));
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
