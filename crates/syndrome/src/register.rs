//! The registers of a vCPU by name, and where each is kept.
//!
//! A name means the register of the architecture, whoever runs: `SCTLR_EL2` is
//! L1's, `SCTLR_EL1` its guest's. With `hw/` before it, a name means the physical
//! register of the CPU that L0 has set up for whoever runs. The names `x0` to
//! `x30`, `pc` and `pstate` are of whoever runs.
//!
//! [`all`] is the list, in the order in which people read it; [`home`] says what
//! a hypervisor has to look at to find a value; [`layout`] takes a value apart.

mod layout;

use core::fmt;

use crate::{SysReg, sysreg::Place, vncr};

pub use layout::{Summary, is_telling, layout, unnamed};

/// One register of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// `x0` to `x30`.
    X(u8),
    /// The program counter.
    Pc,
    /// The processor state, as `SPSR_ELx` has it.
    Pstate,
    /// A system register of L1's or its guest's.
    Sys(SysReg),
    /// A physical register of the CPU.
    Hardware(SysReg),
}

/// Whose a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Of whoever runs.
    Running,
    /// L1.
    L1,
    /// L1's guest.
    L2,
    /// L0's own: the hardware.
    Hardware,
}

impl Owner {
    /// For a column.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "-",
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::Hardware => "hw",
        }
    }
}

/// Where a register of L1's or its guest's is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In the hardware, one for both contexts.
    Shared,
    /// In the hardware's EL1 register that has this slot in the VNCR page, while L1 runs; parked while its guest does.
    Vel2(usize),
    /// In the hardware's EL1 register while L1's guest runs; else at this offset of the VNCR page.
    Guest(usize),
    /// At this offset of the VNCR page, whoever runs.
    Page(usize),
    /// In a word of L0's own.
    Emulated,
    /// A timer of L1's: in the hardware while L1 runs.
    L1Timer,
    /// A timer of its guest's: in the hardware while that runs, else at this offset of the VNCR page.
    GuestTimer(usize),
    /// L1's interface for its guest, at this offset of the VNCR page: out of date while the guest runs.
    Interface(usize),
}

/// L1's and its guest's, in the order in which people read them.
static ORDER: &[SysReg] = &[
    SysReg::SP_EL0,
    SysReg::TPIDR_EL0,
    SysReg::TPIDRRO_EL0,
    SysReg::TPIDR_EL1,
    SysReg::PAR_EL1,
    SysReg::HCR_EL2,
    SysReg::SCTLR_EL2,
    SysReg::CPTR_EL2,
    SysReg::TCR_EL2,
    SysReg::TTBR0_EL2,
    SysReg::TTBR1_EL2,
    SysReg::MAIR_EL2,
    SysReg::AMAIR_EL2,
    SysReg::CONTEXTIDR_EL2,
    SysReg::VBAR_EL2,
    SysReg::ESR_EL2,
    SysReg::FAR_EL2,
    SysReg::HPFAR_EL2,
    SysReg::AFSR0_EL2,
    SysReg::AFSR1_EL2,
    SysReg::ELR_EL2,
    SysReg::SPSR_EL2,
    SysReg::SP_EL2,
    SysReg::TPIDR_EL2,
    SysReg::VTTBR_EL2,
    SysReg::VTCR_EL2,
    SysReg::VPIDR_EL2,
    SysReg::VMPIDR_EL2,
    SysReg::VSESR_EL2,
    SysReg::VDISR_EL2,
    SysReg::HSTR_EL2,
    SysReg::HCRX_EL2,
    SysReg::HFGRTR_EL2,
    SysReg::HFGWTR_EL2,
    SysReg::HFGITR_EL2,
    SysReg::HDFGRTR_EL2,
    SysReg::HDFGWTR_EL2,
    SysReg::MDCR_EL2,
    SysReg::CNTHCTL_EL2,
    SysReg::CNTVOFF_EL2,
    SysReg::CNTHP_CTL_EL2,
    SysReg::CNTHP_CVAL_EL2,
    SysReg::CNTHV_CTL_EL2,
    SysReg::CNTHV_CVAL_EL2,
    SysReg::ICH_HCR_EL2,
    SysReg::ICH_VMCR_EL2,
    SysReg::ICH_AP0R0_EL2,
    SysReg::ICH_AP1R0_EL2,
    SysReg::ICH_LR0_EL2,
    SysReg::ICH_LR1_EL2,
    SysReg::ICH_LR2_EL2,
    SysReg::ICH_LR3_EL2,
    SysReg::ICH_LR4_EL2,
    SysReg::ICH_LR5_EL2,
    SysReg::ICH_LR6_EL2,
    SysReg::ICH_LR7_EL2,
    SysReg::ICH_LR8_EL2,
    SysReg::ICH_LR9_EL2,
    SysReg::ICH_LR10_EL2,
    SysReg::ICH_LR11_EL2,
    SysReg::ICH_LR12_EL2,
    SysReg::ICH_LR13_EL2,
    SysReg::ICH_LR14_EL2,
    SysReg::ICH_LR15_EL2,
    SysReg::SCTLR_EL1,
    SysReg::CPACR_EL1,
    SysReg::TCR_EL1,
    SysReg::TTBR0_EL1,
    SysReg::TTBR1_EL1,
    SysReg::MAIR_EL1,
    SysReg::AMAIR_EL1,
    SysReg::CONTEXTIDR_EL1,
    SysReg::VBAR_EL1,
    SysReg::ESR_EL1,
    SysReg::FAR_EL1,
    SysReg::AFSR0_EL1,
    SysReg::AFSR1_EL1,
    SysReg::ELR_EL1,
    SysReg::SPSR_EL1,
    SysReg::SP_EL1,
    SysReg::CNTKCTL_EL1,
    SysReg::CNTP_CTL_EL0,
    SysReg::CNTP_CVAL_EL0,
    SysReg::CNTV_CTL_EL0,
    SysReg::CNTV_CVAL_EL0,
];

