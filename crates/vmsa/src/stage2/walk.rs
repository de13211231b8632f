//! Translation of one address, as the pseudocode function `AArch64.S2Walk` does it.

use super::{attrs::Stage2Attrs, config::Stage2Config, desc::Stage2Desc};
use crate::{Addr, AddressField, Fault, Level, ReadTable, Step, descent::Leaf};

/// A completed translation into the output space `O`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping<O> {
    /// Where the input address itself ends up.
    pub output: Addr<O>,
    /// The level of the leaf.
    pub level: Level,
    /// The bytes the leaf maps: one block or page, not the run of leaves that a Contiguous hint
    /// joins.
    pub size: u64,
    /// The attributes of the leaf. The walk does not judge them: not even a clear Access flag is a
    /// fault here.
    pub attrs: Stage2Attrs,
    /// Where the leaf's descriptor is.
    pub desc_at: Addr<O>,
    /// The leaf's descriptor, in the byte order of this CPU.
    pub raw: u64,
}

/// A [`Mapping`] whose attributes nobody has looked at yet: the descriptor has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawLeaf<O> {
    /// Where the input address itself ends up.
    pub output: Addr<O>,
    /// The level of the leaf.
    pub level: Level,
    /// The bytes the leaf maps.
    pub size: u64,
    /// Where the leaf's descriptor is.
    pub desc_at: Addr<O>,
    /// The leaf's descriptor, in the byte order of this CPU.
    pub raw: u64,
}

/// Translates `ia` by the tables that `cfg` describes.
///
/// # Errors
///
/// The fault a hardware walk reports, in the architecture's order: translation and address size,
/// level by level, and an external abort where a table cannot be read. Access flag and permissions
/// are for the caller to check, who knows the access.
// What a caller does not look at of the attributes need not be taken from the descriptor, nor put together again.
#[inline(always)]
pub fn walk<I, O>(cfg: &Stage2Config, ia: Addr<I>, mem: &impl ReadTable<O>) -> Result<Mapping<O>, Fault> {
    walk_to_leaf(cfg, ia, mem).map(|leaf| leaf.mapping(cfg))
}

/// [`walk`], with the attributes left in the descriptor.
///
/// # Errors
///
/// As [`walk`].
#[inline(always)]
pub fn walk_to_leaf<I, O, M>(cfg: &Stage2Config, ia: Addr<I>, mem: M) -> Result<RawLeaf<O>, Fault>
where
    M: ReadTable<O> + Copy,
{
    check_size(cfg, ia)?;
    let leaf = match cfg.shape().usual() {
        Some(shape) => shape.descend(ia.bits(), &mem, &mut |_| {}),
        None => descend_any(cfg, ia.bits(), mem),
    };
    leaf.map(RawLeaf::from)
}

/// It takes `mem` itself, so that the caller need not have it where a reference can point to.
#[cold]
fn descend_any<O>(cfg: &Stage2Config, ia: u64, mem: impl ReadTable<O>) -> Result<Leaf, Fault> {
    cfg.shape().descend_any(ia, &mem, &mut |_| {})
}

/// [`walk`], telling `observe` about each descriptor on the way. Small where that is fast.
///
/// # Errors
///
/// As [`walk`].
pub fn walk_steps<I, O>(
    cfg: &Stage2Config,
    ia: Addr<I>,
    mem: &impl ReadTable<O>,
    observe: &mut impl FnMut(Step<O>),
) -> Result<Mapping<O>, Fault> {
    check_size(cfg, ia)?;
    cfg.shape()
        .descend_any(ia.bits(), mem, observe)
        .map(|leaf| RawLeaf::from(leaf).mapping(cfg))
}

/// An address beyond the input size has no entry in the root.
#[inline(always)]
fn check_size<I>(cfg: &Stage2Config, ia: Addr<I>) -> Result<(), Fault> {
    if ia.bits().wrapping_shr(cfg.ipa_bits) != 0 {
        return Err(Fault::Translation(Level::ZERO));
    }
    Ok(())
}

