//! What a small bare-metal guest hypervisor needs: the runtime of the payloads that stand in for L1.
//!
//! A payload is an arm64 `Image` that runs at EL2, the real one or gnomon's virtual one, with `HCR_EL2.E2H` = 1, or with 0
//! if it is built with the feature `nvhe` (`host`). It has no operating system, so that nothing happens but what it asks
//! for, and no dynamic addresses, so that two runs print the same lines. This crate brings it to a `main` with MMU, caches, stack and vectors, and gives it
//!
//! - lines on the first UART (`println!`) and the words of its command line ([`options`]),
//! - pages for tables and guests (`memory`),
//! - stage-2 tables that may be as wrong as wanted ([`stage2`]),
//! - an L2: a few instructions at EL1 that run until an exit, which comes back as a value (`l2`),
//! - TLB maintenance, PSCI, system registers (`tlbi`, `psci`, `sysreg`),
//! - numbers drawn from a seed ([`rng`]).
//!
//! Lines begin with `P `: `P UP` when the payload has started, `P READY` when what it is to show can be looked at,
//! `P OK` or `P FAIL` and why at its end.
//!
//! On the host only what needs no machine is compiled: [`options`], [`rng`] and [`stage2`], for their tests.

#![cfg_attr(not(test), no_std)]

pub mod options;
pub mod rng;
pub mod stage2;

#[cfg(target_os = "none")]
pub mod boot;
#[cfg(target_os = "none")]
pub mod gic;
#[cfg(target_os = "none")]
pub mod host;
#[cfg(target_os = "none")]
pub mod l2;
#[cfg(target_os = "none")]
pub mod memory;
#[cfg(target_os = "none")]
pub mod psci;
#[cfg(target_os = "none")]
pub mod stage1;
#[cfg(target_os = "none")]
pub mod sysreg;
#[cfg(target_os = "none")]
pub mod tlbi;
#[cfg(target_os = "none")]
pub mod uart;
