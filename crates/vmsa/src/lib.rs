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
//!   and without `FEAT_S2FWB`) and writes our own (4 KiB granule, 48-bit IPA, `FEAT_S2FWB` form).
//! * [`stage1`] visits the single-range EL2 stage 1, for dumps of the hypervisor's own map.
//! * [`ptdump`] prints either in Linux's ptdump format, byte for byte.
//!
//! "L0", "L1" and "L2" always mean depth of virtualisation; translation levels are always
//! [`Level`]s.
//!
//! Not modelled: `FEAT_LPA2`, `FEAT_LPA` and `FEAT_D128` (so addresses have at most 48 bits and
//! level −1 does not exist), `FEAT_TTST`. The hypervisor hides them from its guest.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "test-support"))]
extern crate std;

mod addr;
mod granule;
mod memory;
pub mod ptdump;
pub mod stage1;
pub mod stage2;
#[cfg(any(test, feature = "test-support"))]
pub mod testing;
mod visit;

pub use addr::{Addr, Ipa, L1, L2, Pa, Phys};
pub use granule::{Granule, Level};
pub use memory::{ReadTable, Unreadable};
pub use visit::{Entry, EntryKind};
