//! The registers of a vCPU by name, and where each is kept.
//!
//! A name means the register of the architecture, whoever runs: `SCTLR_EL2` is
//! L1's, `SCTLR_EL1` its guest's. With `hw/` before it, a name means the physical
//! register of the CPU that L0 has set up for whoever runs. The names `x0` to
//! `x30`, `pc` and `pstate` are of whoever runs.
//!
//! [`all`] is the list, in the order in which people read it; [`home`] says what
//! a hypervisor has to look at to find a value; [`layout`] takes a value apart.

use core::fmt;

use crate::{
    Esr, SysReg,
    esr::{FaultStatus, hpfar},
    regs::{
        cnt_ctl, cnthctl_el2, cntkctl_el1, cpacr, cptr_el2, esr, field::Field, hcr_el2, hpfar_el2, ich_hcr_el2,
        ich_lr_el2, ich_misr_el2, ich_vmcr_el2, mair, mdcr_el2, mdscr_el1, midr, mpidr, par_el1, pstate, sctlr, tcr,
        ttbr, vtcr_el2, vttbr_el2,
    },
    vncr,
};

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

/// A row of the table.
type Row = (Owner, SysReg, Home);

const fn shared(reg: SysReg) -> Row {
    (Owner::Running, reg, Home::Shared)
}
const fn vel2(reg: SysReg, slot: usize) -> Row {
    (Owner::L1, reg, Home::Vel2(slot))
}
const fn page(reg: SysReg, slot: usize) -> Row {
    (Owner::L1, reg, Home::Page(slot))
}
const fn emulated(reg: SysReg) -> Row {
    (Owner::L1, reg, Home::Emulated)
}
const fn interface(reg: SysReg, slot: usize) -> Row {
    (Owner::L1, reg, Home::Interface(slot))
}
const fn guest(reg: SysReg, slot: usize) -> Row {
    (Owner::L2, reg, Home::Guest(slot))
}

