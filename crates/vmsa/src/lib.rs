//! The part of the AArch64 Virtual Memory System Architecture that a nested hypervisor needs, as
//! pure logic.
//!
//! Everything here is a function of values: registers come in as numbers, memory comes in through
//! [`ReadTable`], and nothing touches hardware. So the same walker serves the firmware, the host
//! tools and the tests, and can be fuzzed.
//!
//! * [`Addr`] and its markers keep the address spaces of nested translation apart: an L2 IPA cannot
//!   be passed where an L1 IPA is wanted.
//! * [`stage2`] reads any stage-2 tables (all granules, concatenated roots, both byte orders, with
//!   and without `FEAT_S2FWB`, `FEAT_LPA` and `FEAT_LPA2`) and writes our own (4 KiB granule, 48-bit
//!   or 52-bit IPA, `FEAT_S2FWB` form).
//! * [`stage1`] reads any stage-1 tables of the regimes EL1&0, EL2&0 and EL2.
//! * [`ptdump`] prints either in Linux's ptdump format, byte for byte.
//!
//! "L0", "L1" and "L2" always mean depth of virtualisation; translation levels are always
//! [`Level`]s.
//!
//! What a machine has of the optional features, the caller says ([`stage2::Stage2Limits`],
//! [`stage1::Stage1Limits`]): the hypervisor hides some of them from its guest.
//!
//! Not modelled: `FEAT_D128`, indirect permissions and overlays (`FEAT_S1PIE`, `FEAT_S1POE` and
//! their stage-2 kin), memory tagging's effect on addresses, `FEAT_TTST` at stage 2.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "test-support"))]
extern crate std;

mod addr;
mod descent;
mod fault;
mod format;
mod granule;
#[cfg(test)]
mod matrix_tests;
mod memory;
pub mod par;
pub mod ptdump;
mod size;
pub mod stage1;
pub mod stage2;
mod survey;
#[cfg(any(test, feature = "test-support"))]
pub mod testing;
mod visit;

pub use addr::{Addr, GuestVa, Ipa, L1, L2, Pa, Phys, Virt};
pub use descent::Step;
pub use fault::Fault;
pub use format::{AddressField, DescriptorKind, TableFormat};
pub use granule::{Granule, Level};
pub use memory::{ReadTable, Unreadable};
pub use size::Size;
pub use survey::{Enter, Found, TableLink};
pub use visit::{Entry, EntryKind};
