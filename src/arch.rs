//! Instructions and registers, without policy: one function an instruction, named like it.
//!
//! This module and `mm` are the only places that touch the machine directly; what they offer is safe to call unless
//! it says otherwise, because nothing a register write does here can break Rust's own guarantees as long as the
//! `unsafe` functions are used as they demand.

pub mod at;
pub mod barrier;
pub mod cache;
pub mod features;
pub mod pauth;
pub mod percpu;
pub mod sysreg;
pub mod tlbi;
