//! Taking an exception to virtual EL2, and returning from one.
//!
//! L1's EL2 is EL1 to the hardware, so two things the architecture does by
//! itself are done here: what `PSTATE` becomes when an exception is delivered
//! to L1's vector ([`enter_vel2`], the pseudocode's `AArch64.TakeException`),
//! and whether the state L1's `ERET` asks for is legal ([`check_eret`],
//! `IllegalExceptionReturn`, and `SetPSTATEFromPSR` for what an illegal return
//! leaves behind).
//!
//! All `PSTATE` values in this module are *virtual*: vEL2 is EL2t or EL2h. The
//! hardware runs it at EL1t or EL1h and reports that in its own `SPSR_EL2`;
//! [`to_virtual`] and [`to_physical`] are the two directions of that lie, and
//! the only place where it is told.

use core::fmt;

use crate::regs::{hcr_el2, pstate, sctlr};

/// What kind of exception is taken: the offset inside a group of vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Synchronous: trap, abort, `HVC`.
    Sync,
    /// IRQ.
    Irq,
    /// FIQ.
    Fiq,
    /// SError.
    SError,
}

/// Where the exception comes from, as vEL2 sees it: the group of vectors.
///
/// L1's own EL0 counts as lower, also while it is part of the host context
/// (`{E2H,TGE}` = {1,1}).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// vEL2 running on `SP_EL0` (EL2t).
    SameSp0,
    /// vEL2 running on `SP_EL2` (EL2h).
    SameSpx,
    /// Any level below vEL2, in AArch64.
    Lower,
}

/// What decides how vEL2 is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `PSTATE` at the exception, virtual.
    pub pstate: u64,
    /// L1's `SCTLR_EL2`.
    pub sctlr_el2: u64,
    /// Whether L1 is a host ([`is_host`]).
    pub is_host: bool,
    /// What is taken.
    pub kind: Kind,
    /// Whether L1 is shown FEAT_MTE, so that `PSTATE.TCO` exists.
    pub has_mte: bool,
}

/// What the hypervisor loads to enter vEL2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// To be added to L1's `VBAR_EL2` for the new PC.
    pub vector_offset: u64,
    /// The new `PSTATE`, virtual.
    pub pstate: u64,
    /// L1's `SPSR_EL2`: the old `PSTATE`.
    pub spsr_el2: u64,
}

/// Bits an exception carries over from the old `PSTATE` unchanged.
const KEPT: u64 = pstate::NZCV | pstate::DIT | pstate::PAN;

impl Source {
    /// The source that fits a virtual `PSTATE`.
    #[must_use]
    pub const fn of(pstate: u64) -> Self {
        match pstate & (pstate::nRW | pstate::M) {
            pstate::EL2T => Self::SameSp0,
            pstate::EL2H => Self::SameSpx,
            _ => Self::Lower,
        }
    }

    /// Offset of the group in the vector table.
    const fn offset(self) -> u64 {
        match self {
            Self::SameSp0 => 0x000,
            Self::SameSpx => 0x200,
            Self::Lower => 0x400,
        }
    }
}

impl Kind {
    /// Offset of the vector in its group.
    const fn offset(self) -> u64 {
        match self {
            Self::Sync => 0x000,
            Self::Irq => 0x080,
            Self::Fiq => 0x100,
            Self::SError => 0x180,
        }
    }
}

/// Takes an exception to vEL2 (DDI 0487, `AArch64.TakeException`).
///
/// All interrupts end up masked and vEL2 on its own stack. `PAN` is set only by
/// a *host* with `SPAN` = 0, that is with `{E2H,TGE}` = {1,1}; `SSBS` comes from
/// `DSSBS`. Everything not named (`UAO`, `SS`, `IL`, `BTYPE`, `ALLINT`) is 0.
#[must_use]
pub const fn enter_vel2(entry: &Entry) -> Entered {
    let mut new = (entry.pstate & KEPT) | pstate::DAIF | pstate::EL2H;
    if entry.is_host && entry.sctlr_el2 & sctlr::SPAN == 0 {
        new |= pstate::PAN;
    }
    if entry.sctlr_el2 & sctlr::DSSBS != 0 {
        new |= pstate::SSBS;
    }
    if entry.has_mte {
        new |= pstate::TCO;
    }
    Entered {
        vector_offset: Source::of(entry.pstate).offset() + entry.kind.offset(),
        pstate: new,
        spsr_el2: entry.pstate,
    }
}

