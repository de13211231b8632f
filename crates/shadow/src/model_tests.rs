//! Random guest stage 2, composed with a random host stage 2, against a naive model of both: lists
//! of leaves.

use crate::{
    Access, FaultAction, Ttl,
    testing::{BLOCK, GuestTables, IPA, K4, ShadowPool, World, fault, guests},
};
use proptest::prelude::*;
use std::vec::Vec;
use vmsa::{
    EntryKind, Granule, Ipa, L1, L2, Level, Phys,
    stage2::{MemType, Perms, Shareability, Stage2Attrs, Stage2Desc, Stage2Fault, visit},
};

/// A leaf of either stage.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    ia: u64,
    size: u64,
    level: Level,
    output: u64,
    attrs: Stage2Attrs,
}

/// A whole stage: no two leaves overlap.
#[derive(Clone, Debug)]
struct Stage {
    granule: Granule,
    leaves: Vec<Leaf>,
}

impl Stage {
    /// Those of `leaves` that overlap none before them.
    fn new(granule: Granule, leaves: Vec<Leaf>) -> Self {
        let mut stage = Self {
            granule,
            leaves: Vec::new(),
        };
        for leaf in leaves {
            let is_free = |other: &Leaf| other.ia + other.size <= leaf.ia || leaf.ia + leaf.size <= other.ia;
            if stage.leaves.iter().all(is_free) {
                stage.leaves.push(leaf);
            }
        }
        stage
    }

    fn look_up(&self, ia: u64) -> Option<(Leaf, u64)> {
        let leaf = self
            .leaves
            .iter()
            .find(|leaf| leaf.ia <= ia && ia - leaf.ia < leaf.size)?;
        Some((*leaf, leaf.output + (ia - leaf.ia)))
    }
}

/// What L2 gets, by the definition of two-stage translation.
fn expected(guest: &Stage, host: &Stage, ipa: u64, access: Access) -> Result<(u64, Stage2Attrs), FaultAction> {
    let Some((leaf, l1)) = guest.look_up(ipa) else {
        return Err(FaultAction::Inject(Stage2Fault::Translation(Level::ZERO)));
    };
    if !access.is_allowed(leaf.attrs.perms) {
        return Err(FaultAction::Inject(Stage2Fault::Permission(leaf.level)));
    }
    match host.look_up(l1) {
        Some((backing, pa)) if access.is_allowed(backing.attrs.perms) => {
            let attrs = Stage2Attrs {
                perms: leaf.attrs.perms.and(backing.attrs.perms),
                mem: leaf.attrs.mem.over(backing.attrs.mem),
                sh: leaf.attrs.sh.max(backing.attrs.sh),
                af: true,
                contiguous: false,
            };
            Ok((pa, attrs))
        }
        _ => Err(FaultAction::NotMemory { l1: Ipa::new(l1) }),
    }
}

/// Addresses within 4 GiB, at corners and in between.
fn address() -> impl Strategy<Value = u64> {
    let index = |last: u64| prop_oneof![Just(0), Just(1), Just(last)];
    (0u64..4, index(511), index(511), 0u64..0x1000).prop_map(|(a, b, c, offset)| a << 30 | b << 21 | c << 12 | offset)
}

fn attrs() -> impl Strategy<Value = Stage2Attrs> {
    let types = [
        MemType::DevicenGnRE,
        MemType::NormalNonCacheable,
        MemType::Stage1,
        MemType::NormalWriteBack,
    ];
    (
        prop::array::uniform4(prop::bool::weighted(0.8)),
        prop::sample::select(types.to_vec()),
        any::<bool>(),
    )
        .prop_map(|(allowed, mem, is_inner)| Stage2Attrs {
            perms: Perms {
                read: allowed[0],
                write: allowed[1],
                exec_el1: allowed[2],
                exec_el0: allowed[3],
            },
            mem,
            sh: if is_inner {
                Shareability::Inner
            } else {
                Shareability::Outer
            },
            af: true,
            contiguous: false,
        })
}

/// A guest stage 2, with addresses of 48 or of 52 bits.
fn guest() -> impl Strategy<Value = (bool, Stage)> {
    any::<bool>().prop_flat_map(|is_large| (Just(is_large), stage(ALL_GRANULES, is_large)))
}

