//! The composition of two translations into the leaf that hardware gets.
//!
//! Invariant I1: a shadow leaf never allows more, maps more, or caches more freely than either
//! stage does.

use vmsa::{
    Granule, Ipa, L1, L2, Level, Pa, Phys,
    stage2::{Mapping, RawLeaf, Stage2Attrs, Stage2Desc, combined},
};

/// A leaf of a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShadowLeaf {
    /// The first L2 IPA it maps.
    pub ia: Ipa<L2>,
    /// What that is mapped to.
    pub pa: Pa,
    /// The level in our tables: 1, 2 or 3.
    pub level: Level,
    /// What both stages allow.
    pub attrs: Stage2Attrs,
    /// The level of the guest leaf, in L1's tables. It tells what L1 invalidates when its TLBI
    /// names no level, so it is kept in the descriptor.
    pub guest_level: Level,
}

/// Composes the translation of `l2` by the guest stage 2 with the translation of the result by the
/// host stage 2 (`host` is the mapping of `guest.output`).
///
/// The leaf is as large as both leaves allow, rounded down to a leaf size of our 4 KiB granule: 64
/// KiB and 16 KiB leaves become 4 KiB ones, 32 MiB and 512 MiB ones become 2 MiB ones. The hint of
/// contiguity is dropped, since a leaf filled on demand cannot promise that its neighbours are
/// there.
#[must_use]
#[inline(always)]
pub fn compose(l2: Ipa<L2>, guest: &Mapping<L1>, host: &Mapping<Phys>) -> ShadowLeaf {
    let level = level_for(guest.size.min(host.size));
    let size = Granule::K4.entry_bytes(level);
    ShadowLeaf {
        ia: l2.align_down(size),
        pa: host.output.align_down(size),
        level,
        attrs: Stage2Attrs {
            perms: guest.attrs.perms.and(host.attrs.perms),
            mem: guest.attrs.mem.over(host.attrs.mem),
            sh: guest.attrs.sh.max(host.attrs.sh),
            af: true,
            contiguous: false,
        },
        guest_level: guest.level,
    }
}

/// The same where it is not hot.
#[inline(never)]
pub(crate) fn compose_in_few_bytes(l2: Ipa<L2>, guest: &Mapping<L1>, host: &Mapping<Phys>) -> ShadowLeaf {
    compose(l2, guest, host)
}

/// A leaf as it is put into a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewLeaf {
    pub(crate) ia: Ipa<L2>,
    pub(crate) level: Level,
    pub(crate) desc: Stage2Desc,
}

impl NewLeaf {
    /// [`compose`] on the bits of the descriptors: `guest` is read under an `HCR_EL2.FWB` of `fwb`.
    #[inline(always)]
    pub(crate) fn composed(l2: Ipa<L2>, guest: &RawLeaf<L1>, fwb: bool, host: &RawLeaf<Phys>) -> Self {
        let level = level_for(guest.size.min(host.size));
        let size = Granule::K4.entry_bytes(level);
        let attrs = combined(guest.raw, fwb, host.raw);
        Self {
            ia: l2.align_down(size),
            level,
            desc: Stage2Desc::leaf_of_bits(level, host.output.align_down(size), attrs, guest.level.index() as u8),
        }
    }
}

impl From<ShadowLeaf> for NewLeaf {
    fn from(leaf: ShadowLeaf) -> Self {
        Self {
            ia: leaf.ia,
            level: leaf.level,
            desc: Stage2Desc::leaf(leaf.level, leaf.pa, &leaf.attrs, leaf.guest_level.index() as u8),
        }
    }
}

