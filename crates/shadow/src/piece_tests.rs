//! Shadows that map more than is torn down under one hold of a lock. That a hold is bounded, the locks themselves check
//! ([`Checked`](crate::testing::Checked)).

use crate::{
    Access, ShadowKey, SlotId,
    testing::{BLOCK, GuestTables, K4, ShadowPool, World, touch},
};
use vmsa::{Ipa, Level, stage2::Stage2Attrs};

const ROOT: u64 = 0x1000_0000;
const GIB: u64 = 1 << 30;

/// A guest whose three blocks of 1 GiB lie on host pages, of which one in 2 MiB was touched: more than fits a piece.
fn with_much() -> (World, ShadowPool<1>, SlotId, GuestTables) {
    let mut world = World::new(2000);
    let mut tables = GuestTables::new(K4, 7, ROOT, &mut world);
    let pool = ShadowPool::new();
    let (slot, _) = pool.acquire(tables.key(), &mut world).unwrap();
    for gib in [0, 1, 600] {
        tables.map(gib * GIB, gib * GIB, Level::ONE, BLOCK, &mut world);
        for page in (gib * GIB..(gib + 1) * GIB).step_by(2 << 20) {
            world.map_host_leaf(page, page, Level::THREE, &Stage2Attrs::RAM);
            touch(&pool, slot, page, Access::Read, &mut world);
        }
    }
    world.fill_tlbs(&pool);
    assert_eq!(
        pool.with(slot, |shadow| shadow.table().table_pages()),
        Some(1 + 2 + 3 + 3 * 512)
    );
    (world, pool, slot, tables)
}

#[test]
fn what_is_large_goes_in_pieces() {
    for which in 0..5 {
        let (mut world, pool, slot, tables) = with_much();
        let pages = match which {
            0 => pool.invalidate_vmid(7, &mut world).leaves,
            1 => pool.invalidate_all(&mut world).leaves,
            2 => pool.invalidate_range(7, Ipa::new(0), 1 << 48, &mut world).leaves,
            3 => pool.drop_range(slot, Ipa::new(0), u64::MAX, &mut world) >> 12,
            _ => {
                pool.release(slot);
                let other = ShadowKey::new(tables.key().vttbr() + 0x1_0000, 0, true);
                pool.acquire(other, &mut world).unwrap();
                3 * 512
            }
        };
        assert_eq!(pages, 3 * 512);
        assert_eq!(pool.all().table_pages(), 1);
        world.assert_fresh(&pool);
        assert!(world.tlbs.values().all(vmsa::testing::Tlb::is_empty));
    }
}

#[test]
fn a_piece_in_the_middle_goes_alone() {
    let (mut world, pool, slot, _) = with_much();
    let stats = pool.invalidate_range(7, Ipa::new(GIB + 0x3000), 0x1000, &mut world);
    assert_eq!((stats.start, stats.end, stats.leaves), (GIB, 2 * GIB, 512));
    assert!(world.shadow_of(&pool, slot, GIB - (2 << 20)).is_some());
    assert!(world.shadow_of(&pool, slot, 600 * GIB).is_some());
    world.assert_fresh(&pool);
}
