//! Getting table pages back when there are none.
//!
//! Shadow contents are a cache, so memory pressure is never an error: something is thrown away and
//! refaults. What is thrown away is a whole shadow's contents, with one invalidation, or a piece of them if they are large.

use crate::{
    all::AllShadows,
    compose::NewLeaf,
    env::ShadowEnv,
    lock::Locks,
    slot::{EVERYTHING, SlotId},
};

impl<L: Locks, const N: usize> AllShadows<'_, L, N> {
    /// Puts `leaf` into `slot`, whatever it takes. If even an otherwise empty pool lacks the pages
    /// (three, beside the roots), the leaf is left out.
    pub(crate) fn map(&mut self, slot: SlotId, leaf: NewLeaf, env: &mut impl ShadowEnv) {
        while self.live_mut(slot).map_with_tables(leaf, env).is_err() && self.reclaim(slot, env) {}
    }

    /// Throws away contents of one shadow: the least recently used unreferenced one, then the
    /// least recently used of the others, that of `keep` last. Returns whether there were any.
    fn reclaim(&mut self, keep: SlotId, env: &mut impl ShadowEnv) -> bool {
        let victim = self
            .iter()
            .filter(|(_, shadow)| shadow.table.table_pages() > 1)
            .min_by_key(|&(slot, shadow)| (slot == keep, self.pool.refs(slot) > 0, shadow.last_use))
            .map(|(slot, _)| slot);
        match victim {
            Some(slot) => {
                self.live_mut(slot).unmap_piece(&EVERYTHING, env);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Access, AcquireError, FaultAction,
        testing::{BLOCK, IPA, ShadowPool, World, fill, guests, touch},
    };
    use proptest::prelude::*;
    use std::vec::Vec;
    use vmsa::Level;

    #[test]
    fn out_of_tables_takes_the_contents_of_others_first() {
        // Two roots and two times three tables would be eight.
        let mut world = World::with_ram(6);
        let pool = ShadowPool::<2>::new();
        let guests = guests(2, &mut world);
        let slots = [0, 1].map(|n: usize| pool.acquire(guests[n].key(), &mut world).unwrap().0);
        for round in 0..3 {
            let (slot, other) = (slots[round % 2], slots[(round + 1) % 2]);
            fill(&pool, slot, &mut world);
            assert!(world.shadow_of(&pool, slot, IPA).is_some());
            assert!(world.shadow_of(&pool, other, IPA).is_none());
            world.assert_fresh(&pool);
        }
    }

    #[test]
    fn out_of_tables_takes_its_own_contents_last() {
        let mut world = World::with_ram(4);
        let pool = ShadowPool::<1>::new();
        let mut guest = guests(1, &mut world)[0];
        let far = 0x80_0000_0000;
        guest.map(far, 0x9000_0000, Level::THREE, BLOCK, &mut world);
        let slot = pool.acquire(guest.key(), &mut world).unwrap().0;
        fill(&pool, slot, &mut world);
        assert_eq!(touch(&pool, slot, far, Access::Read, &mut world), FaultAction::Retry);
        assert!(world.shadow_of(&pool, slot, far).is_some());
        assert!(world.shadow_of(&pool, slot, IPA).is_none());
        world.assert_fresh(&pool);
    }

    #[test]
    fn too_few_pages_for_one_leaf_ends_in_a_retry() {
        let mut world = World::with_ram(3);
        let pool = ShadowPool::<1>::new();
        let guests = guests(1, &mut world);
        let slot = pool.acquire(guests[0].key(), &mut world).unwrap().0;
        assert_eq!(touch(&pool, slot, IPA, Access::Read, &mut world), FaultAction::Retry);
        world.assert_fresh(&pool);
    }

    #[test]
    fn no_page_for_a_root_recycles_or_fails() {
        let mut world = World::with_ram(1);
        let pool = ShadowPool::<2>::new();
        let guests = guests(2, &mut world);
        let slot = pool.acquire(guests[0].key(), &mut world).unwrap().0;
        assert_eq!(
            pool.acquire(guests[1].key(), &mut world),
            Err(AcquireError::OutOfTables)
        );
        pool.release(slot);
        assert_eq!(pool.acquire(guests[1].key(), &mut world).unwrap().0, slot);
    }

    /// What one of three CPUs does.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Run { guest: usize },
        Touch { page: u64 },
        Stop,
    }

    fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
        let step = prop_oneof![
            (0..usize::from(GUESTS)).prop_map(|guest| Step::Run { guest }),
            (0..4_u64).prop_map(|page| Step::Touch { page }),
            Just(Step::Stop),
        ];
        prop::collection::vec((0..CPUS, step), 1..60)
    }

    const CPUS: usize = 3;
    const GUESTS: u16 = 6;
    /// The pages that let every leaf be mapped: all roots, the reserve, and three tables.
    const ENOUGH: usize = GUESTS as usize + CPUS + 3;
    const FAR: u64 = 0x80_0000_0000;

    proptest! {
        #[test]
        fn with_a_root_in_reserve_for_each_cpu_each_can_run_any_guest(steps in steps(), pages in CPUS..16) {
            let mut world = World::with_ram(pages);
            world.reserve = CPUS;
            let pool = ShadowPool::<{ GUESTS as usize }>::new();
            let mut guests = guests(GUESTS, &mut world);
            for guest in &mut guests {
                for page in 1..4 {
                    guest.map(IPA + page * FAR, 0x9000_0000, Level::THREE, BLOCK, &mut world);
                }
            }
            let mut runs = [None; CPUS];
            for (cpu, step) in steps {
                match step {
                    Step::Run { guest } => {
                        if let Some(slot) = runs[cpu].take() {
                            pool.release(slot);
                        }
                        let acquired = pool.acquire(guests[guest].key(), &mut world);
                        prop_assert!(acquired.is_ok(), "{:?}", acquired);
                        runs[cpu] = acquired.ok().map(|(slot, _)| slot);
                    }
                    Step::Touch { page } => if let Some(slot) = runs[cpu] {
                        touch(&pool, slot, IPA + page * FAR, Access::Read, &mut world);
                        let is_there = world.shadow_of(&pool, slot, IPA + page * FAR).is_some();
                        prop_assert!(is_there || pages < ENOUGH);
                        world.fill_tlbs(&pool);
                    },
                    Step::Stop => if let Some(slot) = runs[cpu].take() {
                        pool.release(slot);
                    },
                }
                world.assert_fresh(&pool);
            }
        }
    }
}
