//! Two leaves as one, on the bits of their descriptors.
//!
//! A hypervisor that maps what its guest hypervisor maps gives each page what both stages allow, memory as the stricter of
//! them has it. Said in [`Stage2Attrs`](super::Stage2Attrs) that is a few lines; taking two descriptors apart into fields
//! and putting a third together from them takes longer than both walks. Here the fields stay where they are.

use super::attrs::MemType;

const MEM_ATTR_SHIFT: u32 = 2;
const MEM_ATTR_MASK: u64 = 0b1111;
const S2AP: u64 = 0b11 << 6;
const AF: u64 = 1 << 10;
const SH: u64 = 0b11 << 8;
const XN: u64 = 0b11 << 53;
/// The lower bits of `SH` and `XN`.
const LOW_BITS: u64 = 1 << 8 | 1 << 53;

/// The attribute bits of the leaf that maps what `inner` maps, as far as `outer` allows: `inner` is a descriptor of a
/// guest's, read under an `HCR_EL2.FWB` of `fwb`, `outer` one of our own tables. The Access flag is set, and the
/// Contiguous hint is not, nor are the bits for software.
#[must_use]
#[inline(always)]
pub const fn combined(inner: u64, fwb: bool, outer: u64) -> u64 {
    inner & outer & S2AP | stricter_fields(inner, outer) | mem_attr(inner, fwb, outer) << MEM_ATTR_SHIFT | AF
}

/// `SH` and `XN`. Both are Gray codes: once decoded, the two bits of `SH` say Non-shareable (0b00), Inner (0b10) or Outer
/// (0b11, and 0b01 for the reserved one), and those of `XN` who may not execute. The stricter of two is then all bits that
/// either has.
#[inline(always)]
const fn stricter_fields(inner: u64, outer: u64) -> u64 {
    let both = from_gray(inner & (SH | XN)) | from_gray(outer & (SH | XN));
    from_gray(both)
}

/// Two-bit Gray codes to binary, and back: either is to flip the lower bit if the upper one is set.
#[inline(always)]
const fn from_gray(fields: u64) -> u64 {
    fields ^ fields >> 1 & LOW_BITS
}

/// `MemAttr` of our own form, for both.
#[inline(always)]
const fn mem_attr(inner: u64, fwb: bool, outer: u64) -> u64 {
    /// For each `MemAttr` of the outer leaf 16 numbers of four bits, one for each of the inner one.
    const PLAIN: [u64; 16] = mem_attrs(false);
    const FWB: [u64; 16] = mem_attrs(true);
    let table = if fwb { &FWB } else { &PLAIN };
    let row = table[(outer >> MEM_ATTR_SHIFT & MEM_ATTR_MASK) as usize];
    // Bits 5:2 times four.
    row >> (inner & MEM_ATTR_MASK << MEM_ATTR_SHIFT) & MEM_ATTR_MASK
}

const fn mem_attrs(fwb: bool) -> [u64; 16] {
    let mut rows = [0; 16];
    let mut index = 0;
    while index < 256 {
        let (outer, inner) = (index / 16, index % 16);
        let mem = MemType::decode(inner, fwb).over(MemType::decode(outer, true));
        rows[outer as usize] |= mem.encode_fwb() << (4 * inner);
        index += 1;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::{Stage2Attrs, Stage2Desc};
    use super::*;

    /// What [`combined`] is to give, in words.
    fn model(inner: Stage2Attrs, outer: Stage2Attrs) -> Stage2Attrs {
        Stage2Attrs {
            perms: inner.perms.and(outer.perms),
            mem: inner.mem.over(outer.mem),
            sh: inner.sh.max(outer.sh),
            af: true,
            contiguous: false,
        }
    }

    /// All values of `S2AP`, `XN`, `SH` and `MemAttr`, whatever the other bits.
    fn leaves() -> impl Iterator<Item = u64> {
        (0..1u64 << 10).map(|bits| (bits & 0xff) << 2 | bits >> 8 << 53 | (bits % 7) << 50)
    }

    #[test]
    fn all_descriptors_combine_as_their_attributes_do() {
        for outer in leaves() {
            let allowed = Stage2Desc::from_raw(outer).attrs(true);
            for inner in leaves() {
                for fwb in [false, true] {
                    let bits = Stage2Desc::from_raw(combined(inner, fwb, outer));
                    let mut expected = model(Stage2Desc::from_raw(inner).attrs(fwb), allowed);
                    if expected.mem == MemType::NormalWriteThrough {
                        // It has no encoding of ours; the next stricter one has.
                        expected.mem = MemType::NormalNonCacheable;
                    }
                    assert_eq!(bits.attrs(true), expected, "{inner:#x} over {outer:#x}");
                    assert_eq!(bits.tag(), 0);
                }
            }
        }
    }
}
