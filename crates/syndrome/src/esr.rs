//! `ESR_ELx`: what an exception says about its cause.
//!
//! The same 64 bits are read (what did the guest do) and made (what does a
//! guest hypervisor find in its own `ESR_EL2`). Reading is done once, at the
//! exit: [`Esr::ec`] selects the handler, which takes the one view of the ISS
//! its class has. Making happens in two ways. A trap that is forwarded keeps
//! the syndrome of the hardware to the bit ([`Esr::with_fsc`] replaces the
//! fault status alone), because L1 decodes an emulated access from `ISV`, `SAS`
//! and `SRT`. What gnomon itself raises is built here by name.
//!
//! Layouts: DDI 0487, section D24.2 "`ESR_EL2`".

mod abort;
pub mod ec;
mod fault;
pub mod hpfar;
mod own;
mod trap;

use core::fmt;

pub use self::{
    abort::{AccessSize, DataAbort, InstructionAbort},
    fault::{FaultKind, FaultStatus},
    own::{OwnException, Vector},
    trap::{EretKind, SysRegTrap, WfxKind, WfxTrap},
};

/// `IL`: the instruction was 32 bits long. 1 for everything A64 does.
const IL: u64 = 1 << 25;
/// The instruction specific syndrome, `ISS`.
const ISS: u64 = (1 << 25) - 1;
/// Position of the exception class, `EC`.
const EC_SHIFT: u32 = 26;
/// The fault status code of an abort, `DFSC` or `IFSC`.
const FSC: u64 = 0x3f;
/// `VNCR`: the abort was the memory access of a register FEAT_NV2 redirected.
const VNCR: u64 = 1 << 13;

/// A value of `ESR_EL1` or `ESR_EL2`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Esr(pub u64);

/// Where an exception came from, as seen from the level that takes it: the
/// choice between the "lower" and the "current" class of an abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A level below the one that takes the exception.
    Lower,
    /// The level itself.
    Same,
}

impl Esr {
    /// Exception class: one of the constants of [`ec`], or a code they lack.
    #[must_use]
    pub const fn ec(self) -> u8 {
        (self.0 >> EC_SHIFT) as u8 & 0x3f
    }

    /// The general register of a trapped register access: [`SysRegTrap::rt`] without the rest.
    #[must_use]
    pub const fn rt(self) -> u8 {
        (self.0 >> 5) as u8 & 0x1f
    }

    /// Whether a trapped register access is a read: [`SysRegTrap::is_read`] without the rest.
    #[must_use]
    pub const fn is_read(self) -> bool {
        self.0 & 1 != 0
    }

    /// The instruction specific syndrome, bits 24 to 0.
    #[must_use]
    pub const fn iss(self) -> u32 {
        (self.0 & ISS) as u32
    }

    /// Whether the trapped instruction was 32 bits long.
    #[must_use]
    pub const fn il(self) -> bool {
        self.0 & IL != 0
    }

    /// The same syndrome with another fault status code (six bits).
    ///
    /// For aborts: everything that describes the access stays, the cause is
    /// the one found in the guest hypervisor's own tables.
    #[must_use]
    pub const fn with_fsc(self, fsc: u8) -> Self {
        Self((self.0 & !FSC) | (fsc as u64 & FSC))
    }

    /// The same syndrome under another class.
    #[must_use]
    pub const fn with_ec(self, ec: u8) -> Self {
        Self((self.0 & !(0x3f << EC_SHIFT)) | ((ec as u64 & 0x3f) << EC_SHIFT))
    }

    /// Whether this is the abort of a register access that FEAT_NV2 turned
    /// into memory.
    ///
    /// Its class says "current level" (0x25) while the vector taken is the
    /// lower level's: the access is made as EL2 on behalf of EL1. A crash of
    /// the hypervisor itself has the same class without the bit.
    #[must_use]
    pub const fn is_vncr(self) -> bool {
        self.ec() == ec::DABT_CUR && self.0 & VNCR != 0
    }

    /// The fault status of an abort. Means nothing for other classes.
    #[must_use]
    pub const fn fault(self) -> FaultStatus {
        FaultStatus::decode((self.0 & FSC) as u8)
    }

    /// The immediate of `HVC`, `SMC` or `SVC`.
    #[must_use]
    pub const fn immediate(self) -> u16 {
        (self.0 & 0xffff) as u16
    }

    /// The ISS as a data abort. For [`ec::DABT_LOW`] and [`ec::DABT_CUR`].
    #[must_use]
    #[inline(always)]
    pub const fn data_abort(self) -> DataAbort {
        DataAbort::decode(self.iss())
    }

    /// The ISS as an instruction abort. For [`ec::IABT_LOW`] and
    /// [`ec::IABT_CUR`].
    #[must_use]
    pub const fn instruction_abort(self) -> InstructionAbort {
        InstructionAbort::decode(self.iss())
    }

