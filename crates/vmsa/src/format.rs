//! Where a descriptor keeps its address, and at which levels it may be a leaf.
//!
//! That much is common to both stages, and depends on three things: the granule, the output address size, and
//! `FEAT_LPA2`'s `DS` bit (DDI 0487, "Translation table descriptor formats"; pseudocode `AArch64.NextTableBase`,
//! `AArch64.LeafBase`, `AArch64.BlockDescSupported`). Attributes differ between the stages and are decoded there.

use crate::{Granule, Level};

/// Bit 0 of a descriptor: it is one.
const VALID: u64 = 1 << 0;
/// Bit 1: a table at levels above 3, a page at level 3; clear for a block.
const TABLE_OR_PAGE: u64 = 1 << 1;

/// How a descriptor holds an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressField {
    /// 48 bits, each in its place.
    Bits48,
    /// 52 bits with the 64 KiB granule (`FEAT_LPA`): address bits 51:48 are in bits 15:12.
    Lpa,
    /// 52 bits with the 4 KiB and 16 KiB granules (`FEAT_LPA2`, `DS` = 1): address bits 51:50 are in bits 9:8, where
    /// other tables have the shareability.
    Lpa2,
}

/// What tables of one translation have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFormat {
    /// The size of a table and of a page.
    pub granule: Granule,
    /// How addresses are held.
    pub field: AddressField,
}

/// What a descriptor is at its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorKind {
    /// Bit 0 is clear, or there are no blocks at this level.
    Invalid,
    /// The table or the memory that it points to lies beyond the output address size.
    OutOfRange,
    /// The next-level table is at this address.
    Table(u64),
    /// A block or page of memory begins at this address.
    Leaf(u64),
}

impl TableFormat {
    /// Tables with addresses of at most 48 bits.
    #[must_use]
    pub const fn bits48(granule: Granule) -> Self {
        Self {
            granule,
            field: AddressField::Bits48,
        }
    }

    /// Tables with `granule` under the `DS` bit of the control register, on a machine with `pa_bits` of physical
    /// address.
    #[must_use]
    pub const fn new(granule: Granule, ds: bool, pa_bits: u32) -> Self {
        let field = match granule {
            Granule::K64 if pa_bits >= 52 => AddressField::Lpa,
            Granule::K4 | Granule::K16 if ds => AddressField::Lpa2,
            _ => AddressField::Bits48,
        };
        Self { granule, field }
    }

    /// The most bits that an output address can have.
    #[must_use]
    pub const fn address_bits_max(self) -> u32 {
        match self.field {
            AddressField::Bits48 => 48,
            AddressField::Lpa | AddressField::Lpa2 => 52,
        }
    }

    /// The address in a descriptor, with what is below the page size cleared.
    #[must_use]
    pub const fn address(self, raw: u64) -> u64 {
        let in_place = raw & !(self.granule.bytes() - 1);
        match self.field {
            AddressField::Bits48 => in_place & ((1 << 48) - 1),
            AddressField::Lpa => in_place & ((1 << 48) - 1) | (raw >> 12 & 0b1111) << 48,
            AddressField::Lpa2 => in_place & ((1 << 50) - 1) | (raw >> 8 & 0b11) << 50,
        }
    }

    /// Whether a valid descriptor at `level` may be a leaf.
    #[must_use]
    pub const fn has_leaf_at(self, level: Level) -> bool {
        match (self.granule, self.field, level.get()) {
            (Granule::K4, AddressField::Lpa2, 0)
            | (Granule::K16, AddressField::Lpa2, 1)
            | (Granule::K64, AddressField::Lpa, 1) => true,
            _ => self.granule.has_leaf_at(level),
        }
    }

    /// The levels that may have blocks, the one with the largest first.
    pub fn block_levels(self) -> impl Iterator<Item = Level> {
        let levels = [Level::ZERO, Level::ONE, Level::TWO];
        levels.into_iter().filter(move |&level| self.has_leaf_at(level))
    }

    /// What `raw`, a descriptor in the byte order of this CPU, is at `level` of tables with `oa_bits` of output address.
    // Most callers know the granule when they are compiled, and little is left of it then.
    #[must_use]
    #[inline(always)]
    pub const fn decode(self, raw: u64, level: Level, oa_bits: u32) -> DescriptorKind {
        self.decode_within(raw, level, beyond(oa_bits))
    }

    /// [`decode`](Self::decode); `beyond` are the bits that no output address has.
    #[inline(always)]
    pub(crate) const fn decode_within(self, raw: u64, level: Level, beyond: u64) -> DescriptorKind {
        let is_last = level.get() == 3;
        let address = self.address(raw);
        let (kind, base) = match raw & (VALID | TABLE_OR_PAGE) {
            0b11 if is_last => (DescriptorKind::Leaf(address), address),
            0b11 => (DescriptorKind::Table(address), address),
            0b01 if !is_last && self.has_leaf_at(level) => {
                let base = address & !(self.granule.entry_bytes(level) - 1);
                (DescriptorKind::Leaf(base), base)
            }
            _ => return DescriptorKind::Invalid,
        };
        if base & beyond == 0 {
            kind
        } else {
            DescriptorKind::OutOfRange
        }
    }

