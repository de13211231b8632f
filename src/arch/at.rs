//! Address translation instructions.

use core::arch::asm;

use super::{
    barrier::isb,
    sysreg::{PAR_EL1, Readable},
};

/// Which of the stage-1 `AT S1E1*` and `AT S1E0*` instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage1 {
    /// `AT S1E1R`
    E1R,
    /// `AT S1E1W`
    E1W,
    /// `AT S1E0R`
    E0R,
    /// `AT S1E0W`
    E0W,
    /// `AT S1E1RP`
    E1RP,
    /// `AT S1E1WP`
    E1WP,
}

/// Which of the `AT S12E1*` and `AT S12E0*` instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage12 {
    /// `AT S12E1R`
    E1R,
    /// `AT S12E1W`
    E1W,
    /// `AT S12E0R`
    E0R,
    /// `AT S12E0W`
    E0W,
}

/// `PAR_EL1.F`: the translation failed.
pub const PAR_F: u64 = 1 << 0;
/// `PAR_EL1.S`, with `F`: it failed at stage 2.
pub const PAR_S: u64 = 1 << 9;

// The PAN forms go by encoding: the assembler wants a feature switched on for their names.
macro_rules! at {
    ($name:literal, $va:expr) => {
        // SAFETY: an AT instruction writes PAR_EL1 and nothing else; hardware update of access flags may be made in the
        // guest's tables, exactly as the guest's own access would.
        unsafe { asm!(concat!($name, ", {}"), in(reg) $va, options(nostack, preserves_flags)) }
    };
}

/// Executes `AT S1E2R` for `va`, in EL2's own regime, and returns `PAR_EL1`.
pub fn own_read(va: u64) -> u64 {
    at!("at s1e2r", va);
    isb();
    PAR_EL1.get()
}

/// Executes `instruction` for `va` in the EL1&0 regime as loaded now, and returns `PAR_EL1`.
///
/// The walk goes through stage 2; from EL2 a stage-2 fault is reported in `PAR_EL1` and taken nowhere.
pub fn stage1(instruction: Stage1, va: u64) -> u64 {
    match instruction {
        Stage1::E1R => at!("at s1e1r", va),
        Stage1::E1W => at!("at s1e1w", va),
        Stage1::E0R => at!("at s1e0r", va),
        Stage1::E0W => at!("at s1e0w", va),
        Stage1::E1RP => at!("sys #0, c7, c9, #0", va),
        Stage1::E1WP => at!("sys #0, c7, c9, #1", va),
    }
    isb();
    PAR_EL1.get()
}

/// Executes `instruction` for `va` in the EL1&0 regime as loaded now, through both stages, and returns `PAR_EL1`.
pub fn stage12(instruction: Stage12, va: u64) -> u64 {
    match instruction {
        Stage12::E1R => at!("at s12e1r", va),
        Stage12::E1W => at!("at s12e1w", va),
        Stage12::E0R => at!("at s12e0r", va),
        Stage12::E0W => at!("at s12e0w", va),
    }
    isb();
    PAR_EL1.get()
}
