//! What a stage-1 leaf says about its memory besides the address, and what it allows.
//!
//! The permissions are the direct ones of DDI 0487, "Stage 1 permissions" (pseudocode
//! `AArch64.S1DirectBasePermissions` and `AArch64.S1ApplyTablePerms`): `AP[2:1]`, `PXN` and `UXN` of the leaf, less what
//! the tables on the way took away, less what `WXN` and the rule that EL0-writable memory is not executable at EL1 take.

use super::{mair::MairAttr, registers::Regime};
use crate::stage2::Shareability;
use core::fmt;

/// `AP[1]`: EL0 may access.
const AP_EL0: u64 = 1 << 6;
/// `AP[2]`: nobody may write.
const AP_READ_ONLY: u64 = 1 << 7;
const AF: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const GUARDED: u64 = 1 << 50;
/// `DBM`: with hardware management of dirty state, `AP[2]` says clean rather than read-only.
const DBM: u64 = 1 << 51;
const CONTIGUOUS: u64 = 1 << 52;
const PXN: u64 = 1 << 53;
/// `UXN`, and `XN` of a regime with one privilege.
const UXN: u64 = 1 << 54;

/// What table descriptors take from everything below them; the same bits of several are or-ed.
pub(super) const TABLE_LIMITS: u64 = 0b1_1111 << 59;
const PXN_TABLE: u64 = 1 << 59;
const UXN_TABLE: u64 = 1 << 60;
const AP_TABLE_NO_EL0: u64 = 1 << 61;
const AP_TABLE_READ_ONLY: u64 = 1 << 62;

/// What one privilege may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Data reads.
    pub read: bool,
    /// Data writes.
    pub write: bool,
    /// Instruction fetches.
    pub exec: bool,
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.read { "r" } else { "-" })?;
        f.write_str(if self.write { "w" } else { "-" })?;
        f.write_str(if self.exec { "x" } else { "-" })
    }
}

/// What a stage 1 allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage1Perms {
    /// At the regime's own Exception level.
    pub privileged: Rights,
    /// At EL0, where it belongs to the regime.
    pub el0: Rights,
}

impl fmt::Display for Stage1Perms {
    /// Privileged, then EL0: `rwx/r--`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.privileged, self.el0)
    }
}

/// The attributes of a stage-1 leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one bit of a descriptor")]
pub struct Stage1Attrs {
    /// What accesses are allowed.
    pub perms: Stage1Perms,
    /// The memory type: what `AttrIndx` selects in `MAIR_ELx`.
    pub mem: MairAttr,
    /// The shareability: `SH`, or that of `TCR_ELx` with `FEAT_LPA2` addresses.
    pub sh: Shareability,
    /// The Access flag.
    pub af: bool,
    /// `nG`: tagged with the ASID.
    pub not_global: bool,
    /// `GP`: branch targets are checked.
    pub guarded: bool,
    /// The Contiguous hint.
    pub contiguous: bool,
}

/// What the regime, rather than the descriptor, contributes to the attributes.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub(super) regime: Regime,
    pub(super) mair: u64,
    pub(super) wxn: bool,
    pub(super) hardware_dirty: bool,
    /// The shareability where descriptors have none.
    pub(super) sh: Option<Shareability>,
}

impl Stage1Attrs {
    /// Of the leaf `raw` below table descriptors whose [`TABLE_LIMITS`] are `limits`.
    pub(super) const fn decode(raw: u64, limits: u64, context: &Context) -> Self {
        let index = (raw >> 2 & 0b111) as u8;
        Self {
            perms: perms(raw, limits, context),
            mem: MairAttr::of(context.mair, index),
            sh: match context.sh {
                Some(sh) => sh,
                None => Shareability::decode(raw >> 8),
            },
            af: raw & AF != 0,
            not_global: raw & NOT_GLOBAL != 0,
            guarded: raw & GUARDED != 0,
            contiguous: raw & CONTIGUOUS != 0,
        }
    }
}

const fn perms(raw: u64, limits: u64, context: &Context) -> Stage1Perms {
    let is_clean_only = context.hardware_dirty && raw & DBM != 0;
    let is_read_only = raw & AP_READ_ONLY != 0 && !is_clean_only || limits & AP_TABLE_READ_ONLY != 0;
    let write = !is_read_only;
    let uxn = raw & UXN != 0 || limits & UXN_TABLE != 0;
    if !context.regime.has_el0() {
        return Stage1Perms {
            privileged: Rights {
                read: true,
                write,
                exec: !(uxn || context.wxn && write),
            },
            el0: Rights {
                read: false,
                write: false,
                exec: false,
            },
        };
    }
    let pxn = raw & PXN != 0 || limits & PXN_TABLE != 0;
    let is_for_el0 = raw & AP_EL0 != 0 && limits & AP_TABLE_NO_EL0 == 0;
    let el0_write = is_for_el0 && write;
    Stage1Perms {
        privileged: Rights {
            read: true,
            write,
            exec: !(pxn || el0_write || context.wxn && write),
        },
        el0: Rights {
            read: is_for_el0,
            write: el0_write,
            // Without AP[1] this is memory that EL0 may execute but not read.
            exec: !(uxn || context.wxn && el0_write),
        },
    }
}

/// What is done to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// A data read.
    Read,
    /// A data write.
    Write,
    /// An instruction fetch.
    Fetch,
}

