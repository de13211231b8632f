//! Exception syndromes, system-register names, and the rules by which a guest
//! hypervisor's trap controls apply to its guest.
//!
//! gnomon runs one Linux with KVM (L1) at a virtual EL2, and L1's own guests
//! (L2) below it. Nearly every decision on an exit is a question about values:
//! what does this syndrome say, which register is that, does L1 want to see
//! this access, what does L1 find in `PSTATE` when it does. This crate answers
//! them. It reads no register and knows no machine: the caller brings every
//! value in and takes the answer out, so the rules run under `cargo test` as
//! they run at EL2.
//!
//! | module | question |
//! |---|---|
//! | [`esr`] | what happened, and how is it told to somebody else |
//! | [`sysreg`] | which register or instruction is that encoding |
//! | [`vncr`] | where in the VNCR page does FEAT_NV2 keep it |
//! | [`idreg`] | what is L1 shown of the machine's features |
//! | [`forward`] | does L1 want this trap of its guest |
//! | [`fgt`] | the same of its fine-grained traps |
//! | [`merge`] | which controls are in force while L1's guest runs |
//! | [`e2h0`] | how the hardware runs the registers of an L1 without VHE |
//! | [`exception`] | how vEL2 is entered, and what its `ERET` asks for |
//! | [`pauth`] | what becomes of an address to return to that is authenticated |
//! | [`regs`] | the bits all of them are written in |
//! | [`register`] | which registers has a vCPU, where is each kept, what does its value say |
//!
//! "DDI 0487" is the Arm Architecture Reference Manual for A-profile.
#![no_std]
#![forbid(unsafe_code)]

pub mod e2h0;
pub mod esr;
pub mod exception;
pub mod fgt;
pub mod forward;
pub mod idreg;
pub mod merge;
pub mod pauth;
pub mod pmu;
pub mod register;
pub mod regs;
pub mod sysreg;
pub mod vncr;

pub use esr::Esr;
pub use sysreg::SysReg;
