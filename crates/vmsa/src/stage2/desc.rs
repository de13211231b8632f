//! Stage-2 descriptors: raw value, checked view, encoder.
//!
//! Field positions are those of DDI 0487, "Translation table descriptor formats", stage 2, at most
//! 48 address bits. Decoding follows the owner of the tables (`HCR_EL2.FWB` on or off); encoding is
//! always for our own tables, which hardware reads with `HCR_EL2.FWB` = 1.

use super::attrs::{MemType, Perms, Shareability, Stage2Attrs};
use crate::{Addr, DescriptorKind, Granule, Level, TableFormat};

const VALID: u64 = 1 << 0;
/// Table at levels 0 to 2, page at level 3; clear for a block.
const TABLE_OR_PAGE: u64 = 1 << 1;
const MEM_ATTR_SHIFT: u32 = 2;
const S2AP_READ: u64 = 1 << 6;
const S2AP_WRITE: u64 = 1 << 7;
const SH_SHIFT: u32 = 8;
const AF: u64 = 1 << 10;
const CONTIGUOUS: u64 = 1 << 52;
const XN_SHIFT: u32 = 53;
/// Two of the four bits reserved for software.
const TAG_SHIFT: u32 = 55;
const TAG_MASK: u64 = 0b11;
const ADDRESS_MASK: u64 = (1 << 48) - 1;

/// The fields that may change in a valid leaf without break-before-make: permissions, Access flag,
/// software bits (DDI 0487, "Using break-before-make when updating translation table entries").
const RELAXABLE: u64 = S2AP_READ | S2AP_WRITE | AF | 0b11 << XN_SHIFT | TAG_MASK << TAG_SHIFT;

/// A 64-bit stage-2 descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage2Desc(u64);

/// What a stage-2 descriptor means at its level, with addresses of the output space `O`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage2Entry<O> {
    /// Faults: bit 0 clear, or a reserved encoding (a block where there are none).
    Invalid,
    /// The next-level table.
    Table(Addr<O>),
    /// A leaf at level 1 or 2.
    Block(Addr<O>),
    /// A leaf at level 3.
    Page(Addr<O>),
}

impl Stage2Desc {
    /// The invalid descriptor we write.
    pub const INVALID: Self = Self(0);

