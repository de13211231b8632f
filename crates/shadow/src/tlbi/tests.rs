use super::*;
use crate::{
    Access, FaultAction, ShadowKey,
    testing::{BLOCK, GuestTables, K4, ShadowPool, World, touch},
};
use vmsa::stage2::Stage2Attrs;

const ROOT: u64 = 0x1000_0000;
const BASE: u64 = 0x4000_0000;
const GIB: u64 = 1 << 30;

/// A guest whose 1 GiB block lies on host pages of 4 KiB, with the first, second and last page
/// touched.
fn with_fractured_block() -> (World, ShadowPool<3>, SlotId) {
    let mut world = World::new(100);
    for page in [0, 0x1000, GIB - 0x1000] {
        let at = 0x8000_0000 + page;
        world.map_host_leaf(at, at, Level::THREE, &Stage2Attrs::RAM);
    }
    let mut tables = GuestTables::new(K4, 7, ROOT, &mut world);
    tables.map(BASE, 0x8000_0000, Level::ONE, BLOCK, &mut world);
    let pool = ShadowPool::new();
    let slot = pool.acquire(tables.key(), &mut world).unwrap().0;
    for page in [0, 0x1000, GIB - 0x1000] {
        let action = touch(&pool, slot, BASE + page, Access::Read, &mut world);
        assert_eq!(action, FaultAction::Retry);
    }
    world.fill_tlbs(&pool);
    (world, pool, slot)
}

#[test]
fn without_a_hint_the_noted_level_tells_the_size() {
    let (mut world, pool, _) = with_fractured_block();
    let stats = pool.invalidate_ipa(7, Ipa::new(BASE + 0x1000), None, &mut world);
    assert_eq!(
        stats,
        InvalidationStats {
            shadows: 1,
            slots: 1,
            bytes: 0x3000,
            leaves: 3,
            start: BASE,
            end: BASE + GIB,
        }
    );
    world.assert_fresh(&pool);
}

#[test]
fn without_a_hint_and_without_an_entry_it_is_the_largest_block() {
    let (mut world, pool, _) = with_fractured_block();
    let stats = pool.invalidate_ipa(7, Ipa::new(BASE + 0x20_0000), None, &mut world);
    assert_eq!(stats.bytes, 0x3000);
    world.assert_fresh(&pool);
}

#[test]
fn a_hint_tells_the_size() {
    let (mut world, pool, slot) = with_fractured_block();
    let ttl = Ttl::decode(0b0110);
    let stats = pool.invalidate_ipa(7, Ipa::new(BASE + 0x5000), ttl, &mut world);
    assert_eq!(stats.bytes, 0x2000);
    assert!(world.shadow_of(&pool, slot, BASE + GIB - 1).is_some());
    let ttl = Ttl::decode(0b0101);
    let stats = pool.invalidate_ipa(7, Ipa::new(BASE + 0x5000), ttl, &mut world);
    assert_eq!(stats.bytes, 0x1000);
    world.assert_fresh(&pool);
}

#[test]
fn a_range_includes_all_of_the_leaves_at_its_ends() {
    let (mut world, pool, _) = with_fractured_block();
    let range = Ipa::new(BASE + GIB - 0x2000);
    let stats = pool.invalidate_range(7, range, 0x2000, &mut world);
    assert_eq!(stats.bytes, 0x3000);
    world.assert_fresh(&pool);
}

#[test]
fn a_range_within_a_leaf_that_was_touched_elsewhere_ends_all_of_it() {
    let (mut world, pool, _) = with_fractured_block();
    let stats = pool.invalidate_range(7, Ipa::new(BASE + 0x20_0000), 0x2000, &mut world);
    assert_eq!((stats.bytes, stats.start, stats.end), (0x3000, BASE, BASE + GIB));
    world.assert_fresh(&pool);
}

#[test]
fn a_range_among_small_leaves_ends_no_others() {
    let mut world = World::with_ram(100);
    let mut tables = GuestTables::new(K4, 7, ROOT, &mut world);
    let pool = ShadowPool::<1>::new();
    let slot = pool.acquire(tables.key(), &mut world).unwrap().0;
    for (ia, level) in [(BASE, Level::THREE), (BASE + (4 << 20), Level::TWO)] {
        tables.map(ia, 0x8000_0000, level, BLOCK, &mut world);
        let action = touch(&pool, slot, ia, Access::Read, &mut world);
        assert_eq!(action, FaultAction::Retry);
    }
    for start in [BASE + 0x1000, BASE + (2 << 20), BASE + (6 << 20), BASE + GIB] {
        assert_eq!(pool.invalidate_range(7, Ipa::new(start), 0x2000, &mut world).bytes, 0);
    }
}

