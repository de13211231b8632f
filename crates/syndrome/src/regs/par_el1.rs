//! `PAR_EL1`: what an `AT` instruction found. `F` chooses the layout.

use super::field::fields;

fields! {
    /// In both.
    COMMON:

    /// The translation failed.
    F = 0;
}

fields! {
    /// With `F` = 0.
    FOUND:

    /// Shareability.
    SH = 7, 2 { 0: "Non-shareable", 2: "Outer Shareable", 3: "Inner Shareable" };

    /// Non-secure output address.
    NS = 9;

    /// Output address, bits 51 to 12.
    PA = 12, 40;

    /// Memory type.
    ATTR = 56, 8 {
        0x00: "Device-nGnRnE",
        0x04: "Device-nGnRE",
        0x08: "Device-nGRE",
        0x0c: "Device-GRE",
        0x40: "Normal Non-cacheable, XS = 0",
        0x44: "Normal Non-cacheable",
        0xa0: "Normal Write-Through, XS = 0",
        0xbb: "Normal Write-Through",
        0xee: "Normal Write-Back, no write-allocate",
        0xf0: "Normal Write-Back, Tagged",
        0xff: "Normal Write-Back",
    };
}

fields! {
    /// With `F` = 1.
    FAULT:

    /// Fault status code.
    FST = 1, 6;

    /// Stage 2 fault of a stage 1 walk.
    PTW = 8;

    /// The fault is of stage 2.
    S = 9;
}

/// RES1, in both.
const RES1: u64 = 1 << 11;

/// The answer when stage 2 refuses: the status of its walk, and whether it was a table of stage 1 that it kept back.
#[must_use]
pub const fn stage2_fault(fsc: u8, is_table: bool) -> u64 {
    let table = if is_table { PTW } else { 0 };
    RES1 | S | table | (fsc as u64) << 1 | F
}

/// The answer for what is no memory: Device-nGnRnE, outer shareable.
#[must_use]
pub const fn device(output: u64) -> u64 {
    const OUTER_SHAREABLE: u64 = 2 << 7;
    RES1 | OUTER_SHAREABLE | output & PA
}