    /// A descriptor read from a table, in the byte order of this CPU.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The 64 bits.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Bit 0. A valid descriptor may still be [`Stage2Entry::Invalid`] at its level.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 & VALID != 0
    }

    /// What this means at `level` of tables with `granule` and addresses of at most 48 bits, such as ours.
    #[must_use]
    #[inline(always)]
    pub const fn decode<O>(self, level: Level, granule: Granule) -> Stage2Entry<O> {
        // Which addresses are out of range is the walk's to say.
        match TableFormat::bits48(granule).decode(self.0, level, u64::BITS - 1) {
            DescriptorKind::Table(at) => Stage2Entry::Table(Addr::new(at)),
            DescriptorKind::Leaf(at) if level.get() == 3 => Stage2Entry::Page(Addr::new(at)),
            DescriptorKind::Leaf(at) => Stage2Entry::Block(Addr::new(at)),
            DescriptorKind::Invalid | DescriptorKind::OutOfRange => Stage2Entry::Invalid,
        }
    }

    /// Whether a leaf may be read.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.0 & S2AP_READ != 0
    }

    /// Whether a leaf may be written.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & S2AP_WRITE != 0
    }

    /// What a leaf allows.
    #[must_use]
    #[inline(always)]
    pub const fn perms(self) -> Perms {
        // XN with FEAT_XNX: bit 54 = neither or EL1 only, bit 53 tells which of the two in each
        // half.
        let (exec_el1, exec_el0) = match self.0 >> XN_SHIFT & 0b11 {
            0b00 => (true, true),
            0b01 => (false, true),
            0b10 => (false, false),
            _ => (true, false),
        };
        Perms {
            read: self.is_readable(),
            write: self.is_writable(),
            exec_el1,
            exec_el0,
        }
    }

    /// The Access flag, of a leaf.
    #[must_use]
    pub const fn has_af(self) -> bool {
        self.0 & AF != 0
    }

    /// The attributes, of a leaf. `fwb` is the `HCR_EL2.FWB` these tables are walked under.
    #[must_use]
    #[inline(always)]
    pub const fn attrs(self, fwb: bool) -> Stage2Attrs {
        Stage2Attrs {
            perms: self.perms(),
            mem: MemType::decode(self.0 >> MEM_ATTR_SHIFT, fwb),
            sh: Shareability::decode(self.0 >> SH_SHIFT),
            af: self.has_af(),
            contiguous: self.0 & CONTIGUOUS != 0,
        }
    }

    /// The same descriptor with the Access flag set.
    #[must_use]
    pub const fn with_af(self) -> Self {
        Self(self.0 | AF)
    }

    /// The same descriptor with another shareability.
    pub(super) const fn with_sh(self, sh: Shareability) -> Self {
        Self(self.0 & !(0b11 << SH_SHIFT) | sh.encode() << SH_SHIFT)
    }

    /// The two bits of software use, bits 56:55: in a shadow leaf, the level of the guest leaf it
    /// was made from.
    #[must_use]
    pub const fn tag(self) -> u8 {
        (self.0 >> TAG_SHIFT & TAG_MASK) as u8
    }

    /// A leaf at `level` (a page at level 3, else a block) that maps to `output`, for our own
    /// tables.
    ///
    /// Bits of `output` below the size of the leaf are dropped. `tag` is what [`tag`](Self::tag)
    /// gives back.
    #[must_use]
    #[inline]
    pub const fn leaf<O>(level: Level, output: Addr<O>, attrs: &Stage2Attrs, tag: u8) -> Self {
        let mut raw = output.align_down(Granule::K4.entry_bytes(level)).bits() & ADDRESS_MASK;
        raw |= VALID;
        if level.get() == 3 {
            raw |= TABLE_OR_PAGE;
        }
        raw |= attrs.mem.encode_fwb() << MEM_ATTR_SHIFT;
        raw |= attrs.sh.encode() << SH_SHIFT;
        if attrs.perms.read {
            raw |= S2AP_READ;
        }
        if attrs.perms.write {
            raw |= S2AP_WRITE;
        }
        let xn = match (attrs.perms.exec_el1, attrs.perms.exec_el0) {
            (true, true) => 0b00,
            (false, true) => 0b01,
            (false, false) => 0b10,
            (true, false) => 0b11,
        };
        raw |= xn << XN_SHIFT;
        if attrs.af {
            raw |= AF;
        }
        if attrs.contiguous {
            raw |= CONTIGUOUS;
        }
        Self(raw | (tag as u64 & TAG_MASK) << TAG_SHIFT)
    }

    /// [`leaf`](Self::leaf) with the attributes as bits, such as [`combined`](super::combined) gives. `output` is a multiple
    /// of the leaf's size.
    #[must_use]
    #[inline(always)]
    pub const fn leaf_of_bits<O>(level: Level, output: Addr<O>, attrs: u64, tag: u8) -> Self {
        let kind = if level.get() == 3 { VALID | TABLE_OR_PAGE } else { VALID };
        Self(output.bits() & ADDRESS_MASK | attrs | kind | (tag as u64 & TAG_MASK) << TAG_SHIFT)
    }

    /// A table descriptor that leads to `next`, for our own tables.
    #[must_use]
    pub const fn table<O>(next: Addr<O>) -> Self {
        Self(next.align_down(Granule::K4.bytes()).bits() & ADDRESS_MASK | VALID | TABLE_OR_PAGE)
    }

    /// What a leaf of our own tables at `level` maps its first address to.
    pub(super) const fn output(self, level: Level) -> u64 {
        self.0 & ADDRESS_MASK & !(Granule::K4.entry_bytes(level) - 1)
    }

    /// Whether a valid leaf may become `new` in place, without break-before-make.
    pub(super) const fn is_relaxable_to(self, new: Self) -> bool {
        (self.0 ^ new.0) & !RELAXABLE == 0
    }

    /// The piece at `index` of this leaf of our own tables, split into 512 at `child` level.
    pub(super) const fn split_piece(self, child: Level, index: u64) -> Self {
        let kind = if child.get() == 3 { TABLE_OR_PAGE } else { 0 };
        let attributes = self.0 & !(TABLE_OR_PAGE | CONTIGUOUS);
        Self((attributes | kind) + index * Granule::K4.entry_bytes(child))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phys;

    const OUTPUT: u64 = 0x1234_4000_0000;

    fn entry(raw: u64, level: Level, granule: Granule) -> Stage2Entry<Phys> {
        Stage2Desc::from_raw(raw).decode(level, granule)
    }

    #[test]
    fn bit_one_is_table_or_page() {
        let at = Addr::new(0x8000_0000);
        assert_eq!(entry(0x8000_0003, Level::TWO, Granule::K4), Stage2Entry::Table(at));
        assert_eq!(entry(0x8000_0003, Level::THREE, Granule::K4), Stage2Entry::Page(at));
        assert_eq!(entry(0x8000_0001, Level::TWO, Granule::K4), Stage2Entry::Block(at));
    }

    #[test]
    fn block_where_there_are_none_is_invalid() {
        for (granule, level) in [
            (Granule::K4, Level::ZERO),
            (Granule::K4, Level::THREE),
            (Granule::K16, Level::ONE),
            (Granule::K16, Level::THREE),
            (Granule::K64, Level::ONE),
            (Granule::K64, Level::THREE),
        ] {
            assert_eq!(entry(0x1, level, granule), Stage2Entry::Invalid, "{granule} {level}");
        }
    }

    #[test]
    fn clear_bit_zero_is_invalid_at_every_level() {
        for level in [Level::ZERO, Level::ONE, Level::TWO, Level::THREE] {
            assert_eq!(entry(!1, level, Granule::K4), Stage2Entry::Invalid);
        }
    }

    #[test]
    fn res0_address_bits_of_blocks_are_ignored() {
        assert_eq!(
            entry(0xffff_f001, Level::ONE, Granule::K4),
            Stage2Entry::Block(Addr::new(0xc000_0000))
        );
        assert_eq!(
            entry(0xffff_f003, Level::TWO, Granule::K64),
            Stage2Entry::Table(Addr::new(0xffff_0000))
        );
    }

    #[test]
    fn xn_follows_feat_xnx() {
        let exec = |xn: u64| {
            let perms = Stage2Desc::from_raw(xn << 53).attrs(true).perms;
            (perms.exec_el1, perms.exec_el0)
        };
        assert_eq!(exec(0b00), (true, true));
        assert_eq!(exec(0b01), (false, true));
        assert_eq!(exec(0b10), (false, false));
        assert_eq!(exec(0b11), (true, false));
    }

    #[test]
    fn memory_type_without_fwb_is_the_stricter_of_inner_and_outer() {
        let mem = |attr: u64| Stage2Desc::from_raw(attr << 2).attrs(false).mem;
        assert_eq!(mem(0b0000), MemType::DevicenGnRnE);
        assert_eq!(mem(0b0001), MemType::DevicenGnRE);
        assert_eq!(mem(0b0010), MemType::DevicenGRE);
        assert_eq!(mem(0b0011), MemType::DeviceGRE);
        assert_eq!(mem(0b0101), MemType::NormalNonCacheable);
        assert_eq!(mem(0b0111), MemType::NormalNonCacheable);
        assert_eq!(mem(0b1101), MemType::NormalNonCacheable);
        assert_eq!(mem(0b1010), MemType::NormalWriteThrough);
        assert_eq!(mem(0b1011), MemType::NormalWriteThrough);
        assert_eq!(mem(0b1110), MemType::NormalWriteThrough);
        assert_eq!(mem(0b1111), MemType::Stage1);
        for reserved in [0b0100, 0b1000, 0b1100] {
            assert_eq!(mem(reserved), MemType::DevicenGnRnE);
        }
    }

    #[test]
    fn memory_type_with_fwb_is_three_bits() {
        let mem = |attr: u64| Stage2Desc::from_raw(attr << 2).attrs(true).mem;
        assert_eq!(mem(0b0101), MemType::NormalNonCacheable);
        assert_eq!(mem(0b0110), MemType::NormalWriteBack);
        assert_eq!(mem(0b0111), MemType::Stage1);
        assert_eq!(mem(0b0100), MemType::DevicenGnRnE);
    }

    #[test]
    fn encoding_then_decoding_gives_the_attributes_back() {
        let types = [
            MemType::DevicenGnRnE,
            MemType::DevicenGnRE,
            MemType::DevicenGRE,
            MemType::DeviceGRE,
            MemType::NormalNonCacheable,
            MemType::NormalWriteBack,
            MemType::Stage1,
        ];
        for mem in types {
            for sh in [Shareability::Non, Shareability::Inner, Shareability::Outer] {
                for bits in 0..64u8 {
                    let bit = |n: u8| bits >> n & 1 != 0;
                    let perms = Perms {
                        read: bit(0),
                        write: bit(1),
                        exec_el1: bit(2),
                        exec_el0: bit(3),
                    };
                    let attrs = Stage2Attrs {
                        perms,
                        mem,
                        sh,
                        af: bit(4),
                        contiguous: bit(5),
                    };
                    let desc = Stage2Desc::leaf(Level::TWO, Addr::<Phys>::new(OUTPUT), &attrs, bits);
                    assert_eq!(desc.attrs(true), attrs);
                    assert_eq!(desc.tag(), bits & 3);
                    assert_eq!(
                        desc.decode(Level::TWO, Granule::K4),
                        Stage2Entry::Block(Addr::<Phys>::new(OUTPUT))
                    );
                }
            }
        }
    }

    #[test]
    fn write_through_is_encoded_as_the_next_stricter_type() {
        let attrs = Stage2Attrs {
            mem: MemType::NormalWriteThrough,
            ..Stage2Attrs::RAM
        };
        let desc = Stage2Desc::leaf(Level::THREE, Addr::<Phys>::new(OUTPUT), &attrs, 0);
        assert_eq!(desc.attrs(true).mem, MemType::NormalNonCacheable);
    }

    #[test]
    fn only_permissions_flag_and_software_bits_change_in_place() {
        let at = Addr::<Phys>::new(OUTPUT);
        let leaf = |attrs: Stage2Attrs, tag| Stage2Desc::leaf(Level::THREE, at, &attrs, tag);
        let old = leaf(
            Stage2Attrs {
                perms: Perms::READ_WRITE,
                af: false,
                ..Stage2Attrs::RAM
            },
            1,
        );
        assert!(old.is_relaxable_to(leaf(Stage2Attrs::RAM, 3)));
        assert!(!old.is_relaxable_to(leaf(
            Stage2Attrs {
                sh: Shareability::Outer,
                ..Stage2Attrs::RAM
            },
            1
        )));
        assert!(!old.is_relaxable_to(leaf(
            Stage2Attrs {
                mem: MemType::DeviceGRE,
                ..Stage2Attrs::RAM
            },
            1
        )));
        let moved = Stage2Desc::leaf(Level::THREE, Addr::<Phys>::new(OUTPUT + 0x1000), &Stage2Attrs::RAM, 1);
        assert!(!old.is_relaxable_to(moved));
        assert!(!old.is_relaxable_to(Stage2Desc::INVALID));
    }
}
