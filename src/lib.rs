//! The hypervisor's core: everything that runs because of what a guest does.
//!
//! It begins at the vectors (`boot`, [`trap`]) and knows neither how the machine was booted nor the debug console, which
//! are packages of their own and build on this one. What it wants of a console is in [`console`]. Only this package is
//! compiled for speed.

#![no_std]
#![expect(unsafe_code, reason = "the core drives the hardware; each use says why it is sound")]

extern crate alloc;

pub mod arch;
pub mod boot;
pub mod console;
pub mod dev;
pub mod exits;
pub mod interrupts;
pub mod layout;
pub mod lock;
pub mod mm;
pub mod nested;
pub mod panic;
pub mod psci;
pub mod shadow_mmu;
pub mod trace;
pub mod trap;
pub mod unhandled;
pub mod vcpu;
pub mod vm;