    /// The table that `raw` leads to, where [`decode`](Self::decode) says that it is one, above level 3.
    #[inline(always)]
    pub(crate) const fn next_table(self, raw: u64, beyond: u64) -> Option<u64> {
        let is_table = raw & (VALID | TABLE_OR_PAGE) == VALID | TABLE_OR_PAGE;
        let address = self.address(raw);
        if is_table && address & beyond == 0 {
            Some(address)
        } else {
            None
        }
    }

    /// The address of the start-level table in a translation table base register (`AArch64.S1TTBaseAddress`,
    /// `AArch64.S2TTBaseAddress`). The table, or all the concatenated ones, have 2^`table_shift` bytes and are aligned
    /// to that. `is_wide` says that 52-bit output addresses are in use, whose bits 51:48 are in bits 5:2.
    #[must_use]
    pub(crate) const fn root(self, register: u64, table_shift: u32, is_wide: bool) -> u64 {
        let (shift, high) = if is_wide {
            let shift = if table_shift < 6 { 6 } else { table_shift };
            (shift, (register >> 2 & 0b1111) << 48)
        } else {
            (table_shift, 0)
        };
        register & ((1 << 48) - 1) & (u64::MAX << shift) | high
    }
}

/// The bits that no output address of `oa_bits` has.
#[inline(always)]
pub(crate) const fn beyond(oa_bits: u32) -> u64 {
    match u64::MAX.checked_shl(oa_bits) {
        Some(bits) => bits,
        None => 0,
    }
}

/// The output address size that a `PS` or `IPS` field names, in bits, before the machine's own size and the format of
/// the tables bound it (pseudocode `AArch64.PhysicalAddressSize`).
#[must_use]
pub(crate) const fn output_bits(ps: u64) -> u32 {
    match ps & 0b111 {
        0b000 => 32,
        0b001 => 36,
        0b010 => 40,
        0b011 => 42,
        0b100 => 44,
        0b101 => 48,
        _ => 52,
    }
}

/// `value` of `PS` for 52 bits.
pub(crate) const PS_52_BITS: u64 = 0b110;

#[cfg(test)]
mod tests {
    use super::*;

    const LPA2: TableFormat = TableFormat::new(Granule::K4, true, 52);
    const LPA: TableFormat = TableFormat::new(Granule::K64, false, 52);

    #[test]
    fn the_field_follows_granule_ds_and_physical_size() {
        for (granule, ds, pa_bits, field) in [
            (Granule::K4, false, 52, AddressField::Bits48),
            (Granule::K4, true, 52, AddressField::Lpa2),
            (Granule::K16, true, 48, AddressField::Lpa2),
            (Granule::K64, true, 48, AddressField::Bits48),
            (Granule::K64, false, 52, AddressField::Lpa),
        ] {
            assert_eq!(TableFormat::new(granule, ds, pa_bits).field, field);
        }
    }

    #[test]
    fn address_bits_51_48_come_from_where_the_format_has_them() {
        assert_eq!(
            LPA2.address(0b11 << 48 | 0b10 << 8 | 0x4000_0003),
            0b1011 << 48 | 0x4000_0000
        );
        assert_eq!(LPA.address(0x4000_a003), 0xa << 48 | 0x4000_0000);
        assert_eq!(TableFormat::bits48(Granule::K4).address(u64::MAX), 0xffff_ffff_f000);
        assert_eq!(TableFormat::bits48(Granule::K16).address(u64::MAX), 0xffff_ffff_c000);
    }

    #[test]
    fn each_52_bit_format_has_blocks_one_level_further_up() {
        for (granule, ds, pa_bits, first_48, first_52) in [
            (Granule::K4, true, 52, 1, 0),
            (Granule::K16, true, 52, 2, 1),
            (Granule::K64, false, 52, 2, 1),
        ] {
            for level in [Level::MINUS_ONE, Level::ZERO, Level::ONE, Level::TWO] {
                let plain = TableFormat::bits48(granule);
                assert_eq!(plain.has_leaf_at(level), level.get() >= first_48, "{granule} {level}");
                let wide = TableFormat::new(granule, ds, pa_bits);
                assert_eq!(wide.has_leaf_at(level), level.get() >= first_52, "{granule} {level}");
            }
        }
    }

    #[test]
    fn output_sizes_are_those_of_the_ps_field() {
        let sizes: [u32; 7] = core::array::from_fn(|ps| output_bits(ps as u64));
        assert_eq!(sizes, [32, 36, 40, 42, 44, 48, 52]);
    }

    #[test]
    fn a_wide_root_has_its_top_bits_in_the_register_s_low_ones() {
        assert_eq!(LPA2.root(0xabcd_0000_4000_103d, 12, true), 0xf << 48 | 0x4000_1000);
        assert_eq!(LPA2.root(0x4000_1044, 4, true), 1 << 48 | 0x4000_1040);
        assert_eq!(LPA2.root(0x4000_1015, 4, false), 0x4000_1010);
    }

    #[test]
    fn what_lies_beyond_the_output_size_is_out_of_range() {
        let format = TableFormat::bits48(Granule::K4);
        assert_eq!(format.decode(1 << 40 | 3, Level::ONE, 40), DescriptorKind::OutOfRange);
        assert_eq!(
            format.decode(1 << 39 | 1, Level::ONE, 40),
            DescriptorKind::Leaf(1 << 39)
        );
        assert_eq!(format.decode(1 << 40, Level::ONE, 40), DescriptorKind::Invalid);
    }
}
