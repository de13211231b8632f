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

use crate::{Granule, stage1::Stage1Limits, stage2::Stage2Limits};

/// A machine with all granules and 48-bit addresses.
pub const LIMITS: Stage2Limits = Stage2Limits {
    pa_bits: 48,
    has_lpa2: false,
    big_endian: false,
    fwb: true,
    has_4k: true,
    has_16k: true,
    has_64k: true,
};

/// The same machine with `FEAT_LPA` and `FEAT_LPA2`.
pub const WIDE_LIMITS: Stage2Limits = Stage2Limits {
    pa_bits: 52,
    has_lpa2: true,
    ..LIMITS
};

/// [`LIMITS`] for stage 1.
pub const STAGE1_LIMITS: Stage1Limits = Stage1Limits {
    pa_bits: 48,
    has_4k: true,
    has_16k: true,
    has_64k: true,
    has_lpa2: false,
    has_lva: false,
    has_ttst: false,
};

/// [`WIDE_LIMITS`] for stage 1, with `FEAT_LVA` and `FEAT_TTST` too.
pub const WIDE_STAGE1_LIMITS: Stage1Limits = Stage1Limits {
    pa_bits: 52,
    has_lpa2: true,
    has_lva: true,
    has_ttst: true,
    ..STAGE1_LIMITS
};

/// `VTCR_EL2` for these, with a 48-bit output size. Level −1 takes `DS` in addition.
#[must_use]
pub fn vtcr(granule: Granule, ipa_bits: u32, start_level: i8) -> u64 {
    const SL2: u64 = 1 << 33;
    let (tg0, first) = match granule {
        Granule::K4 => (0b00, 2),
        Granule::K64 => (0b01, 3),
        Granule::K16 => (0b10, 3),
    };
    let sl = match start_level {
        -1 => SL2,
        level => ((first - level) as u64) << 6,
    };
    let t0sz = u64::from(64 - ipa_bits) & 0x3f;
    t0sz | sl | tg0 << 14 | 0b101 << 16
}
