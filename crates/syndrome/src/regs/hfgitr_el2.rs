//! `HFGITR_EL2`, fine-grained traps of instructions: those that are no encodings of the table.

/// ERET, ERETAA and ERETAB at EL1.
pub const ERET: u64 = 1 << 51;

/// SVC at EL0.
pub const SVC_EL0: u64 = 1 << 52;

/// SVC at EL1.
pub const SVC_EL1: u64 = 1 << 53;