/// Whether L1 is a host: `{E2H,TGE}` = {1,1}, so that its EL0 belongs to its
/// EL2.
///
/// `E2H` of L1's register is not looked at: it is fixed, to 0 if `is_e2h0` and
/// else to 1, and what L1 wrote means nothing.
#[must_use]
pub const fn is_host(hcr_el2: u64, is_e2h0: bool) -> bool {
    hcr_el2 & hcr_el2::TGE != 0 && !is_e2h0
}

/// The virtual `PSTATE` for what the hardware reports in `SPSR_EL2` while vEL2
/// runs: EL1 becomes EL2. EL0, L1's user space, stays.
#[must_use]
pub const fn to_virtual(spsr: u64) -> u64 {
    replace_mode(spsr, pstate::EL1T, pstate::EL2T)
}

/// The hardware's `SPSR_EL2` for a virtual `PSTATE` of the host context: EL2
/// becomes EL1. EL0 stays.
#[must_use]
pub const fn to_physical(pstate: u64) -> u64 {
    replace_mode(pstate, pstate::EL2T, pstate::EL1T)
}

/// Moves `psr` from the level of mode `from` to that of mode `to` if it is
/// there, keeping the choice of stack pointer.
const fn replace_mode(psr: u64, from: u64, to: u64) -> u64 {
    const LEVEL: u64 = pstate::nRW | 0b1100;
    if psr & LEVEL == from { (psr & !LEVEL) | to } else { psr }
}

/// Where a legal `ERET` of vEL2 goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// vEL2 on `SP_EL0`.
    El2t,
    /// vEL2 on `SP_EL2`.
    El2h,
    /// L1's own user space (`{E2H,TGE}` = {1,1}).
    HostEl0,
    /// vEL1 of the nested context, on `SP_EL0`.
    NestedEl1t,
    /// vEL1 of the nested context, on `SP_EL1`.
    NestedEl1h,
    /// EL0 of the nested context.
    NestedEl0,
}

impl Target {
    /// Whether the target is part of the host context: the same tables, timers
    /// and interrupts as vEL2, so the return needs no switch.
    #[must_use]
    pub const fn is_host_context(self) -> bool {
        matches!(self, Self::El2t | Self::El2h | Self::HostEl0)
    }
}

/// Why an `ERET` is illegal. What follows is the same for all:
/// [`illegal_return_pstate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IllegalReturn {
    /// To AArch32, which L1 is not shown at any level.
    AArch32,
    /// To EL3.
    El3,
    /// To a mode that does not exist (`M[1]` = 1, or EL0 with `M[0]` = 1).
    ReservedMode(u8),
    /// To EL1 while `HCR_EL2.TGE` is 1: there is no EL1.
    El1WithTge,
}

impl fmt::Display for IllegalReturn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AArch32 => f.write_str("exception return to AArch32"),
            Self::El3 => f.write_str("exception return to EL3"),
            Self::ReservedMode(mode) => write!(f, "exception return to reserved mode {mode:#x}"),
            Self::El1WithTge => f.write_str("exception return to EL1 with HCR_EL2.TGE set"),
        }
    }
}

impl core::error::Error for IllegalReturn {}