    /// The ISS as a trapped register access. For [`ec::SYS64`].
    #[must_use]
    pub const fn sysreg(self) -> SysRegTrap {
        SysRegTrap::decode(self.iss())
    }

    /// The ISS as a trapped wait. For [`ec::WFX`].
    #[must_use]
    pub const fn wfx(self) -> WfxTrap {
        WfxTrap::decode(self.iss())
    }

    /// The ISS as a trapped exception return. For [`ec::ERET`].
    #[must_use]
    pub const fn eret(self) -> EretKind {
        EretKind::decode(self.iss())
    }

    /// Whether it is an `ERET` without authentication: one comparison, because it is asked first of all.
    #[must_use]
    pub const fn is_plain_eret(self) -> bool {
        self.0 == Self::new(ec::ERET, 0).0
    }

    /// A syndrome of class `ec` with `IL` set.
    #[must_use]
    pub const fn new(ec: u8, iss: u32) -> Self {
        Self(((ec as u64 & 0x3f) << EC_SHIFT) | IL | (iss as u64 & ISS))
    }

    /// An UNDEFINED instruction: class 0, nothing else known.
    #[must_use]
    pub const fn undefined() -> Self {
        Self::new(ec::UNKNOWN, 0)
    }

    /// An access to a system register that is not there. With FEAT_IDST (`has_idst`) a read in the feature ID space says
    /// which (DDI 0487, "FEAT_IDST").
    #[must_use]
    pub const fn undefined_access(access: SysRegTrap, has_idst: bool) -> Self {
        if has_idst && access.is_read && access.reg.is_in_id_space() {
            Self::sysreg_trap(access)
        } else {
            Self::undefined()
        }
    }

    /// An access to SVE that `CPTR_EL2` denies.
    #[must_use]
    pub const fn sve() -> Self {
        Self::new(ec::SVE, 0)
    }

    /// Execution with `PSTATE.IL` set.
    #[must_use]
    pub const fn illegal_state() -> Self {
        Self::new(ec::ILL, 0)
    }

    /// `HVC #immediate` of AArch64.
    #[must_use]
    pub const fn hvc(immediate: u16) -> Self {
        Self::new(ec::HVC64, immediate as u32)
    }

    /// What the access of this abort ends with instead: a synchronous external abort with status `fsc`, taken by `origin`'s
    /// counterpart. What says that it was a write, or maintenance, stays; there is no instruction syndrome (`ISV` = 0), and a
    /// valid FAR.
    #[must_use]
    pub const fn external_abort(self, origin: Origin, fsc: u8) -> Self {
        const CM_WNR: u32 = 1 << 8 | 1 << 6;
        let (class, kept) = match (self.ec(), origin) {
            (ec::IABT_LOW, Origin::Lower) => (ec::IABT_LOW, 0),
            (ec::IABT_LOW, Origin::Same) => (ec::IABT_CUR, 0),
            (_, Origin::Lower) => (ec::DABT_LOW, CM_WNR),
            (_, Origin::Same) => (ec::DABT_CUR, CM_WNR),
        };
        Self::new(class, self.iss() & kept | fsc as u32)
    }

    /// What an `AT` at EL2 ends with that meets an external abort: a data abort of a write by maintenance (`CM`, `WnR`).
    #[must_use]
    pub const fn abort_of_at(fsc: u8) -> Self {
        const CM_WNR: u32 = 1 << 8 | 1 << 6;
        Self::new(ec::DABT_CUR, CM_WNR | fsc as u32)
    }

    /// A trapped `MRS`, `MSR` or system instruction.
    #[must_use]
    pub const fn sysreg_trap(trap: SysRegTrap) -> Self {
        Self::new(ec::SYS64, trap.encode())
    }

    /// A failed pointer authentication (FEAT_FPAC): of a data or an instruction
    /// address, with key A or B.
    #[must_use]
    pub const fn pointer_authentication_failure(is_data: bool, is_key_b: bool) -> Self {
        Self::new(ec::FPAC, (is_data as u32) << 1 | is_key_b as u32)
    }
}

impl fmt::Debug for Esr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} ({})", self.0, ec::name(self.ec()))
    }
}