static ROWS: &[Row] = &[
    shared(SysReg::SP_EL0),
    shared(SysReg::TPIDR_EL0),
    shared(SysReg::TPIDRRO_EL0),
    shared(SysReg::TPIDR_EL1),
    shared(SysReg::PAR_EL1),
    page(SysReg::HCR_EL2, vncr::HCR_EL2),
    vel2(SysReg::SCTLR_EL2, vncr::SCTLR_EL1),
    vel2(SysReg::CPTR_EL2, vncr::CPACR_EL1),
    vel2(SysReg::TCR_EL2, vncr::TCR_EL1),
    vel2(SysReg::TTBR0_EL2, vncr::TTBR0_EL1),
    vel2(SysReg::TTBR1_EL2, vncr::TTBR1_EL1),
    vel2(SysReg::MAIR_EL2, vncr::MAIR_EL1),
    vel2(SysReg::AMAIR_EL2, vncr::AMAIR_EL1),
    vel2(SysReg::CONTEXTIDR_EL2, vncr::CONTEXTIDR_EL1),
    vel2(SysReg::VBAR_EL2, vncr::VBAR_EL1),
    vel2(SysReg::ESR_EL2, vncr::ESR_EL1),
    vel2(SysReg::FAR_EL2, vncr::FAR_EL1),
    emulated(SysReg::HPFAR_EL2),
    vel2(SysReg::AFSR0_EL2, vncr::AFSR0_EL1),
    vel2(SysReg::AFSR1_EL2, vncr::AFSR1_EL1),
    vel2(SysReg::ELR_EL2, vncr::ELR_EL1),
    vel2(SysReg::SPSR_EL2, vncr::SPSR_EL1),
    vel2(SysReg::SP_EL2, vncr::SP_EL1),
    page(SysReg::TPIDR_EL2, vncr::TPIDR_EL2),
    page(SysReg::VTTBR_EL2, vncr::VTTBR_EL2),
    page(SysReg::VTCR_EL2, vncr::VTCR_EL2),
    page(SysReg::VPIDR_EL2, vncr::VPIDR_EL2),
    page(SysReg::VMPIDR_EL2, vncr::VMPIDR_EL2),
    page(SysReg::VSESR_EL2, vncr::VSESR_EL2),
    page(SysReg::VDISR_EL2, vncr::VDISR_EL2),
    page(SysReg::HSTR_EL2, vncr::HSTR_EL2),
    emulated(SysReg::MDCR_EL2),
    emulated(SysReg::CNTHCTL_EL2),
    page(SysReg::CNTVOFF_EL2, vncr::CNTVOFF_EL2),
    (Owner::L1, SysReg::CNTHP_CTL_EL2, Home::L1Timer),
    (Owner::L1, SysReg::CNTHP_CVAL_EL2, Home::L1Timer),
    (Owner::L1, SysReg::CNTHV_CTL_EL2, Home::L1Timer),
    (Owner::L1, SysReg::CNTHV_CVAL_EL2, Home::L1Timer),
    interface(SysReg::ICH_HCR_EL2, vncr::ICH_HCR_EL2),
    interface(SysReg::ICH_VMCR_EL2, vncr::ICH_VMCR_EL2),
    interface(SysReg::ICH_AP0R0_EL2, vncr::ICH_AP0R0_EL2),
    interface(SysReg::ICH_AP1R0_EL2, vncr::ICH_AP1R0_EL2),
    interface(SysReg::ICH_LR0_EL2, vncr::ICH_LR0_EL2),
    interface(SysReg::ICH_LR1_EL2, vncr::ICH_LR1_EL2),
    interface(SysReg::ICH_LR2_EL2, vncr::ICH_LR2_EL2),
    interface(SysReg::ICH_LR3_EL2, vncr::ICH_LR3_EL2),
    interface(SysReg::ICH_LR4_EL2, vncr::ICH_LR4_EL2),
    interface(SysReg::ICH_LR5_EL2, vncr::ICH_LR5_EL2),
    interface(SysReg::ICH_LR6_EL2, vncr::ICH_LR6_EL2),
    interface(SysReg::ICH_LR7_EL2, vncr::ICH_LR7_EL2),
    interface(SysReg::ICH_LR8_EL2, vncr::ICH_LR8_EL2),
    interface(SysReg::ICH_LR9_EL2, vncr::ICH_LR9_EL2),
    interface(SysReg::ICH_LR10_EL2, vncr::ICH_LR10_EL2),
    interface(SysReg::ICH_LR11_EL2, vncr::ICH_LR11_EL2),
    interface(SysReg::ICH_LR12_EL2, vncr::ICH_LR12_EL2),
    interface(SysReg::ICH_LR13_EL2, vncr::ICH_LR13_EL2),
    interface(SysReg::ICH_LR14_EL2, vncr::ICH_LR14_EL2),
    interface(SysReg::ICH_LR15_EL2, vncr::ICH_LR15_EL2),
    guest(SysReg::SCTLR_EL1, vncr::SCTLR_EL1),
    guest(SysReg::CPACR_EL1, vncr::CPACR_EL1),
    guest(SysReg::TCR_EL1, vncr::TCR_EL1),
    guest(SysReg::TTBR0_EL1, vncr::TTBR0_EL1),
    guest(SysReg::TTBR1_EL1, vncr::TTBR1_EL1),
    guest(SysReg::MAIR_EL1, vncr::MAIR_EL1),
    guest(SysReg::AMAIR_EL1, vncr::AMAIR_EL1),
    guest(SysReg::CONTEXTIDR_EL1, vncr::CONTEXTIDR_EL1),
    guest(SysReg::VBAR_EL1, vncr::VBAR_EL1),
    guest(SysReg::ESR_EL1, vncr::ESR_EL1),
    guest(SysReg::FAR_EL1, vncr::FAR_EL1),
    guest(SysReg::AFSR0_EL1, vncr::AFSR0_EL1),
    guest(SysReg::AFSR1_EL1, vncr::AFSR1_EL1),
    guest(SysReg::ELR_EL1, vncr::ELR_EL1),
    guest(SysReg::SPSR_EL1, vncr::SPSR_EL1),
    guest(SysReg::SP_EL1, vncr::SP_EL1),
    (Owner::L2, SysReg::CNTKCTL_EL1, Home::Emulated),
    (Owner::L2, SysReg::CNTP_CTL_EL0, Home::GuestTimer(vncr::CNTP_CTL_EL0)),
    (Owner::L2, SysReg::CNTP_CVAL_EL0, Home::GuestTimer(vncr::CNTP_CVAL_EL0)),
    (Owner::L2, SysReg::CNTV_CTL_EL0, Home::GuestTimer(vncr::CNTV_CTL_EL0)),
    (Owner::L2, SysReg::CNTV_CVAL_EL0, Home::GuestTimer(vncr::CNTV_CVAL_EL0)),
];

/// Physical registers that depend on who runs.
static HARDWARE: &[SysReg] = &[
    SysReg::HCR_EL2,
    SysReg::HCRX_EL2,
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
        .chain(ROWS.iter().map(|(owner, reg, _)| (*owner, Register::Sys(*reg))))
        .chain(HARDWARE.iter().map(|reg| (Owner::Hardware, Register::Hardware(*reg))))
}

/// Where a register of L1's or its guest's is kept; `None` for one that a vCPU does not have.
#[must_use]
pub fn home(reg: SysReg) -> Option<Home> {
    ROWS.iter().find(|row| row.1 == reg).map(|row| row.2)
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
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::{collections::BTreeSet, string::ToString, vec::Vec};

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
    fn homes_in_the_page_are_the_slots_of_their_registers() {
        for (_, reg, home) in ROWS {
            match home {
                Home::Guest(offset) | Home::Page(offset) | Home::GuestTimer(offset) | Home::Interface(offset) => {
                    assert_eq!(vncr::offset(*reg), Some(*offset), "{reg}");
                }
                Home::Vel2(offset) => {
                    let slot = vncr::slots().find(|slot| slot.offset == *offset).expect("a slot");
                    assert_eq!(slot.reg.op0(), 3, "{reg}");
                    assert_eq!(vncr::offset(*reg), None, "{reg} is not in the page");
                }
                Home::Shared | Home::Emulated | Home::L1Timer => {}
            }
        }
    }

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