/// An access, as stage 1 sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage1Access {
    /// What is done.
    pub kind: AccessKind,
    /// At EL0, else at the regime's own Exception level.
    pub el0: bool,
    /// `PSTATE.PAN`: data of EL0 is out of bounds for the privileged.
    pub pan: bool,
}

impl Stage1Access {
    /// Whether `perms` allow it.
    #[must_use]
    pub const fn is_allowed(self, perms: Stage1Perms) -> bool {
        let rights = if self.el0 { perms.el0 } else { perms.privileged };
        let is_data_of_el0 = !self.el0 && perms.el0.read;
        match self.kind {
            AccessKind::Read => rights.read && !(self.pan && is_data_of_el0),
            AccessKind::Write => rights.write && !(self.pan && is_data_of_el0),
            AccessKind::Fetch => rights.exec,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    const CONTEXT: Context = Context {
        regime: Regime::El1And0,
        mair: 0xff00,
        wxn: false,
        hardware_dirty: false,
        sh: None,
    };

    fn of(raw: u64, limits: u64, context: &Context) -> String {
        Stage1Attrs::decode(raw, limits, context).perms.to_string()
    }

    #[test]
    fn ap_and_xn_are_the_table_of_the_architecture() {
        for (raw, perms) in [
            (0, "rwx/--x"),
            (AP_EL0, "rw-/rwx"),
            (AP_READ_ONLY, "r-x/--x"),
            (AP_READ_ONLY | AP_EL0, "r-x/r-x"),
            (PXN, "rw-/--x"),
            (UXN, "rwx/---"),
            (PXN | UXN | AP_EL0, "rw-/rw-"),
        ] {
            assert_eq!(of(raw, 0, &CONTEXT), perms, "{raw:#x}");
        }
    }

    #[test]
    fn tables_only_take_away() {
        for (limits, perms) in [
            (PXN_TABLE, "rw-/rwx"),
            (UXN_TABLE, "rw-/rw-"),
            (AP_TABLE_NO_EL0, "rwx/--x"),
            (AP_TABLE_READ_ONLY, "r-x/r-x"),
            (TABLE_LIMITS, "r--/---"),
        ] {
            assert_eq!(of(AP_EL0, limits, &CONTEXT), perms, "{limits:#x}");
        }
    }

    #[test]
    fn the_single_privilege_regime_has_one_xn_and_no_el0() {
        let el2 = Context {
            regime: Regime::El2,
            ..CONTEXT
        };
        assert_eq!(of(AP_EL0, AP_TABLE_NO_EL0, &el2), "rwx/---");
        assert_eq!(of(UXN, 0, &el2), "rw-/---");
        assert_eq!(of(PXN, PXN_TABLE, &el2), "rwx/---");
        assert_eq!(of(0, UXN_TABLE, &el2), "rw-/---");
        assert_eq!(of(AP_READ_ONLY, 0, &el2), "r-x/---");
    }

    #[test]
    fn wxn_makes_the_writable_not_executable() {
        let wxn = Context { wxn: true, ..CONTEXT };
        assert_eq!(of(0, 0, &wxn), "rw-/--x");
        assert_eq!(of(AP_EL0, 0, &wxn), "rw-/rw-");
        assert_eq!(of(AP_READ_ONLY | AP_EL0, 0, &wxn), "r-x/r-x");
    }

    #[test]
    fn dirty_state_makes_a_clean_leaf_writable_but_not_below_a_read_only_table() {
        let hd = Context {
            hardware_dirty: true,
            ..CONTEXT
        };
        assert_eq!(of(AP_READ_ONLY | DBM | UXN, 0, &hd), "rwx/---");
        assert_eq!(of(AP_READ_ONLY | UXN, 0, &hd), "r-x/---");
        assert_eq!(of(AP_READ_ONLY | DBM | UXN, 0, &CONTEXT), "r-x/---");
        assert_eq!(of(AP_READ_ONLY | DBM | UXN, AP_TABLE_READ_ONLY, &hd), "r-x/---");
    }

    #[test]
    fn the_other_attributes_are_bits_of_the_leaf() {
        let raw = 1 << 2 | 0b11 << 8 | AF | NOT_GLOBAL | GUARDED | CONTIGUOUS;
        let attrs = Stage1Attrs::decode(raw, 0, &CONTEXT);
        assert_eq!((attrs.mem, attrs.sh), (MairAttr::NORMAL_WB, Shareability::Inner));
        assert!(attrs.af && attrs.not_global && attrs.guarded && attrs.contiguous);
        let attrs = Stage1Attrs::decode(0, 0, &CONTEXT);
        assert!(!(attrs.af || attrs.not_global || attrs.guarded || attrs.contiguous));
    }

    #[test]
    fn pan_keeps_the_privileged_from_data_of_el0() {
        let shared = perms(AP_EL0 | AP_READ_ONLY, 0, &CONTEXT);
        let own = perms(0, 0, &CONTEXT);
        let read = |pan| Stage1Access {
            kind: AccessKind::Read,
            el0: false,
            pan,
        };
        assert!(read(false).is_allowed(shared) && !read(true).is_allowed(shared));
        assert!(read(true).is_allowed(own));
        let fetch = Stage1Access {
            kind: AccessKind::Fetch,
            ..read(true)
        };
        assert!(fetch.is_allowed(shared));
    }
}