/// Physical registers that depend on who runs.
static HARDWARE: &[SysReg] = &[
    SysReg::HCR_EL2,
    SysReg::HCRX_EL2,
    SysReg::HFGRTR_EL2,
    SysReg::HFGWTR_EL2,
    SysReg::HFGITR_EL2,
    SysReg::HDFGRTR_EL2,
    SysReg::HDFGWTR_EL2,
    SysReg::VTTBR_EL2,
    SysReg::VTCR_EL2,
    SysReg::MDCR_EL2,
    SysReg::CPTR_EL2,
    SysReg::CNTHCTL_EL2,
    SysReg::CNTVOFF_EL2,
    SysReg::VNCR_EL2,
    SysReg::VPIDR_EL2,
    SysReg::VMPIDR_EL2,
    SysReg::MDSCR_EL1,
    SysReg::ICH_HCR_EL2,
    SysReg::ICH_VMCR_EL2,
    SysReg::ICH_AP0R0_EL2,
    SysReg::ICH_AP1R0_EL2,
    SysReg::ICH_MISR_EL2,
    SysReg::ICH_LR0_EL2,
    SysReg::ICH_LR1_EL2,
    SysReg::ICH_LR2_EL2,
    SysReg::ICH_LR3_EL2,
    SysReg::ICH_LR4_EL2,
    SysReg::ICH_LR5_EL2,
    SysReg::ICH_LR6_EL2,
    SysReg::ICH_LR7_EL2,
    SysReg::ICH_LR8_EL2,
    SysReg::ICH_LR9_EL2,
    SysReg::ICH_LR10_EL2,
    SysReg::ICH_LR11_EL2,
    SysReg::ICH_LR12_EL2,
    SysReg::ICH_LR13_EL2,
    SysReg::ICH_LR14_EL2,
    SysReg::ICH_LR15_EL2,
];

/// What a physical register has before its name.
const HARDWARE_PREFIX: &str = "hw/";
/// General-purpose registers.
const X_COUNT: u8 = 31;

/// Every register, and whose it is.
pub fn all() -> impl Iterator<Item = (Owner, Register)> {
    let running = (0..X_COUNT).map(Register::X).chain([Register::Pc, Register::Pstate]);
    running
        .map(|register| (Owner::Running, register))
        .chain(ORDER.iter().map(|reg| (owner(*reg), Register::Sys(*reg))))
        .chain(HARDWARE.iter().map(|reg| (Owner::Hardware, Register::Hardware(*reg))))
}

/// Where a register of L1's or its guest's is kept; `None` for one that a vCPU does not have.
#[must_use]
pub fn home(reg: SysReg) -> Option<Home> {
    const TIMERS: u8 = SysReg::CNTV_CTL_EL0.crn();
    const INTERFACE: u8 = SysReg::ICH_HCR_EL2.crn();
    if !ORDER.contains(&reg) {
        return None;
    }
    Some(match reg.row().place {
        // While L1 runs, the hardware's has bits of L1's CNTHCTL_EL2.
        _ if reg == SysReg::CNTKCTL_EL1 => Home::Emulated,
        Place::Hardware => Home::Shared,
        Place::Mapped(word) | Place::Redirected(word) | Place::Unnamed(word) => Home::Vel2(word.offset()),
        Place::Twin(word) if reg.crn() == TIMERS => Home::GuestTimer(word.offset()),
        Place::Twin(word) | Place::Guest(word) => Home::Guest(word.offset()),
        Place::Page(word) if reg.crn() == INTERFACE && reg != SysReg::VDISR_EL2 => Home::Interface(word.offset()),
        Place::Page(word) => Home::Page(word.offset()),
        Place::Timer => Home::L1Timer,
        Place::Emulated => Home::Emulated,
        Place::Absent | Place::Alias(_) | Place::Computed | Place::Zero | Place::Id => return None,
    })
}

