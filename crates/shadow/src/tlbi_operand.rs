//! The operands of stage-2 TLB maintenance (DDI 0487, "TLBI IPAS2E1, TLB Invalidate by Intermediate
//! Physical Address, Stage 2, EL1" and "TLBI RIPAS2E1"; the variants for the last level and for the
//! shareability domains have the same).

use core::ops::Range;
use vmsa::{Granule, Ipa, L2, Level};

/// The size of the leaf that an invalidation is about, as `FEAT_TTL` lets software tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// The granule of the tables.
    pub granule: Granule,
    /// The level of the leaf.
    pub level: Level,
}

impl Ttl {
    /// From the 4-bit TTL field. `None` when it says nothing: zero, or a level that has no leaves.
    #[must_use]
    pub const fn decode(field: u64) -> Option<Self> {
        let granule = match field >> 2 & 0b11 {
            0b01 => Granule::K4,
            0b10 => Granule::K16,
            0b11 => Granule::K64,
            _ => return None,
        };
        match Level::new((field & 0b11) as i8) {
            Some(level) if granule.has_leaf_at(level) => Some(Self { granule, level }),
            _ => None,
        }
    }

    /// The size of that leaf in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.granule.entry_bytes(self.level)
    }
}

/// The operand of `TLBI IPAS2E1` and `TLBI IPAS2LE1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpaOperand {
    /// The IPA, a multiple of 4 KiB.
    pub ipa: Ipa<L2>,
    /// The leaf's size, if told.
    pub ttl: Option<Ttl>,
}

impl IpaOperand {
    /// From the register. The IPA has 52 bits; without `FEAT_LPA` those above 48 are RES0.
    #[must_use]
    pub const fn decode(xt: u64) -> Self {
        let frame = xt & ((1 << 40) - 1);
        Self {
            ipa: Ipa::new(frame << 12),
            ttl: Ttl::decode(xt >> 44 & 0b1111),
        }
    }
}

/// The operand of `TLBI RIPAS2E1` and `TLBI RIPAS2LE1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeOperand {
    /// The first IPA.
    pub base: Ipa<L2>,
    /// The bytes from there, at least two pages.
    pub size: u64,
    /// The level of the leaves, if told: `TTL[1:0]` with the granule in `TG`.
    pub ttl: Option<Ttl>,
}

impl RangeOperand {
    /// From the register. The reserved granule is taken as 64 KiB, the largest. With the `VTCR_EL2.DS` of the tables in
    /// question, the address is in units of 64 KiB whatever the granule.
    #[must_use]
    pub const fn decode(xt: u64, ds: bool) -> Self {
        let (granule, tg) = match xt >> 46 & 0b11 {
            0b01 => (Granule::K4, 0b01),
            0b10 => (Granule::K16, 0b10),
            _ => (Granule::K64, 0b11),
        };
        let scale = xt >> 44 & 0b11;
        let num = xt >> 39 & 0b1_1111;
        // TTL 0 says nothing here, whatever the granule.
        let ttl = match xt >> 37 & 0b11 {
            0 => None,
            level => Ttl::decode(tg << 2 | level),
        };
        let base = xt & ((1 << 37) - 1);
        let base_shift = if ds { Granule::K64.shift() } else { granule.shift() };
        Self {
            // 37 bits of address in pages of at most 64 KiB and 2^21 pages at most: no overflow.
            base: Ipa::new(base << base_shift),
            size: ((num + 1) << (5 * scale + 1)) << granule.shift(),
            ttl,
        }
    }

    /// The addresses.
    #[must_use]
    pub const fn range(self) -> Range<u64> {
        self.base.bits()..self.base.bits() + self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_names_granule_and_level() {
        assert_eq!(Ttl::decode(0b0000), None);
        assert_eq!(Ttl::decode(0b0011), None);
        assert_eq!(Ttl::decode(0b0100), None);
        assert_eq!(Ttl::decode(0b0101).map(Ttl::bytes), Some(1 << 30));
        assert_eq!(Ttl::decode(0b0110).map(Ttl::bytes), Some(2 << 20));
        assert_eq!(Ttl::decode(0b0111).map(Ttl::bytes), Some(4 << 10));
        assert_eq!(Ttl::decode(0b1001), None);
        assert_eq!(Ttl::decode(0b1010).map(Ttl::bytes), Some(32 << 20));
        assert_eq!(Ttl::decode(0b1110).map(Ttl::bytes), Some(512 << 20));
        assert_eq!(Ttl::decode(0b1111).map(Ttl::bytes), Some(64 << 10));
    }

    #[test]
    fn ipa_operand_is_a_page_number() {
        let operand = IpaOperand::decode(0b0110 << 44 | 0x4_0200);
        assert_eq!(operand.ipa, Ipa::new(0x4020_0000));
        assert_eq!(
            operand.ttl,
            Some(Ttl {
                granule: Granule::K4,
                level: Level::TWO
            })
        );
        assert_eq!(IpaOperand::decode(u64::MAX).ipa, Ipa::new(0xf_ffff_ffff_f000));
    }

    #[test]
    fn range_operand_is_num_plus_one_times_a_power_of_32() {
        let decode = |tg: u64, scale: u64, num: u64, ttl: u64, base: u64| {
            RangeOperand::decode(tg << 46 | scale << 44 | num << 39 | ttl << 37 | base, false)
        };
        let operand = decode(0b01, 0, 0, 0, 0x4_0200);
        assert_eq!(
            (operand.base, operand.size, operand.ttl),
            (Ipa::new(0x4020_0000), 0x2000, None)
        );
        assert_eq!(decode(0b01, 1, 3, 0, 0).size, 4 * 64 * 0x1000);
        assert_eq!(decode(0b10, 0, 31, 0, 1).base, Ipa::new(0x4000));
        assert_eq!(decode(0b11, 3, 31, 0, 0).size, (32 << 16) * 0x1_0000);
        assert_eq!(decode(0b01, 0, 0, 2, 0).ttl, Ttl::decode(0b0110));
        assert_eq!(decode(0b00, 0, 0, 0, 1).base, Ipa::new(0x1_0000));
    }

    #[test]
    fn with_ds_the_base_of_a_range_is_in_units_of_64k_and_its_size_is_not() {
        let operand = RangeOperand::decode(0b01 << 46 | 1, true);
        assert_eq!((operand.base, operand.size), (Ipa::new(0x1_0000), 0x2000));
        let last = RangeOperand::decode(0b01 << 46 | ((1 << 36) - 1), true);
        assert_eq!(last.base, Ipa::new((1 << 52) - 0x1_0000));
    }

    #[test]
    fn any_operand_decodes() {
        for operand in [0, u64::MAX, 0x1234_5678_9abc_def0] {
            for ds in [false, true] {
                let range = RangeOperand::decode(operand, ds).range();
                assert!(range.start < range.end);
            }
            let _ = IpaOperand::decode(operand);
        }
    }
}
