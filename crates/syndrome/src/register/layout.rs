//! Values of registers, taken apart: fields, and what the whole says.

use core::fmt;

use super::Register;
use crate::{
    Esr, SysReg,
    esr::{FaultStatus, hpfar},
    fgt::{self, FineRegister},
    regs::{
        cnt_ctl, cnthctl_el2, cntkctl_el1, cpacr, cptr_el2, esr, field::Field, hcr_el2, hcrx_el2, hpfar_el2,
        ich_hcr_el2, ich_lr_el2, ich_misr_el2, ich_vmcr_el2, mair, mdcr_el2, mdscr_el1, midr, mpidr, par_el1, pstate,
        sctlr, tcr, ttbr, vtcr_el2, vttbr_el2,
    },
};

/// The fields of a register that holds `value`, in groups; empty for one without fields here.
#[must_use]
pub fn layout(register: Register, value: u64) -> &'static [&'static [Field]] {
    match register {
        Register::X(_) | Register::Pc => &[],
        Register::Pstate => &[pstate::FIELDS],
        Register::Hardware(SysReg::CPTR_EL2) => &[cptr_el2::FIELDS],
        Register::Hardware(SysReg::CNTHCTL_EL2) => &[cnthctl_el2::CLASSIC, cnthctl_el2::COMMON],
        Register::Hardware(reg) | Register::Sys(reg) => layout_of(reg, value),
    }
}

/// The fields of a register as L1, with `E2H` = 1, and its guest have it.
fn layout_of(reg: SysReg, value: u64) -> &'static [&'static [Field]] {
    if reg.is_within(SysReg::ICH_LR0_EL2, SysReg::ICH_LR15_EL2) {
        return match value & ich_lr_el2::HW {
            0 => &[ich_lr_el2::COMMON, ich_lr_el2::UNLINKED],
            _ => &[ich_lr_el2::COMMON, ich_lr_el2::LINKED],
        };
    }
    match reg {
        SysReg::HCR_EL2 => &[hcr_el2::FIELDS],
        SysReg::HCRX_EL2 => &[hcrx_el2::FIELDS],
        SysReg::VTCR_EL2 => &[vtcr_el2::FIELDS],
        SysReg::VTTBR_EL2 => &[vttbr_el2::FIELDS],
        SysReg::SCTLR_EL1 | SysReg::SCTLR_EL2 => &[sctlr::FIELDS],
        SysReg::TCR_EL1 | SysReg::TCR_EL2 => &[tcr::FIELDS],
        SysReg::TTBR0_EL1 | SysReg::TTBR1_EL1 | SysReg::TTBR0_EL2 | SysReg::TTBR1_EL2 => &[ttbr::FIELDS],
        SysReg::MAIR_EL1 | SysReg::MAIR_EL2 => &[mair::FIELDS],
        SysReg::ESR_EL1 | SysReg::ESR_EL2 | SysReg::VSESR_EL2 => &[esr::FIELDS],
        SysReg::SPSR_EL1 | SysReg::SPSR_EL2 => &[pstate::FIELDS],
        SysReg::CPTR_EL2 => &[cpacr::FIELDS, cpacr::CPTR_ONLY],
        SysReg::CPACR_EL1 => &[cpacr::FIELDS],
        SysReg::MDCR_EL2 => &[mdcr_el2::FIELDS],
        SysReg::MDSCR_EL1 => &[mdscr_el1::FIELDS],
        SysReg::CNTHCTL_EL2 => &[cnthctl_el2::VHE, cnthctl_el2::COMMON],
        SysReg::CNTKCTL_EL1 => &[cntkctl_el1::FIELDS],
        SysReg::CNTHP_CTL_EL2 | SysReg::CNTHV_CTL_EL2 | SysReg::CNTP_CTL_EL0 | SysReg::CNTV_CTL_EL0 => {
            &[cnt_ctl::FIELDS]
        }
        SysReg::ICH_HCR_EL2 => &[ich_hcr_el2::FIELDS],
        SysReg::ICH_VMCR_EL2 => &[ich_vmcr_el2::FIELDS],
        SysReg::ICH_MISR_EL2 => &[ich_misr_el2::FIELDS],
        SysReg::HPFAR_EL2 => &[hpfar_el2::FIELDS],
        SysReg::PAR_EL1 if value & par_el1::F != 0 => &[par_el1::COMMON, par_el1::FAULT],
        SysReg::PAR_EL1 => &[par_el1::COMMON, par_el1::FOUND],
        SysReg::VMPIDR_EL2 | SysReg::MPIDR_EL1 => &[mpidr::FIELDS],
        SysReg::VPIDR_EL2 | SysReg::MIDR_EL1 => &[midr::FIELDS],
        _ => &[],
    }
}

/// Whether a field is worth a line: it is not zero, it is a number or a choice, or its zero is what traps.
#[must_use]
pub fn is_telling(field: &Field, value: u64) -> bool {
    field.of(value) != 0 || field.width > 1 || field.acts_when_zero()
}

