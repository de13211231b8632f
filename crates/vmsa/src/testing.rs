//! Test doubles, for this crate and those that build on it.
//!
//! * [`Words`] is sparse memory for tables that a guest wrote.
//! * [`Arena`] is memory for our own tables that checks the protocol: break-before-make, nothing
//!   freed while a walker may be in it, nothing freed twice.
//! * [`Tlb`] caches everything there is to cache, so that a missing invalidation shows as a stale
//!   entry.

mod arena;
mod tlb;
mod words;

pub use arena::Arena;
pub use tlb::Tlb;
pub use words::Words;

use crate::{Granule, stage2::Stage2Limits};

/// A machine with everything that is modelled.
pub const LIMITS: Stage2Limits = Stage2Limits {
    pa_bits: 48,
    big_endian: false,
    fwb: true,
    has_4k: true,
    has_16k: true,
    has_64k: true,
};

/// `VTCR_EL2` for these, with a 48-bit output size.
#[must_use]
pub fn vtcr(granule: Granule, ipa_bits: u32, start_level: u8) -> u64 {
    let (tg0, first) = match granule {
        Granule::K4 => (0b00, 2),
        Granule::K64 => (0b01, 3),
        Granule::K16 => (0b10, 3),
    };
    let t0sz = u64::from(64 - ipa_bits) & 0x3f;
    t0sz | (first - u64::from(start_level)) << 6 | tg0 << 14 | 0b101 << 16
}