/// Judges the state vEL2 wants to return to, given L1's `SPSR_EL2` and
/// `HCR_EL2` (DDI 0487, `IllegalExceptionReturn`).
///
/// `SPSR_EL2.IL` = 1 does not make a return illegal; it is carried into the new
/// `PSTATE`.
///
/// # Errors
///
/// The first rule the return breaks.
pub const fn check_eret(spsr: u64, hcr_el2: u64, is_e2h0: bool) -> Result<Target, IllegalReturn> {
    if spsr & pstate::nRW != 0 {
        return Err(IllegalReturn::AArch32);
    }
    match spsr & pstate::M {
        pstate::EL0T if is_host(hcr_el2, is_e2h0) => Ok(Target::HostEl0),
        pstate::EL0T => Ok(Target::NestedEl0),
        pstate::EL1T | pstate::EL1H if hcr_el2 & hcr_el2::TGE != 0 => Err(IllegalReturn::El1WithTge),
        pstate::EL1T => Ok(Target::NestedEl1t),
        pstate::EL1H => Ok(Target::NestedEl1h),
        pstate::EL2T => Ok(Target::El2t),
        pstate::EL2H => Ok(Target::El2h),
        0b1100 | 0b1101 => Err(IllegalReturn::El3),
        mode => Err(IllegalReturn::ReservedMode(mode as u8)),
    }
}

