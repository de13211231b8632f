//! A GICv3 for one guest hypervisor, and the arithmetic on the one it builds for its own guests.
//!
//! # What this crate owns
//!
//! L1 sees a distributor and one redistributor per vCPU that do not exist: the architecture
//! virtualises only the CPU interface. [`Vgic`] is their state. It decides which interrupts a vCPU
//! must be offered and puts the most urgent ones into list registers ([`Vgic::load`]); what became
//! of them comes back with [`Vgic::save`]. L1 then acknowledges and ends interrupts in hardware,
//! without an exit.
//!
//! L1's own guests have a virtual CPU interface too, whose registers are words in L1's VNCR page.
//! [`ich`] and [`nested`] compute on those words: status registers, sanitised values, and the
//! translation of a hardware-linked list register from L1's interrupt numbers to the machine's.
//!
//! # What it relies on
//!
//! Nothing here touches a register. Effects on the physical GIC leave through [`PhysicalGic`], the
//! image of `ICH_*_EL2` travels as a [`VirtualInterface`], and the caller holds one lock around the
//! [`Vgic`]. vCPU *n* runs on CPU *n* and nowhere else. The firmware runs with
//! `ICC_CTLR_EL1.EOImode = 1` and ends a physical interrupt with a priority drop only, so that an
//! interrupt passed on to L1 stays *active* in the physical GIC until L1 deactivates it.
//!
//! # Links
//!
//! A physical interrupt passed on by [`Vgic::forward_spi`] or [`Vgic::forward_ppi`] is *linked* to
//! the virtual one: active in the machine on its behalf. A list register with `HW = 1` hands the
//! link to hardware, which ends it when L1 deactivates. Every other way for the virtual interrupt
//! to go away must end the link in software, or the device is silent for ever. One invariant says
//! it all, and every function that changes an interrupt re-establishes it:
//!
//! > a linked interrupt is pending or active (or in a list register, where it may be either); an
//! > SPI that is linked and only pending is also enabled.
//!
//! When a level-sensitive link ends, the emulated line goes low with it: the hardware sees for
//! itself whether the device still asks, and if so interrupts again.
//!
//! # Who owns the truth
//!
//! While an interrupt is in a list register (*resident*), the list register is right and the state
//! here is a memory of what was loaded. Only the vCPU's own CPU can read it back. A write by another
//! vCPU that concerns a resident interrupt is therefore noted as an order, the CPU is kicked, and
//! its next [`Vgic::save`] carries the order out. A read sees what the last save saw. This is exact
//! for a vCPU that looks at its own interrupts, if the firmware saves first where
//! [`access_needs_lists`] says so; for another vCPU's running interrupts it lags by one exit.
//!
//! # How it is used
//!
//! The least that is needed; saving and loading more often is always right, and costs register accesses only.
//!
//! - Once: [`Vgic::name_ppi`] for the physical interrupts of the timers.
//! - On the way into L1's own context: if [`Vgic::needs_load`], read the list registers named by
//!   [`Vgic::used`], [`Vgic::load`], write those that it names now or named before. Otherwise touch nothing.
//! - On a maintenance interrupt of L1's own context: the same, with [`Vgic::save`] before.
//! - On the way into a nested context: [`Vgic::save`], [`Vgic::remap_ppis`] for the timers and
//!   [`Vgic::set_level`] for those now emulated; if [`Vgic::has_deliverable`], raise the exception in
//!   vEL2 instead; else [`nested::load`].
//! - On the way back: [`nested::save`], telling [`Vgic::deactivated`] or [`Vgic::deactivate`] what
//!   ended; timers mapped the other way; the maintenance interrupt's level by
//!   [`ich::maintenance_level`]; [`Vgic::load`].
//! - On a physical interrupt of L1's: acknowledge, drop its priority, [`Vgic::forward_spi`] or
//!   [`Vgic::forward_ppi`].
//!
//! # Not offered
//!
//! No LPIs and no ITS, no message-based SPIs, no extended ranges, no 1-of-N routing, one security
//! state, no NMI. `GICR_WAKER` answers the handshake but does not gate delivery. An SPI must be
//! deactivated on the vCPU that acknowledged it, as Linux does.
//!
//! References: IHI 0069 (GICv3 and GICv4 architecture specification) for the GIC, DDI 0487 for
//! `ICH_*_EL2`.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod bank;
mod bits;
mod config;
mod distributor;
pub mod ich;
mod inputs;
mod interface;
mod intid;
mod lists;
pub mod lr;
pub mod nested;
mod physical;
mod redistributor;
mod vgic;
mod view;

pub use bits::access_needs_lists;
pub use config::{ConfigError, VgicConfig};
pub use inputs::{Ppis, SgiRegister};
pub use interface::{IchRegister, Interface, Signal, VirtualInterface, hcr, vmcr};
pub use lr::ListRegister;
pub use physical::PhysicalGic;
pub use vgic::Vgic;
pub use view::InterruptState;

/// The most vCPUs a [`Vgic`] serves.
pub const MAX_VCPUS: usize = 8;

/// The most list registers the architecture allows (`ICH_VTR_EL2.ListRegs` is 0 to 15 here).
pub const MAX_LIST_REGISTERS: usize = 16;

/// Priority bits that exist: five, as `ICH_VTR_EL2.PRIbits` of the machine.
pub const PRIORITY_MASK: u8 = 0xf8;