impl<O> RawLeaf<O> {
    /// With the attributes of a leaf of these tables.
    #[must_use]
    #[inline(always)]
    pub fn mapping(&self, cfg: &Stage2Config) -> Mapping<O> {
        self.with(cfg.attrs_of(self.raw))
    }

    /// With the attributes of a leaf of a table of ours.
    #[must_use]
    pub fn our_mapping(&self) -> Mapping<O> {
        self.with(Stage2Desc::from_raw(self.raw).attrs(true))
    }

    /// With these attributes.
    #[must_use]
    #[inline(always)]
    pub fn with(&self, attrs: Stage2Attrs) -> Mapping<O> {
        Mapping {
            output: self.output,
            level: self.level,
            size: self.size,
            attrs,
            desc_at: self.desc_at,
            raw: self.raw,
        }
    }
}

impl<O> From<Leaf> for RawLeaf<O> {
    #[inline(always)]
    fn from(leaf: Leaf) -> Self {
        Self {
            output: Addr::new(leaf.output),
            level: leaf.level,
            size: leaf.size,
            desc_at: Addr::new(leaf.desc_at),
            raw: leaf.raw,
        }
    }
}

impl Stage2Config {
    /// A descriptor as [`ReadTable`] gives it (little-endian number) in the byte order of this CPU.
    #[must_use]
    pub const fn from_stored(&self, stored: u64) -> u64 {
        if self.big_endian { stored.swap_bytes() } else { stored }
    }

    /// The inverse of [`from_stored`](Self::from_stored): a descriptor to be written.
    #[must_use]
    pub const fn to_stored(&self, raw: u64) -> u64 {
        self.from_stored(raw)
    }

    /// The attributes of a leaf of these tables, a descriptor in the byte order of this CPU.
    #[must_use]
    #[inline(always)]
    pub const fn attrs_of(&self, raw: u64) -> Stage2Attrs {
        Stage2Desc::from_raw(self.with_own_sh(raw)).attrs(self.fwb)
    }