/// The level of the largest leaf of ours that is not above `size` bytes.
fn level_for(size: u64) -> Level {
    [Level::ONE, Level::TWO]
        .into_iter()
        .find(|&level| Granule::K4.entry_bytes(level) <= size)
        .unwrap_or(Level::THREE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vmsa::{
        Addr,
        stage2::{MemType, Perms, Shareability},
    };

    fn mapping<S>(output: u64, level: Level, size: u64, attrs: Stage2Attrs) -> Mapping<S> {
        Mapping {
            output: Addr::new(output),
            level,
            size,
            attrs,
            desc_at: Addr::new(0),
            raw: 0,
        }
    }

    #[test]
    fn sizes_between_ours_round_down() {
        let table = [
            (4 << 10, Level::THREE),
            (16 << 10, Level::THREE),
            (64 << 10, Level::THREE),
            (2 << 20, Level::TWO),
            (32 << 20, Level::TWO),
            (512 << 20, Level::TWO),
            (1 << 30, Level::ONE),
        ];
        for (size, level) in table {
            assert_eq!(level_for(size), level, "{size:#x}");
        }
    }

    #[test]
    fn both_addresses_are_aligned_to_the_leaf() {
        let guest = mapping(0x8123_4567, Level::ONE, 1 << 30, Stage2Attrs::RAM);
        let host = mapping(0x1_0123_4567, Level::TWO, 2 << 20, Stage2Attrs::RAM);
        let leaf = compose(Ipa::new(0x4123_4567), &guest, &host);
        assert_eq!(leaf.ia, Ipa::new(0x4120_0000));
        assert_eq!(leaf.pa, Pa::new(0x1_0120_0000));
        assert_eq!((leaf.level, leaf.guest_level), (Level::TWO, Level::ONE));
    }

    #[test]
    fn stricter_memory_type_wins() {
        use MemType::{DeviceGRE, DevicenGnRE, NormalNonCacheable, NormalWriteBack, NormalWriteThrough, Stage1};
        // (guest, host, result)
        let table = [
            (NormalWriteBack, DevicenGnRE, DevicenGnRE),
            (Stage1, DevicenGnRE, DevicenGnRE),
            (DeviceGRE, DevicenGnRE, DevicenGnRE),
            (DevicenGnRE, NormalWriteBack, DevicenGnRE),
            (NormalNonCacheable, Stage1, NormalNonCacheable),
            (NormalWriteThrough, NormalNonCacheable, NormalNonCacheable),
            (NormalWriteBack, NormalNonCacheable, NormalNonCacheable),
            (Stage1, Stage1, Stage1),
            (Stage1, NormalWriteBack, Stage1),
            (NormalWriteBack, NormalWriteBack, NormalWriteBack),
            (NormalWriteBack, Stage1, NormalWriteBack),
        ];
        for (guest, host, result) in table {
            assert_eq!(guest.over(host), result, "{guest} over {host}");
        }
    }

    fn attrs() -> impl Strategy<Value = Stage2Attrs> {
        (any::<[bool; 4]>(), 0..8usize, 0..3usize).prop_map(|(bits, mem, sh)| Stage2Attrs {
            perms: Perms {
                read: bits[0],
                write: bits[1],
                exec_el1: bits[2],
                exec_el0: bits[3],
            },
            mem: [
                MemType::DevicenGnRnE,
                MemType::DevicenGnRE,
                MemType::DevicenGRE,
                MemType::DeviceGRE,
                MemType::NormalNonCacheable,
                MemType::NormalWriteThrough,
                MemType::Stage1,
                MemType::NormalWriteBack,
            ][mem],
            sh: [Shareability::Non, Shareability::Inner, Shareability::Outer][sh],
            af: true,
            contiguous: false,
        })
    }

    /// A leaf of any of these sizes, with any bits where descriptors have attributes.
    fn leaf<S: std::fmt::Debug>() -> impl Strategy<Value = RawLeaf<S>> {
        const SIZES: [(i8, u32); 7] = [(1, 30), (2, 21), (2, 25), (2, 29), (3, 12), (3, 14), (3, 16)];
        (0..SIZES.len(), any::<u64>(), any::<u64>()).prop_map(|(index, output, bits)| {
            let (level, shift) = SIZES[index];
            RawLeaf {
                output: Addr::new(output >> 16),
                level: Level::new(level).unwrap(),
                size: 1 << shift,
                desc_at: Addr::new(0),
                raw: bits & (0x7ff | 0x3ff << 50),
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_composed_on_bits_is_what_is_composed_in_words(
            l2 in 0..1u64 << 48, guest in leaf(), fwb: bool, host in leaf()
        ) {
            let (l2, own) = (Ipa::new(l2), |raw| Stage2Desc::from_raw(raw));
            let words = compose(l2, &guest.with(own(guest.raw).attrs(fwb)), &host.our_mapping());
            let (bits, words) = (NewLeaf::composed(l2, &guest, fwb, &host), NewLeaf::from(words));
            prop_assert_eq!((bits.ia, bits.level, bits.desc.tag()), (words.ia, words.level, words.desc.tag()));
            prop_assert_eq!(bits.desc.attrs(true), words.desc.attrs(true));
            let output = |leaf: NewLeaf| leaf.desc.decode::<Phys>(leaf.level, Granule::K4);
            prop_assert_eq!(output(bits), output(words));
        }

        #[test]
        fn a_leaf_never_allows_or_relaxes_more_than_either_stage(guest_attrs in attrs(), host_attrs in attrs()) {
            let guest = mapping(0x1000, Level::THREE, 0x1000, guest_attrs);
            let host = mapping(0x2000, Level::THREE, 0x1000, host_attrs);
            let leaf = compose(Ipa::new(0x3000), &guest, &host).attrs;
            prop_assert!(guest_attrs.perms.contains(leaf.perms));
            prop_assert!(host_attrs.perms.contains(leaf.perms));
            prop_assert_eq!(leaf.perms, guest_attrs.perms.and(host_attrs.perms));
            prop_assert!(leaf.sh >= guest_attrs.sh && leaf.sh >= host_attrs.sh);
            prop_assert!(leaf.mem <= guest_attrs.mem);
            prop_assert!(leaf.mem <= host_attrs.mem || host_attrs.mem == MemType::Stage1);
        }
    }
}