#[test]
fn ranges_at_the_end_of_everything_are_harmless() {
    let (mut world, pool, _) = with_fractured_block();
    for (base, size) in [
        (u64::MAX - 0xfff, u64::MAX),
        (1 << 48, 0x1000),
        (BASE - 0x2000, 0x2000),
        (0, 0),
    ] {
        assert_eq!(pool.invalidate_range(7, Ipa::new(base), size, &mut world).bytes, 0);
    }
}

#[test]
fn the_largest_block_is_that_of_l1s_granule() {
    let mut world = World::with_ram(100);
    let mut tables = GuestTables::new(Granule::K64, 7, ROOT, &mut world);
    let size = 512 << 20;
    tables.map(2 * size, 4 * size, Level::TWO, BLOCK, &mut world);
    let pool = ShadowPool::<1>::new();
    let slot = pool.acquire(tables.key(), &mut world).unwrap().0;
    for ipa in [2 * size, 3 * size - 1] {
        let action = touch(&pool, slot, ipa, Access::Read, &mut world);
        assert_eq!(action, FaultAction::Retry);
    }
    let stats = pool.invalidate_ipa(7, Ipa::new(2 * size + (8 << 20)), None, &mut world);
    assert_eq!(stats.bytes, 2 * (2 << 20));
}

#[test]
fn every_shadow_with_the_vmid_is_hit_and_no_other() {
    // In the same set of the index.
    const OTHER: u16 = 7 + 64;
    let mut world = World::with_ram(100);
    let pool = ShadowPool::<4>::new();
    let keys = [(7, ROOT), (7, ROOT + 0x100_0000), (OTHER, ROOT + 0x200_0000)].map(|(vmid, root)| {
        let mut tables = GuestTables::new(K4, vmid, root, &mut world);
        tables.map(BASE, 0x8000_0000, Level::TWO, BLOCK, &mut world);
        tables.key()
    });
    let off = ShadowKey::new(7 << 48, 0, false);
    let slots = [keys[0], keys[1], keys[2], off].map(|key| {
        let slot = pool.acquire(key, &mut world).unwrap().0;
        assert_eq!(touch(&pool, slot, BASE, Access::Read, &mut world), FaultAction::Retry);
        slot
    });
    world.fill_tlbs(&pool);
    assert_eq!(pool.for_each_vttbr(7, |vttbr| assert_ne!(vttbr, 0)).shadows, 3);

    let stats = pool.invalidate_ipa(7, Ipa::new(BASE), None, &mut world);
    // The narrowest of what was done to the three is what all of them lack now.
    assert_eq!(
        stats,
        InvalidationStats {
            shadows: 3,
            slots: 0b1011,
            bytes: 2 * (2 << 20) + GIB,
            leaves: 3,
            start: BASE,
            end: BASE + (2 << 20),
        }
    );
    world.assert_fresh(&pool);

    world.vmid_invalidations.clear();
    assert_eq!(
        pool.invalidate_vmid(OTHER, &mut world),
        InvalidationStats {
            shadows: 1,
            slots: 0b100,
            bytes: 2 << 20,
            leaves: 1,
            start: 0,
            end: u64::MAX,
        }
    );
    assert_eq!(
        world.vmid_invalidations,
        [u64::from(pool.all().get(slots[2]).unwrap().physical_vmid())]
    );
    world.assert_fresh(&pool);
}

#[test]
fn invalidating_all_reaches_the_tlb_even_of_empty_shadows() {
    let mut world = World::with_ram(100);
    let pool = ShadowPool::<4>::new();
    for vmid in 0..3 {
        pool.acquire(ShadowKey::new(vmid << 48, 0, false), &mut world).unwrap();
    }
    assert_eq!(pool.invalidate_all(&mut world).shadows, 3);
    assert_eq!(world.vmid_invalidations.len(), 3);
}
