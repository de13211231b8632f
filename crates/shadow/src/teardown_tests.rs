//! Whatever ends a shadow, in whichever order: no page is freed twice, and none is lost.
//!
//! The memory of [`World`] panics when a page is freed twice, or while walkers may be in it.

use crate::{
    Access, Patience, SlotId,
    testing::{IPA, ShadowPool, World, guests, touch},
};
use proptest::prelude::*;
use vmsa::{Ipa, Level};

const CPUS: usize = 3;
const GUESTS: u16 = 6;
/// Fewer shadows than guests, and about as many pages as they want.
const SLOTS: usize = 4;
const PAGES: core::ops::Range<usize> = SLOTS + CPUS..24;
const FAR: u64 = 0x80_0000_0000;
const PATIENCE: Patience = Patience {
    suspect_after: 2,
    drop_after: 4,
};

/// What one of several CPUs does, L1 or the console.
#[derive(Clone, Copy, Debug)]
enum Step {
    Run { guest: usize },
    Touch { page: u64 },
    Stop,
    TlbiAlle1,
    TlbiVmalls12 { vmid: u16 },
    TlbiIpas2 { vmid: u16, page: u64 },
    Drop { slot: usize, page: u64 },
    Sweep,
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let page = 0..4_u64;
    prop_oneof![
        4 => (0..usize::from(GUESTS)).prop_map(|guest| Step::Run { guest }),
        6 => page.clone().prop_map(|page| Step::Touch { page }),
        2 => Just(Step::Stop),
        1 => Just(Step::TlbiAlle1),
        1 => (0..GUESTS).prop_map(|vmid| Step::TlbiVmalls12 { vmid }),
        1 => (0..GUESTS, page.clone()).prop_map(|(vmid, page)| Step::TlbiIpas2 { vmid, page }),
        2 => (0..SLOTS, page).prop_map(|(slot, page)| Step::Drop { slot, page }),
        1 => Just(Step::Sweep),
        1 => Just(Step::Reset),
    ]
}

fn nth(pool: &ShadowPool<SLOTS>, number: usize) -> Option<SlotId> {
    pool.all().iter().map(|(slot, _)| slot).nth(number)
}

proptest! {
    #[test]
    fn however_shadows_end_each_page_is_freed_once(
        steps in prop::collection::vec((0..CPUS, step()), 1..80),
        pages in PAGES,
    ) {
        let mut world = World::with_ram(pages);
        world.reserve = CPUS;
        let pool = ShadowPool::<SLOTS>::new();
        let mut guests = guests(GUESTS, &mut world);
        for guest in &mut guests {
            for page in 1..4 {
                guest.map(IPA + page * FAR, 0x9000_0000, Level::THREE, crate::testing::BLOCK, &mut world);
            }
        }
        let mut runs = [None; CPUS];
        for (now, (cpu, step)) in (0..).zip(steps) {
            match step {
                Step::Run { guest } => {
                    if let Some(slot) = runs[cpu].take() {
                        pool.release(slot);
                    }
                    runs[cpu] = pool.acquire(guests[guest].key(), &mut world).ok().map(|(slot, _)| slot);
                }
                Step::Touch { page } => if let Some(slot) = runs[cpu] {
                    touch(&pool, slot, IPA + page * FAR, Access::Read, &mut world);
                    world.fill_tlbs(&pool);
                },
                Step::Stop => if let Some(slot) = runs[cpu].take() {
                    pool.release(slot);
                },
                Step::TlbiAlle1 => { pool.invalidate_all(&mut world); }
                Step::TlbiVmalls12 { vmid } => { pool.invalidate_vmid(vmid, &mut world); }
                Step::TlbiIpas2 { vmid, page } => {
                    pool.invalidate_ipa(vmid, Ipa::new(IPA + page * FAR), None, &mut world);
                }
                Step::Drop { slot, page } => if let Some(slot) = nth(&pool, slot) {
                    pool.drop_range(slot, Ipa::new(IPA + page * FAR), FAR, &mut world);
                },
                Step::Sweep => { pool.sweep(now, PATIENCE, &mut world); }
                Step::Reset => {
                    runs = [None; CPUS];
                    pool.all().clear(&mut world);
                    prop_assert_eq!(world.arena.used(), 0);
                }
            }
            world.assert_fresh(&pool);
        }
        pool.all().clear(&mut world);
        prop_assert_eq!(world.arena.used(), 0);
    }
}
