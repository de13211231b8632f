use super::*;
use crate::{
    FaultAction, Writers,
    testing::{AF, BLOCK, GuestTables, K4, ShadowPool, WRITE, World, touch},
};
use proptest::prelude::*;
use std::vec::Vec;
use vmsa::stage2::Stage2Attrs;

const IPA: u64 = 0x4000_0000;
const L1_BASE: u64 = 0x8000_0000;
const READ_ONLY: Stage2Attrs = {
    let mut attrs = Stage2Attrs::RAM;
    attrs.perms.write = false;
    attrs
};

/// Two L2s that L1 lets write the same 2 MiB of its memory, by a block.
struct Case {
    world: World,
    pool: ShadowPool<2>,
    slots: [SlotId; 2],
}

impl Case {
    fn new() -> Self {
        let mut world = World::with_ram(200);
        let pool = ShadowPool::new();
        let slots = [0, 1].map(|n| {
            let mut tables = GuestTables::new(K4, n, 0x1000_0000 + 0x100_0000 * u64::from(n), &mut world);
            tables.map(IPA, L1_BASE, Level::TWO, BLOCK, &mut world);
            pool.acquire(tables.key(), &mut world).unwrap().0
        });
        Self { world, pool, slots }
    }

    /// Does what `dirty start` does for the 2 MiB.
    fn start(&mut self) {
        let range = L1_BASE..L1_BASE + (2 << 20);
        self.pool.all().begin_log(range.clone(), &mut self.world).unwrap();
        self.world.map_host_leaf(L1_BASE, L1_BASE, Level::TWO, &READ_ONLY);
        for page in (range.start..range.end).step_by(4096) {
            self.world.map_host_leaf(page, page, Level::THREE, &READ_ONLY);
        }
        self.pool.all().log_part(Ipa::new(L1_BASE), &mut self.world).unwrap();
        for slot in self.slots {
            let mut next = Some(0);
            while let Some(from) = next {
                next = self.pool.all().cut(slot, Cut::Writes, &range, from, 8, &mut self.world);
            }
        }
    }

    fn access(&mut self, which: usize, offset: u64, access: Access) {
        let action = touch(&self.pool, self.slots[which], IPA + offset, access, &mut self.world);
        assert_eq!(action, FaultAction::Retry);
    }

    fn may_write(&self, which: usize, offset: u64) -> bool {
        let mapping = self.world.shadow_of(&self.pool, self.slots[which], IPA + offset);
        mapping.is_some_and(|mapping| mapping.attrs.perms.write)
    }

    fn writers(&self, offset: u64) -> Writers {
        let all = self.pool.all();
        let log = all.dirty_log().unwrap();
        log.writers(Ipa::new(L1_BASE + offset), &self.world).unwrap()
    }
}

#[test]
fn a_block_that_could_be_written_cannot_be_after_the_start() {
    let mut case = Case::new();
    case.access(0, 0x5000, Access::Write);
    assert!(case.may_write(0, 0x5000));
    case.world.fill_tlbs(&case.pool);
    case.start();
    assert!(!case.may_write(0, 0x5000));
    case.world.assert_fresh(&case.pool);
    case.access(0, 0x5000, Access::Read);
    assert!(!case.may_write(0, 0x5000));
    assert_eq!(case.writers(0x5000), Writers::default());
}

#[test]
fn a_write_makes_its_page_writable_and_is_known_with_its_writer() {
    let mut case = Case::new();
    case.start();
    case.access(1, 0x5008, Access::Write);
    assert!(case.may_write(1, 0x5000));
    assert!(!case.may_write(1, 0x4000) && !case.may_write(1, 0x6000));
    assert_eq!(case.writers(0x5000).l2, Some(case.slots[1].number()));
    assert!(!case.writers(0x4000).is_dirty() && !case.writers(0x6000).is_dirty());
}

#[test]
fn setting_an_access_flag_writes_l1s_table_even_if_the_access_is_refused() {
    const HA: u64 = 1 << 21;
    const OTHER: u64 = 0x5000_0000;
    let mut case = Case::new();
    // Tables in the memory that is logged.
    let root = L1_BASE + 0x10_0000;
    let mut tables = GuestTables::new(K4, 7, root, &mut case.world);
    tables.vtcr_bits = HA;
    tables.map(OTHER, 0xa000_0000, Level::TWO, BLOCK & !(AF | WRITE), &mut case.world);
    let entry = tables.entry(OTHER, Level::TWO, &mut case.world);
    case.pool.release(case.slots[0]);
    let slot = case.pool.acquire(tables.key(), &mut case.world).unwrap().0;
    case.start();
    let action = touch(&case.pool, slot, OTHER, Access::Write, &mut case.world);
    assert_eq!(action, FaultAction::Inject(Stage2Fault::Permission(Level::TWO)));
    assert_ne!(case.world.l1.get(entry).unwrap() & AF, 0);
    assert!(case.writers(entry - L1_BASE).l1);
}

#[test]
fn a_second_writer_takes_the_page_over() {
    let mut case = Case::new();
    case.start();
    case.access(0, 0x5000, Access::Write);
    case.world.fill_tlbs(&case.pool);
    case.access(1, 0x5000, Access::Write);
    assert!(case.may_write(1, 0x5000) && !case.may_write(0, 0x5000));
    assert!(case.writers(0x5000).others);
    case.world.assert_fresh(&case.pool);
}

#[test]
fn what_is_forgotten_must_be_written_anew() {
    let mut case = Case::new();
    case.start();
    case.access(0, 0x5000, Access::Write);
    case.world.fill_tlbs(&case.pool);
    case.pool
        .all()
        .forget_writers(Ipa::new(L1_BASE + 0x5000), &mut case.world);
    assert!(!case.may_write(0, 0x5000));
    assert!(!case.writers(0x5000).is_dirty());
    case.world.assert_fresh(&case.pool);
}

#[test]
fn the_log_gives_its_frames_back() {
    let mut case = Case::new();
    case.start();
    assert!(case.pool.all().write_by_l1(Ipa::new(L1_BASE), &mut case.world));
    assert!(!case.pool.all().write_by_l1(Ipa::new(L1_BASE - 1), &mut case.world));
    case.pool.all().clear(&mut case.world);
    assert_eq!(case.world.arena.used(), 0);
}

proptest! {
    /// Whatever is written and forgotten in what order: a page that a shadow may write is known to be written, and
    /// no two leaves may write one page.
    #[test]
    fn nobody_writes_in_silence(steps in prop::collection::vec((0..2usize, 0..6u64, 0..4u8), 1..60)) {
        let mut case = Case::new();
        case.start();
        for (which, page, action) in steps {
            let offset = page * 0x1000;
            match action {
                0 => case.access(which, offset, Access::Write),
                1 => case.access(which, offset, Access::Read),
                2 => case.pool.all().forget_writers(Ipa::new(L1_BASE + offset), &mut case.world),
                _ => { case.pool.drop_range(case.slots[which], Ipa::new(IPA + offset), 0x1000, &mut case.world); }
            }
            for offset in (0..6).map(|page| page * 0x1000) {
                let writable: Vec<usize> = [0, 1].into_iter().filter(|&which| case.may_write(which, offset)).collect();
                prop_assert!(writable.len() <= 1);
                prop_assert!(writable.is_empty() || case.writers(offset).is_dirty());
            }
        }
    }
}
