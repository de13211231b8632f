//! Trap forwarding: does L1 want this exit of its guest?
//!
//! While a nested context runs, the hardware traps what L0 or L1 asked for
//! ([`merge`](crate::merge)). An exit L1 asked for is delivered to vEL2 with the
//! hardware's own syndrome; everything else L0 handles and L1 never learns of.
//! The decision is data: each row of the table of encodings names the controls
//! that trap it ([`Trap`](crate::sysreg::Trap)), each control a register, a mask,
//! and whether it traps when set or when clear.
//!
//! Three things are the caller's. The question is only asked for a nested
//! context, since nothing of this applies to vEL2 and host EL0. What is hidden
//! from L1 is UNDEFINED before anybody's trap counts; the controls of features
//! that are always hidden (MTE) therefore do not appear. The fine-grained traps, which
//! L1 need not have, are asked last ([`fgt`](crate::fgt)). And the values are those of the VNCR page and of L1's emulated
//! registers, raw: a bit that means nothing here is ignored.

use crate::{
    Esr,
    esr::ec,
    merge::is_enabled,
    regs::{cpacr, hcr_el2, mdcr_el2},
    sysreg::Row,
};

/// L1's trap controls, as L1 wrote them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct L1Controls {
    /// `HCR_EL2`.
    pub hcr: u64,
    /// `MDCR_EL2`.
    pub mdcr: u64,
    /// `CPTR_EL2` in the layout of `E2H` = 1, that of `CPACR_EL1`.
    pub cptr: u64,
    /// `CNTHCTL_EL2` in the layout of `E2H` = 1.
    pub cnthctl: u64,
    /// `ICH_HCR_EL2`.
    pub ich_hcr: u64,
    /// `HSTR_EL2`. Its traps are of AArch32 alone, which no guest has, so no
    /// rule reads it.
    pub hstr: u64,
}

/// A register that holds trap controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Hcr,
    Mdcr,
    Cptr,
    Cnthctl,
    IchHcr,
}

/// Which direction of access a control traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Any,
    Read,
    Write,
}

/// One way L1 can ask for a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) source: Source,
    /// Bits of the source, any of which decides.
    pub(crate) mask: u64,
    /// Whether a bit traps when it is 1, as most do, or when it is 0.
    pub(crate) traps_when_set: bool,
    pub(crate) access: Access,
}

impl Control {
    /// Whether L1's controls make this one trap such an access.
    const fn traps(&self, is_read: bool, l1: &L1Controls) -> bool {
        let concerned = match self.access {
            Access::Any => true,
            Access::Read => is_read,
            Access::Write => !is_read,
        };
        let value = match self.source {
            Source::Hcr => l1.hcr,
            Source::Mdcr => l1.mdcr,
            Source::Cptr => l1.cptr,
            Source::Cnthctl => l1.cnthctl,
            Source::IchHcr => l1.ich_hcr,
        };
        let deciding = if self.traps_when_set { value } else { !value };
        concerned && deciding & self.mask != 0
    }
}

/// Whether L1 wants to see its guest's access to a system register or
/// instruction (EC 0x18). Instructions are writes.
#[must_use]
pub fn wants(row: Row, is_read: bool, l1: &L1Controls) -> bool {
    // Where there is nothing above EL1, nothing of EL2 traps.
    row.reg.is_of_el2() && l1.hcr & hcr_el2::NV != 0
        || row.trap.controls().iter().any(|control| control.traps(is_read, l1))
}

/// Whether L1 wants to see an exception of its guest other than a trapped
/// register access.
///
/// Aborts are not decided here: whose they are is found by walking L1's tables,
/// or by [`wants_external_abort`]. `HVC` always goes to L1, unless
/// [`hvc_is_undefined`]. `ERET`, `SVC` and memory copies come for L1's sake alone: by its
/// `HCR_EL2.NV`, `HFGITR_EL2` or `HCRX_EL2.MCE2`. With `TGE` all that comes from EL0 is
/// L1's. A class L0 alone can have caused is `false`.
#[must_use]
pub const fn wants_exception(esr: Esr, l1: &L1Controls) -> bool {
    match esr.ec() {
        _ if l1.hcr & hcr_el2::TGE != 0 => true,
        ec::WFX => {
            let trap = if esr.wfx().kind.waits_for_event() {
                hcr_el2::TWE
            } else {
                hcr_el2::TWI
            };
            l1.hcr & trap != 0
        }
        ec::HVC64 | ec::ERET | ec::SVC64 | ec::MOPS => true,
        ec::SMC64 => l1.hcr & hcr_el2::TSC != 0,
        ec::FP_ASIMD => !is_enabled(l1.cptr, cpacr::FPEN),
        ec::SVE => !is_enabled(l1.cptr, cpacr::ZEN),
        ec::SME => !is_enabled(l1.cptr, cpacr::SMEN),
        ec::PAC => l1.hcr & hcr_el2::API == 0,
        class if ec::is_debug(class) => l1.mdcr & mdcr_el2::TDE != 0,
        _ => false,
    }
}

/// Whether `HVC` of L1's guest is UNDEFINED there, instead of an exception to
/// L1 (`HCR_EL2.HCD`, which exists because L1's machine has no EL3).
#[must_use]
pub const fn hvc_is_undefined(hcr_el2: u64) -> bool {
    hcr_el2 & hcr_el2::HCD != 0
}

/// Whether a synchronous external abort of L1's guest is taken by L1 and not by
/// the guest's own EL1.
#[must_use]
pub const fn wants_external_abort(l1: &L1Controls) -> bool {
    l1.hcr & (hcr_el2::TGE | hcr_el2::TEA) != 0
}

#[cfg(test)]
mod tests;