    /// A leaf of these tables, with its shareability where descriptors usually have it.
    #[must_use]
    #[inline(always)]
    pub const fn with_own_sh(&self, raw: u64) -> u64 {
        match self.field {
            // Bits 9:8 are an address's.
            AddressField::Lpa2 => Stage2Desc::from_raw(raw).with_sh(self.sh).raw(),
            AddressField::Bits48 | AddressField::Lpa => raw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        EntryKind, Granule, Ipa, L1, L2,
        stage2::{MemType, Stage2Limits, visit},
        testing::{LIMITS, Words, vtcr},
    };
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Valid, Access flag, read and write.
    const LEAF: u64 = 0x4c1;
    const PAGE: u64 = LEAF | 2;
    const ROOT: u64 = 0x10_0000;
    const TABLE: u64 = 0x20_0000;

    fn config(granule: Granule, ipa_bits: u32, start_level: i8) -> Stage2Config {
        Stage2Config::from_registers(vtcr(granule, ipa_bits, start_level), ROOT, &LIMITS).unwrap()
    }

    fn translate(cfg: &Stage2Config, ia: u64, mem: &Words) -> Result<Mapping<L1>, Fault> {
        walk(cfg, Ipa::<L2>::new(ia), mem)
    }

    /// Memory with a root of zeros and a next table of zeros.
    fn memory() -> Words {
        let mut mem = Words::default();
        mem.add(ROOT, 0x10_0000);
        mem.add(TABLE, 0x1_0000);
        mem
    }

    #[test]
    fn a_block_translates_its_whole_size() {
        let cfg = config(Granule::K4, 40, 1);
        let mut mem = memory();
        mem.set(ROOT + 8, 0x1_4000_0000 | LEAF);
        let mapping = translate(&cfg, 0x7fff_f123, &mem).unwrap();
        assert_eq!(mapping.output, Ipa::new(0x1_7fff_f123));
        assert_eq!((mapping.level, mapping.size), (Level::ONE, 1 << 30));
        assert_eq!(
            (mapping.desc_at, mapping.raw),
            (Ipa::new(ROOT + 8), 0x1_4000_0000 | LEAF)
        );
    }

    #[test]
    fn leaves_of_every_granule_have_their_size() {
        for (granule, ipa_bits, level, size) in [
            (Granule::K4, 34, 2, 2u64 << 20),
            (Granule::K16, 40, 2, 32 << 20),
            (Granule::K64, 40, 2, 512 << 20),
        ] {
            let cfg = config(granule, ipa_bits, level);
            let mut mem = memory();
            mem.set(ROOT + 8, TABLE | 3);
            mem.set(ROOT + 16, 0x4000_0000 | LEAF);
            mem.set(TABLE + 8, 0x8000_0000 | PAGE);
            let block = translate(&cfg, 2 * size + 5, &mem).unwrap();
            assert_eq!((block.size, block.output), (size, Ipa::new(0x4000_0005)));
            let page = translate(&cfg, size + granule.bytes() + 7, &mem).unwrap();
            assert_eq!((page.size, page.output), (granule.bytes(), Ipa::new(0x8000_0007)));
            assert_eq!(page.level, Level::THREE);
        }
    }

    #[test]
    fn concatenated_tables_are_one_long_table() {
        let cfg = config(Granule::K4, 43, 1);
        let mut mem = memory();
        let last = 16 * 512 - 1;
        mem.set(ROOT + 8 * last, 0x4000_0000 | LEAF);
        assert_eq!(translate(&cfg, last << 30, &mem).unwrap().output, Ipa::new(0x4000_0000));
    }

    #[test]
    fn input_beyond_the_ipa_size_is_a_translation_fault_at_level_0() {
        let cfg = config(Granule::K4, 40, 1);
        for ia in [1 << 40, u64::MAX] {
            assert_eq!(translate(&cfg, ia, &memory()), Err(Fault::Translation(Level::ZERO)));
        }
    }

    #[test]
    fn faults_carry_the_level_they_happen_at() {
        let cfg = config(Granule::K4, 48, 0);
        let mut mem = memory();
        mem.set(ROOT, TABLE | 3);
        assert_eq!(translate(&cfg, 0, &mem), Err(Fault::Translation(Level::ONE)));
        mem.set(ROOT, LEAF);
        assert_eq!(translate(&cfg, 0, &mem), Err(Fault::Translation(Level::ZERO)));
        mem.set(ROOT, 0x66_6000_0000 | 3);
        assert_eq!(translate(&cfg, 0, &mem), Err(Fault::ExternalAbortOnWalk(Level::ONE)));
        let nowhere = Stage2Config { root: 0x99_9000, ..cfg };
        assert_eq!(
            translate(&nowhere, 0, &mem),
            Err(Fault::ExternalAbortOnWalk(Level::ZERO))
        );
    }

    #[test]
    fn tables_and_leaves_beyond_the_output_size_are_address_size_faults() {
        let limits = Stage2Limits { pa_bits: 40, ..LIMITS };
        let vtcr = vtcr(Granule::K4, 40, 1);
        let cfg = Stage2Config::from_registers(vtcr, ROOT, &limits).unwrap();
        let mut mem = memory();
        mem.set(ROOT, 1 << 40 | LEAF);
        assert_eq!(translate(&cfg, 0, &mem), Err(Fault::AddressSize(Level::ONE)));
        mem.set(ROOT, 1 << 40 | 3);
        assert_eq!(translate(&cfg, 0, &mem), Err(Fault::AddressSize(Level::ONE)));
        mem.set(ROOT, TABLE | 3);
        mem.set(TABLE, 1 << 47 | LEAF);
        assert_eq!(translate(&cfg, 0, &mem), Err(Fault::AddressSize(Level::TWO)));
    }

    #[test]
    fn big_endian_tables_are_swapped() {
        let cfg = Stage2Config {
            big_endian: true,
            ..config(Granule::K4, 40, 1)
        };
        let mut mem = memory();
        let desc = 0x1_4000_0000 | LEAF;
        mem.set(ROOT, desc.swap_bytes());
        let mapping = translate(&cfg, 0, &mem).unwrap();
        assert_eq!((mapping.output, mapping.raw), (Ipa::new(0x1_4000_0000), desc));
    }

    #[test]
    fn memory_attributes_follow_fwb() {
        let mut mem = memory();
        mem.set(ROOT, LEAF | 0b1111 << 2);
        let cfg = config(Granule::K4, 40, 1);
        for (fwb, attr, mem_type) in [
            (false, 0b0111u64, MemType::NormalNonCacheable),
            (true, 0b0111, MemType::Stage1),
            (true, 0b0110, MemType::NormalWriteBack),
        ] {
            mem.set(ROOT, LEAF | attr << 2);
            let mapping = translate(&Stage2Config { fwb, ..cfg }, 0, &mem).unwrap();
            assert_eq!(mapping.attrs.mem, mem_type);
        }
    }

    #[test]
    fn a_clear_access_flag_is_reported_not_judged() {
        let mut mem = memory();
        mem.set(ROOT, LEAF & !(1 << 10));
        assert!(!translate(&config(Granule::K4, 40, 1), 0, &mem).unwrap().attrs.af);
    }

    #[test]
    fn steps_are_the_descriptors_on_the_way() {
        let mut mem = memory();
        mem.set(ROOT + 16, TABLE | 3);
        let mut steps = Vec::new();
        let cfg = config(Granule::K4, 40, 1);
        let result = walk_steps(&cfg, Ipa::<L2>::new(0x8020_0000), &mem, &mut |step: Step<L1>| {
            steps.push((step.level.get(), step.table.bits(), step.index, step.raw));
        });
        assert_eq!(result, Err(Fault::Translation(Level::TWO)));
        assert_eq!(steps, [(1, ROOT, 2, Some(TABLE | 3)), (2, TABLE, 1, Some(0))]);
    }

    /// A few pages of descriptors that mostly point to each other.
    fn wild_memory() -> impl Strategy<Value = Words> {
        let desc = prop_oneof![
            3 => Just(0u64),
            3 => (0u64..6).prop_map(|page| (ROOT + page * 0x1_0000) | 3),
            2 => any::<u64>(),
            2 => any::<u64>().prop_map(|bits| bits & 0xffff_ffff_fffc | 1),
        ];
        prop::collection::vec((0u64..4, 0u64..8, desc), 1..40).prop_map(|entries| {
            let mut mem = memory();
            for (page, index, desc) in entries {
                mem.set(ROOT + page * 0x1_0000 + index * 8, desc);
            }
            mem
        })
    }

    proptest! {
        #[test]
        fn visit_and_walk_agree_on_any_memory(
            mem in wild_memory(),
            shape in prop::sample::select(&[
                (Granule::K4, 48, 0), (Granule::K4, 40, 1), (Granule::K4, 43, 1), (Granule::K4, 32, 2),
                (Granule::K16, 40, 2), (Granule::K16, 48, 1), (Granule::K64, 40, 2), (Granule::K64, 48, 1),
            ][..]),
            from in any::<u64>(),
        ) {
            let cfg = config(shape.0, shape.1, shape.2);
            let from = from & (cfg.ipa_end() - 1);
            for from in [0, from] {
                let mut at = from;
                let resume = visit::<L1>(&cfg, &mem, from, 2000, &mut |entry| {
                    assert!(entry.ia <= at && at < entry.ia + entry.size);
                    let mapping = translate(&cfg, at, &mem);
                    match entry.kind {
                        EntryKind::Leaf => {
                            let mapping = mapping.unwrap();
                            assert_eq!((mapping.level, mapping.raw), (entry.level, entry.raw));
                            assert_eq!(mapping.size, entry.size);
                        }
                        EntryKind::Invalid => assert!(matches!(
                            mapping,
                            Err(Fault::Translation(level) | Fault::AddressSize(level))
                                if level == entry.level
                        )),
                        EntryKind::Unreadable => {
                            assert_eq!(mapping, Err(Fault::ExternalAbortOnWalk(entry.level)));
                        }
                    }
                    at = entry.ia + entry.size;
                });
                prop_assert_eq!(resume, (at < cfg.ipa_end()).then_some(at));
            }
        }
    }
}