fn stage(granules: &'static [Granule], is_large: bool) -> impl Strategy<Value = Stage> {
    prop::sample::select(granules).prop_flat_map(move |granule| {
        let first = if granule == Granule::K4 { 1i8 } else { 2 } - i8::from(is_large);
        let part = prop::sample::select(&[0u64, 1, 15][..]);
        let leaf =
            (address(), part, address(), first..=3, attrs()).prop_map(move |(ia, part, output, level, attrs)| {
                let ia = ia | (part * u64::from(is_large)) << 48;
                let level = Level::new(level).unwrap();
                let size = granule.entry_bytes(level);
                Leaf {
                    ia: ia & !(size - 1),
                    size,
                    level,
                    output: output & !(size - 1),
                    attrs,
                }
            });
        prop::collection::vec(leaf, 1..24).prop_map(move |leaves| Stage::new(granule, leaves))
    })
}

fn access() -> impl Strategy<Value = Access> {
    prop::sample::select(
        &[
            Access::Read,
            Access::Write,
            Access::Execute { el0: false },
            Access::Execute { el0: true },
        ][..],
    )
}

const ALL_GRANULES: &[Granule] = &[Granule::K4, Granule::K16, Granule::K64];

/// Builds both stages.
fn build(guest: &Stage, host: &Stage, is_large: bool) -> (World, GuestTables) {
    let mut world = World::new(1000);
    for leaf in &host.leaves {
        world.map_host_leaf(leaf.ia, leaf.output, leaf.level, &leaf.attrs);
    }
    let mut tables = GuestTables::new(guest.granule, 7, 0x100_0000_0000, &mut world);
    tables.is_large = is_large;
    for leaf in &guest.leaves {
        // Our encoder makes FWB descriptors of the 4 KiB granule; only the address and bit 1 depend
        // on the level.
        let raw = Stage2Desc::leaf(Level::THREE, Ipa::<L1>::new(0), &leaf.attrs, 0).raw() & !2;
        tables.map(leaf.ia, leaf.output, leaf.level, raw, &mut world);
    }
    (world, tables)
}

/// The guest's own addresses: those of the leaves, and others.
fn address_in(guest: &Stage, any: u64, pick: usize) -> u64 {
    match guest.leaves.get(pick % (guest.leaves.len() + 1)) {
        Some(leaf) => leaf.ia + any % leaf.size,
        None => any,
    }
}