/// For people: the class by name, and what its ISS says in the classes that
/// trap often.
impl fmt::Display for Esr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ec::name(self.ec()))?;
        match self.ec() {
            ec::SYS64 => {
                let SysRegTrap { reg, rt, is_read } = self.sysreg();
                let direction = if is_read { "read" } else { "write" };
                write!(f, " {direction} {reg} x{rt}")
            }
            ec::HVC64 | ec::SMC64 | ec::SVC64 => write!(f, " #{}", self.immediate()),
            ec::WFX => write!(f, " {}", self.wfx().kind.name()),
            ec::IABT_LOW | ec::IABT_CUR => write!(f, " {}", self.fault()),
            ec::DABT_LOW | ec::DABT_CUR => {
                let access = if self.data_abort().wnr { "write" } else { "read" };
                write!(f, " {access} {}", self.fault())?;
                f.write_str(if self.is_vncr() { " vncr" } else { "" })
            }
            _ => write!(f, " iss={:#x}", self.iss()),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::SysReg;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn vncr_fault_is_told_from_a_crash_of_the_hypervisor() {
        // Measured: a read of an unmapped VNCR page.
        let esr = Esr(0x9600_2005);
        assert!(esr.is_vncr());
        assert_eq!(esr.fault(), FaultStatus::new(FaultKind::Translation, 1));
        assert!(!esr.data_abort().wnr);
        assert!(Esr(0x9600_2045).data_abort().wnr);
        assert!(!Esr(0x9600_0005).is_vncr());
    }

    #[test]
    fn measured_traps_decode() {
        assert_eq!(Esr(0x6a00_0000).eret(), EretKind::Eret);
        assert_eq!(Esr(0x6a00_0002).eret(), EretKind::Eretaa);
        assert_eq!(Esr(0x6a00_0003).eret(), EretKind::Eretab);
        assert!(Esr(0x6a00_0000).is_plain_eret());
        assert!(!Esr(0x6a00_0002).is_plain_eret() && !Esr(0x6a00_0003).is_plain_eret());
        let wfi = Esr(0x07e0_0000);
        assert_eq!((wfi.ec(), wfi.wfx().kind), (ec::WFX, WfxKind::Wfi));
    }

    #[test]
    fn built_syndromes_have_the_bits_of_the_architecture() {
        assert_eq!(Esr::undefined().0, 0x0200_0000);
        let access = |reg, is_read| SysRegTrap { reg, rt: 3, is_read };
        let of = |reg, is_read, has_idst| Esr::undefined_access(access(reg, is_read), has_idst).ec();
        assert_eq!(of(SysReg::SMIDR_EL1, true, true), ec::SYS64);
        assert_eq!(of(SysReg::SMIDR_EL1, true, false), ec::UNKNOWN);
        assert_eq!(of(SysReg::SMIDR_EL1, false, true), ec::UNKNOWN);
        assert_eq!(of(SysReg::SMCR_EL1, true, true), ec::UNKNOWN);
        assert_eq!(Esr::hvc(0x1234).0, 0x5a00_1234);
        assert_eq!(Esr::pointer_authentication_failure(false, true).0, 0x7200_0001);
        assert_eq!(Esr::illegal_state().0, 0x3a00_0000);
    }

    #[test]
    fn external_abort_keeps_that_it_was_a_write_or_maintenance_alone() {
        let (load, store, at) = (Esr(0x93c0_8006), Esr(0x9200_00c6), Esr(0x9200_01c5));
        assert_eq!(load.external_abort(Origin::Lower, 0x10).0, 0x9200_0010);
        assert_eq!(store.external_abort(Origin::Same, 0x14).0, 0x9600_0054);
        assert_eq!(at.external_abort(Origin::Lower, 0x17).0, 0x9200_0157);
        let fetch = Esr(0x8200_0085);
        assert_eq!(fetch.external_abort(Origin::Same, 0x15).0, 0x8600_0015);
        assert_eq!(fetch.external_abort(Origin::Lower, 0x10).0, 0x8200_0010);
    }

    #[test]
    fn forwarded_abort_keeps_everything_but_the_fault_status() {
        let hardware = Esr(0x93c8_8047);
        let forwarded = hardware.with_fsc(0x0e);
        assert_eq!(forwarded.0 & !0x3f, hardware.0 & !0x3f);
        assert_eq!(forwarded.fault(), FaultStatus::new(FaultKind::Permission, 2));
    }

    #[test]
    fn text_names_the_access() {
        let trap = SysRegTrap {
            reg: SysReg::HPFAR_EL2,
            rt: 3,
            is_read: true,
        };
        assert_eq!(Esr::sysreg_trap(trap).to_string(), "SYS64 read HPFAR_EL2 x3");
        assert_eq!(
            Esr(0x9600_2045).to_string(),
            "DABT_CUR write translation fault, level 1 vncr"
        );
        assert_eq!(Esr(0x07e0_0001).to_string(), "WFx WFE");
    }

    proptest! {
        #[test]
        fn every_syndrome_decodes_and_prints(bits: u64) {
            let esr = Esr(bits);
            let _ = (esr.data_abort(), esr.instruction_abort(), esr.wfx(), esr.eret());
            prop_assert!(!esr.to_string().is_empty());
            prop_assert_eq!(esr.with_ec(esr.ec()), esr);
            prop_assert_eq!(esr.with_fsc(esr.fault().encode()), esr);
        }

        #[test]
        fn sysreg_trap_survives_its_encoding(bits: u16, rt in 0u8..32, is_read: bool) {
            let trap = SysRegTrap { reg: SysReg::from_bits(bits), rt, is_read };
            let esr = Esr::sysreg_trap(trap);
            prop_assert_eq!(esr.sysreg(), trap);
            prop_assert_eq!((esr.rt(), esr.is_read()), (rt, is_read));
        }
    }
}