/// `PSTATE` after an illegal return: the level and stack of `old`, `IL` set, so
/// that the next instruction takes an Illegal Execution State exception.
///
/// Condition flags, masks and `PAN` are taken from `spsr` as in a legal return.
/// What the architecture leaves UNKNOWN (`SSBS`, `BTYPE`, `UAO`, `DIT`, `TCO`)
/// keeps its old value. `SS` is 0.
#[must_use]
pub const fn illegal_return_pstate(old: u64, spsr: u64) -> u64 {
    const FROM_SPSR: u64 = pstate::NZCV | pstate::DAIF | pstate::PAN;
    (old & !(FROM_SPSR | pstate::SS)) | (spsr & FROM_SPSR) | pstate::IL
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOST: u64 = hcr_el2::TGE;
    const GUEST: u64 = 0;

    fn entry(pstate: u64, sctlr_el2: u64, hcr_el2: u64) -> Entry {
        Entry {
            pstate,
            sctlr_el2,
            is_host: is_host(hcr_el2, false),
            kind: Kind::Sync,
            has_mte: false,
        }
    }

    #[test]
    fn vector_is_chosen_by_virtual_source_and_kind() {
        let offset = |pstate, kind| {
            enter_vel2(&Entry {
                kind,
                ..entry(pstate, 0, HOST)
            })
            .vector_offset
        };
        assert_eq!(offset(pstate::EL2T, Kind::Sync), 0x000);
        assert_eq!(offset(pstate::EL2H, Kind::Irq), 0x280);
        assert_eq!(offset(pstate::EL1H, Kind::Fiq), 0x500);
        assert_eq!(offset(pstate::EL1T, Kind::Sync), 0x400);
        // Host EL0 under TGE is a lower level too.
        assert_eq!(offset(pstate::EL0T, Kind::SError), 0x580);
    }

    #[test]
    fn entry_masks_everything_and_selects_sp_el2() {
        let entered = enter_vel2(&entry(pstate::EL2T, sctlr::SPAN, HOST));
        assert_eq!(entered.pstate, pstate::DAIF | pstate::EL2H);
        assert_eq!(entered.spsr_el2, pstate::EL2T);
    }

    #[test]
    fn flags_and_dit_survive_and_the_rest_is_cleared() {
        let old = 0xffff_ffe0 | pstate::EL1H;
        let new = enter_vel2(&entry(old & !pstate::nRW, sctlr::SPAN, GUEST)).pstate;
        let expected = pstate::NZCV | pstate::DIT | pstate::PAN | pstate::DAIF | pstate::EL2H;
        assert_eq!(new, expected);
    }

    #[test]
    fn pan_is_set_only_for_a_host_with_span_clear() {
        let pan = |sctlr, hcr| enter_vel2(&entry(pstate::EL0T, sctlr, hcr)).pstate & pstate::PAN;
        assert_eq!(pan(0, HOST), pstate::PAN);
        assert_eq!(pan(sctlr::SPAN, HOST), 0);
        assert_eq!(pan(0, GUEST), 0);
        let without_vhe = Entry {
            is_host: is_host(HOST, true),
            ..entry(pstate::EL0T, 0, HOST)
        };
        assert_eq!(enter_vel2(&without_vhe).pstate & pstate::PAN, 0);
    }

    #[test]
    fn ssbs_comes_from_dssbs_and_tco_only_with_mte() {
        let with = enter_vel2(&Entry {
            has_mte: true,
            ..entry(0, sctlr::DSSBS, HOST)
        })
        .pstate;
        assert_eq!(with & (pstate::SSBS | pstate::TCO), pstate::SSBS | pstate::TCO);
        let without = enter_vel2(&entry(pstate::SSBS | pstate::TCO, 0, HOST)).pstate;
        assert_eq!(without & (pstate::SSBS | pstate::TCO), 0);
    }

    #[test]
    fn measured_spsr_of_vel2_translates_both_ways() {
        assert_eq!(to_virtual(0x3c5), 0x3c9);
        assert_eq!(to_virtual(0x3c4), 0x3c8);
        assert_eq!(to_virtual(0x3c0), 0x3c0);
        assert_eq!(to_physical(0x3c9), 0x3c5);
        assert_eq!(to_physical(0x3c8), 0x3c4);
    }

    #[test]
    fn every_mode_of_a_return_is_judged() {
        use IllegalReturn::{AArch32, El1WithTge, El3, ReservedMode};
        for (mode, guest, host) in [
            (0b0000, Ok(Target::NestedEl0), Ok(Target::HostEl0)),
            (0b0001, Err(ReservedMode(1)), Err(ReservedMode(1))),
            (0b0010, Err(ReservedMode(2)), Err(ReservedMode(2))),
            (0b0100, Ok(Target::NestedEl1t), Err(El1WithTge)),
            (0b0101, Ok(Target::NestedEl1h), Err(El1WithTge)),
            (0b0111, Err(ReservedMode(7)), Err(ReservedMode(7))),
            (0b1000, Ok(Target::El2t), Ok(Target::El2t)),
            (0b1001, Ok(Target::El2h), Ok(Target::El2h)),
            (0b1010, Err(ReservedMode(10)), Err(ReservedMode(10))),
            (0b1100, Err(El3), Err(El3)),
            (0b1101, Err(El3), Err(El3)),
            (0b1_0011, Err(AArch32), Err(AArch32)),
        ] {
            assert_eq!(check_eret(mode, GUEST, false), guest, "{mode:#b}");
            assert_eq!(check_eret(mode, HOST, false), host, "{mode:#b}");
        }
    }

    #[test]
    fn e2h_is_what_it_is_fixed_to_whatever_l1_wrote() {
        for written in [0, hcr_el2::E2H] {
            let eret = |hcr, is_e2h0| check_eret(pstate::EL0T, written | hcr, is_e2h0);
            assert_eq!(eret(hcr_el2::TGE, false), Ok(Target::HostEl0));
            assert_eq!(eret(hcr_el2::TGE, true), Ok(Target::NestedEl0));
            assert_eq!(eret(0, false), Ok(Target::NestedEl0));
        }
    }

    #[test]
    fn illegal_return_stays_where_it_is_with_il_set() {
        let new = illegal_return_pstate(
            pstate::EL2H | pstate::DAIF | pstate::SS | pstate::SSBS,
            pstate::NZCV | pstate::PAN | pstate::nRW | 0b0011,
        );
        let expected = pstate::EL2H | pstate::SSBS | pstate::NZCV | pstate::PAN | pstate::IL;
        assert_eq!(new, expected);
    }

    proptest! {
        #[test]
        fn host_context_survives_the_way_to_the_hardware(psr: u64) {
            if let Ok(target) = check_eret(psr, HOST, false) {
                prop_assert!(target.is_host_context());
                prop_assert_eq!(to_virtual(to_physical(psr)), psr);
                prop_assert!(psr & pstate::M == 0 || to_physical(psr) & 0xc == 0x4);
            }
        }

        #[test]
        fn illegal_return_never_changes_level_or_stack(old: u64, spsr: u64) {
            let new = illegal_return_pstate(old, spsr);
            let mode = pstate::M | pstate::nRW;
            prop_assert_eq!(new & mode, old & mode);
        }
    }
}