#[test]
fn a_slot_changes_hands_between_guests_of_48_and_of_52_bits() {
    let mut world = World::with_ram(100);
    let pool = ShadowPool::<1>::new();
    let mut guests = guests(2, &mut world);
    guests[1] = GuestTables::new(K4, 1, 0x2000_0000, &mut world);
    guests[1].is_large = true;
    let above = 5 << 48 | IPA;
    guests[1].map(above, 0x8000_0000, Level::TWO, BLOCK, &mut world);
    for (guest, ipa, beyond) in [(0, IPA, 1 << 48), (1, above, IPA), (0, IPA, above), (1, above, 6 << 48)] {
        let slot = pool.acquire(guests[guest].key(), &mut world).unwrap().0;
        world.note_start(&pool, slot);
        let mut try_it = |ipa| pool.handle_fault(slot, &fault(ipa, Access::Read), &guests[guest].guest(), &mut world);
        assert_eq!(try_it(ipa), FaultAction::Retry);
        assert!(matches!(try_it(beyond), FaultAction::Inject(_)));
        let leaf = pool.with(slot, |shadow| {
            shadow.table().translate(Ipa::<L2>::new(ipa), &world.arena)
        });
        assert_eq!(leaf.unwrap().unwrap().output.bits() & !0xfff, 0x8000_0000);
        pool.release(slot);
    }
    pool.all().clear(&mut world);
    assert_eq!(world.arena.used(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_shadow_is_the_composition_of_both_stages(
        (is_large, guest) in guest(),
        host in stage(&[Granule::K4], false),
        touches in prop::collection::vec((address(), any::<usize>(), access()), 1..40),
    ) {
        let (mut world, tables) = build(&guest, &host, is_large);
        let pool = ShadowPool::<1>::new();
        let slot = pool.acquire(tables.key(), &mut world).unwrap().0;
        world.note_start(&pool, slot);
        for (any, pick, access) in touches {
            let ipa = address_in(&guest, any, pick);
            let action = pool.handle_fault(slot, &fault(ipa, access), &tables.guest(), &mut world);
            world.assert_fresh(&pool);
            world.fill_tlbs(&pool);
            match expected(&guest, &host, ipa, access) {
                Ok((pa, attrs)) => {
                    prop_assert_eq!(action, FaultAction::Retry);
                    let leaf = world.shadow_of(&pool, slot, ipa).unwrap();
                    // In large tables one shareability is all there is.
                    let sh = if is_large { leaf.attrs.sh } else { attrs.sh };
                    prop_assert_eq!((leaf.output.bits(), leaf.attrs), (pa, Stage2Attrs { sh, ..attrs }));
                }
                Err(FaultAction::Inject(Stage2Fault::Translation(_))) => {
                    let is_translation = matches!(action, FaultAction::Inject(Stage2Fault::Translation(_)));
                    prop_assert!(is_translation, "{:?}", action);
                }
                Err(expected) => prop_assert_eq!(action, expected),
            }
        }

        // Invariant I1 for the whole of every leaf, and the leaves are no smaller than they need to
        // be.
        let config = pool.all().get(slot).unwrap().table().config();
        visit::<Phys>(&config, &world.arena, 0, usize::MAX, &mut |entry| {
            if entry.kind != EntryKind::Leaf {
                return;
            }
            let desc = Stage2Desc::from_raw(entry.raw);
            let base = entry.raw & 0xffff_ffff_f000;
            for offset in [0, 0x1000, entry.size / 2, entry.size - 0x1000] {
                let offset = offset & (entry.size - 1);
                let (leaf, l1) = guest.look_up(entry.ia + offset).unwrap();
                let (backing, pa) = host.look_up(l1).unwrap();
                assert_eq!(base + offset, pa);
                assert_eq!(desc.attrs(true).perms, leaf.attrs.perms.and(backing.attrs.perms));
                assert_eq!(i8::try_from(desc.tag()), Ok(leaf.level.get()));
                let limit = leaf.size.min(backing.size);
                assert!(entry.size <= limit);
                let next_larger = entry.level.previous().map_or(u64::MAX, |level| Granule::K4.entry_bytes(level));
                assert!(next_larger > limit);
            }
        });

        pool.all().clear(&mut world);
        prop_assert_eq!(world.arena.used(), 0);
    }

    #[test]
    fn nothing_derived_from_a_leaf_survives_its_invalidation(
        (is_large, guest) in guest(),
        host in stage(&[Granule::K4], false),
        touches in prop::collection::vec((address(), any::<usize>(), access()), 1..60),
        victim in any::<usize>(),
        (at, how) in (any::<u64>(), 0..5),
    ) {
        let (mut world, mut tables) = build(&guest, &host, is_large);
        let pool = ShadowPool::<2>::new();
        let slot = pool.acquire(tables.key(), &mut world).unwrap().0;
        world.note_start(&pool, slot);
        for &(any, pick, access) in &touches {
            let ipa = address_in(&guest, any, pick);
            pool.handle_fault(slot, &fault(ipa, access), &tables.guest(), &mut world);
        }
        world.fill_tlbs(&pool);

        let leaf = guest.leaves[victim % guest.leaves.len()];
        tables.unmap(leaf.ia, leaf.level, &mut world);
        let ipa = Ipa::new((leaf.ia + at % leaf.size) & !0xfff);
        let stats = match how {
            0 => pool.invalidate_ipa(7, ipa, None, &mut world),
            1 => {
                let ttl = Ttl { granule: guest.granule, level: leaf.level };
                pool.invalidate_ipa(7, ipa, Some(ttl), &mut world)
            }
            2 => pool.invalidate_range(7, Ipa::new(leaf.ia), leaf.size, &mut world),
            3 => pool.invalidate_vmid(7, &mut world),
            _ => pool.invalidate_all(&mut world),
        };
        prop_assert_eq!(stats.shadows, 1);
        world.assert_fresh(&pool);
        let tlb = world.tlbs.entry(2).or_default();
        let config = pool.all().get(slot).unwrap().table().config();
        visit::<Phys>(&config, &world.arena, 0, usize::MAX, &mut |entry| {
            let is_apart = entry.ia + entry.size <= leaf.ia || leaf.ia + leaf.size <= entry.ia;
            assert!(entry.kind != EntryKind::Leaf || is_apart, "left in the shadow: {entry:x?}");
        });
        for (any, _, _) in touches {
            prop_assert_eq!(tlb.look_up(leaf.ia + any % leaf.size), None);
        }
    }
}