/// The bits of `value` that are set and in no field.
#[must_use]
pub fn unnamed(register: Register, value: u64) -> u64 {
    let known = layout(register, value)
        .iter()
        .flat_map(|fields| fields.iter())
        .fold(0, |mask, field| mask | field.mask());
    value & !known
}

/// What a value means as a whole, in words; nothing for most registers.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// The register.
    pub register: Register,
    /// Its value.
    pub value: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Register::Sys(reg) | Register::Hardware(reg)) = self.register else {
            return Ok(());
        };
        let value = self.value;
        match reg {
            SysReg::ESR_EL1 | SysReg::ESR_EL2 => write!(f, "{}", Esr(value)),
            SysReg::HPFAR_EL2 => write!(f, "IPA {:#x}", hpfar::faulting_ipa(value, 0)),
            SysReg::VTCR_EL2 => write!(f, "{} bits of IPA", 64 - (value & vtcr_el2::T0SZ)),
            SysReg::PAR_EL1 if value & par_el1::F != 0 => {
                let status = (value & par_el1::FST) >> par_el1::FST.trailing_zeros();
                write!(f, "{}", FaultStatus::decode(status as u8))
            }
            SysReg::PAR_EL1 => write!(f, "address {:#x}", value & par_el1::PA),
            _ => match FineRegister::of(reg) {
                Some(register) => list(f, fgt::trapped_names(register, value)),
                None => Ok(()),
            },
        }
    }
}

/// The first of what is trapped, and how much more there is.
fn list(f: &mut fmt::Formatter<'_>, mut names: impl Iterator<Item = &'static str>) -> fmt::Result {
    const SHOWN: usize = 4;
    for (index, name) in names.by_ref().take(SHOWN).enumerate() {
        write!(f, "{}{name}", if index == 0 { "traps " } else { ", " })?;
    }
    match names.count() {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::register::all;
    use proptest::prelude::*;
    use std::{string::ToString, vec::Vec};

    #[test]
    fn fields_of_a_layout_do_not_overlap() {
        let registers: Vec<_> = all()
            .map(|(_, register)| register)
            .chain([Register::Sys(SysReg::ICH_LR3_EL2)])
            .collect();
        for register in registers {
            for value in [0, u64::MAX] {
                let mut seen = 0;
                for field in layout(register, value).iter().flat_map(|fields| fields.iter()) {
                    assert_eq!(seen & field.mask(), 0, "{register}.{}", field.name);
                    seen |= field.mask();
                }
                assert_eq!(unnamed(register, value), value & !seen, "{register}");
            }
        }
    }

    #[test]
    fn layout_follows_who_reads_and_what_is_in_it() {
        let names = |register, value| -> Vec<_> {
            layout(register, value)
                .iter()
                .flat_map(|fields| fields.iter())
                .map(|field| field.name)
                .collect()
        };
        let lr = Register::Sys(SysReg::ICH_LR0_EL2);
        assert!(names(lr, ich_lr_el2::HW).contains(&"pINTID"));
        assert!(names(lr, 0).contains(&"EOI"));
        assert!(names(Register::Sys(SysReg::CPTR_EL2), 0).contains(&"FPEN"));
        assert!(names(Register::Hardware(SysReg::CPTR_EL2), 0).contains(&"TFP"));
    }

    #[test]
    fn summaries_are_words() {
        let text = |reg, value| {
            Summary {
                register: Register::Sys(reg),
                value,
            }
            .to_string()
        };
        assert_eq!(text(SysReg::ESR_EL2, 0x5a00_0001), "HVC64 #1");
        assert_eq!(text(SysReg::PAR_EL1, 0x80b), "translation fault, level 1");
        assert_eq!(text(SysReg::SCTLR_EL1, 1), "");
        assert_eq!(text(SysReg::HFGITR_EL2, 0), "");
        assert_eq!(text(SysReg::HFGITR_EL2, 3), "traps IC IALLUIS, IC IALLU");
        let all = text(SysReg::HFGRTR_EL2, u64::MAX);
        assert_eq!(all, "traps MIDR_EL1, MPIDR_EL1, REVIDR_EL1, SCTLR_EL1 and 44 more");
    }

    proptest! {
        #[test]
        fn every_value_of_every_register_decodes(value: u64) {
            for (_, register) in all() {
                let mut sum = unnamed(register, value);
                for field in layout(register, value).iter().flat_map(|fields| fields.iter()) {
                    prop_assert!(!field.words().to_string().is_empty());
                    let _ = (field.meaning(field.of(value)), is_telling(field, value));
                    sum |= field.of(value) << field.low;
                }
                if !layout(register, value).is_empty() {
                    prop_assert_eq!(sum, value);
                }
                let _ = Summary { register, value }.to_string();
            }
        }
    }
}
