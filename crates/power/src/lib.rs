//! PSCI (DEN0022) as L1 is offered it.
//!
//! [`decide`] says what a call asks for, with every check of its arguments that the specification has; [`CpuPower`] is which
//! vCPUs are on. The image does what was decided.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod call;
mod cpu;

pub use call::{Action, decide, error};
pub use cpu::CpuPower;