fn owner(reg: SysReg) -> Owner {
    match reg.row().place {
        Place::Hardware if reg == SysReg::CNTKCTL_EL1 => Owner::L2,
        Place::Hardware => Owner::Running,
        Place::Twin(_) | Place::Guest(_) => Owner::L2,
        _ => Owner::L1,
    }
}

impl Register {
    /// The register that a person means: a name in any case, `lr` for `x30`, an `_EL12` or `_EL02` name for what L1
    /// reaches by it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(rest) = strip_prefix_any_case(name, HARDWARE_PREFIX) {
            return SysReg::from_name(rest).map(Self::Hardware);
        }
        if let Some(index) = strip_prefix_any_case(name, "x").and_then(|index| index.parse().ok()) {
            return (index < X_COUNT).then_some(Self::X(index));
        }
        match name {
            _ if name.eq_ignore_ascii_case("lr") => Some(Self::X(30)),
            _ if name.eq_ignore_ascii_case("pc") => Some(Self::Pc),
            _ if name.eq_ignore_ascii_case("pstate") => Some(Self::Pstate),
            _ => SysReg::from_name(name).map(|reg| Self::Sys(without_alias(reg))),
        }
    }
}

/// `text` without `prefix`, in whatever case that is.
fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// The register that an `_EL12` or `_EL02` name reaches.
fn without_alias(reg: SysReg) -> SysReg {
    match reg {
        SysReg::CNTKCTL_EL12 => SysReg::CNTKCTL_EL1,
        _ => vncr::slot(reg)
            .filter(|slot| slot.alias == Some(reg))
            .map_or(reg, |slot| slot.reg),
    }
}

/// Honours width and alignment, so that registers can stand in columns.
impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X(index) => write!(f, "x{index}"),
            Self::Pc => f.pad("pc"),
            Self::Pstate => f.pad("pstate"),
            Self::Sys(reg) => reg.fmt(f),
            Self::Hardware(reg) => write!(f, "{HARDWARE_PREFIX}{reg}"),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{collections::BTreeSet, string::ToString};

    #[test]
    fn every_register_is_found_by_its_name_in_any_case() {
        for (_, register) in all() {
            let name = register.to_string();
            assert_eq!(Register::parse(&name), Some(register), "{name}");
            assert_eq!(Register::parse(&name.to_lowercase()), Some(register), "{name}");
            assert_eq!(Register::parse(&name.to_uppercase()), Some(register), "{name}");
        }
    }

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<_> = all().map(|(_, register)| register.to_string()).collect();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn aliases_mean_what_they_reach() {
        assert_eq!(Register::parse("sctlr_el12"), Some(Register::Sys(SysReg::SCTLR_EL1)));
        assert_eq!(
            Register::parse("CNTV_CTL_EL02"),
            Some(Register::Sys(SysReg::CNTV_CTL_EL0))
        );
        assert_eq!(Register::parse("lr"), Some(Register::X(30)));
        for word in ["x31", "x-1", "x", "hw/", "hw/nothing", "", "é", "xé"] {
            assert_eq!(Register::parse(word), None, "{word}");
        }
    }

    #[test]
    fn every_register_has_a_home() {
        for reg in ORDER {
            assert!(home(*reg).is_some(), "{reg}");
        }
    }

    #[test]
    fn homes_follow_from_places() {
        assert_eq!(home(SysReg::SCTLR_EL2), Some(Home::Vel2(vncr::SCTLR_EL1)));
        assert_eq!(home(SysReg::SP_EL2), Some(Home::Vel2(vncr::SP_EL1)));
        assert_eq!(home(SysReg::SP_EL1), Some(Home::Guest(vncr::SP_EL1)));
        assert_eq!(home(SysReg::VDISR_EL2), Some(Home::Page(vncr::VDISR_EL2)));
        assert_eq!(home(SysReg::ICH_LR3_EL2), Some(Home::Interface(vncr::ICH_LR3_EL2)));
        assert_eq!(home(SysReg::CNTKCTL_EL1), Some(Home::Emulated));
        assert_eq!(home(SysReg::CNTFRQ_EL0), None);
    }
}
