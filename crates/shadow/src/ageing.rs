//! Giving up shadows that nobody uses any more.
//!
//! L1 need not say when it is done with a guest: a hypervisor that tears a virtual machine down frees the tables and
//! never uses the VMID again, and to a TLB that is enough. A shadow is more than a TLB, it holds memory and is shown to
//! people. So from time to time the owner [sweeps](ShadowPool::sweep): a shadow that no CPU has used for a while is
//! given up if the tables it was made from have turned into something else, and after a long while in any case. Dropping
//! a shadow is always legal: what is used again faults and is filled again.

use crate::{
    env::ShadowEnv,
    fault::GuestStage2,
    lock::{Lock, Locks},
    pool::ShadowPool,
    slot::Shadow,
};

/// How long a shadow may be unused, in the unit of the times given to [`ShadowPool::sweep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From then on it is given up if the guest's tables contradict it.
    pub suspect_after: u64,
    /// From then on it is given up.
    pub drop_after: u64,
}

/// Entries of a shadow that one sweep compares with the guest's tables: a sample, so that a sweep is bounded.
const SAMPLE: usize = 1024;

impl<L: Locks, const N: usize> ShadowPool<L, N> {
    /// Gives up shadows that have been unused for too long, one after the other. Returns how many; none while another CPU
    /// assigns a shadow.
    ///
    /// The time a shadow is unused counts from the first sweep that finds it so, so that running a guest costs nothing.
    pub fn sweep(&self, now: u64, patience: Patience, env: &mut impl ShadowEnv) -> usize {
        let Some(_nobody_assigns) = self.assigning.try_lock() else {
            return 0;
        };
        let mut given_up = 0;
        for slot in Self::slots().filter(|slot| self.refs(*slot) == 0) {
            // Whoever has it is at it, so it is in use. If it is taken, the slot is vacant, but nobody gives it away, nor its
            // VMID, before this is done.
            let Some(held) = self.try_lock(slot) else { continue };
            if let Some(shadow) = self.take(slot, held, |shadow| self.is_over(shadow, now, patience, env)) {
                shadow.destroy(env);
                given_up += 1;
            }
        }
        given_up
    }

    fn is_over(&self, shadow: &mut Shadow, now: u64, patience: Patience, env: &impl ShadowEnv) -> bool {
        let idle = now.saturating_sub(*shadow.idle_since.get_or_insert(now));
        idle >= patience.drop_after || idle >= patience.suspect_after && self.is_contradicted(shadow, env)
    }

    /// Whether the tables of L1's that `shadow` was filled from now say otherwise about something it maps.
    fn is_contradicted(&self, shadow: &Shadow, env: &impl ShadowEnv) -> bool {
        let Some(limits) = shadow.limits().copied() else {
            return false;
        };
        let mut is_contradicted = false;
        self.audit(shadow, &GuestStage2 { limits }, 0, SAMPLE, env, &mut |_| {
            is_contradicted = true
        });
        is_contradicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Access, FaultAction, SlotId,
        testing::{BLOCK, GuestTables, K4, ShadowPool, World, touch},
    };
    use vmsa::Level;

    const IPA: u64 = 0x4000_0000;
    const PATIENCE: Patience = Patience {
        suspect_after: 10,
        drop_after: 100,
    };

    /// A world with one guest whose shadow maps one block, and which no CPU uses.
    fn unused() -> (World, GuestTables, ShadowPool<4>, SlotId) {
        let mut world = World::with_ram(64);
        let mut tables = GuestTables::new(K4, 7, 0x1000_0000, &mut world);
        tables.map(IPA, 0x8000_0000, Level::TWO, BLOCK, &mut world);
        let pool = ShadowPool::new();
        let slot = pool.acquire(tables.key(), &mut world).unwrap().0;
        assert_eq!(touch(&pool, slot, IPA, Access::Read, &mut world), FaultAction::Retry);
        pool.release(slot);
        (world, tables, pool, slot)
    }

    #[test]
    fn a_shadow_in_use_is_never_given_up() {
        let (mut world, tables, pool, slot) = unused();
        pool.acquire(tables.key(), &mut world).unwrap();
        assert_eq!(pool.sweep(0, PATIENCE, &mut world), 0);
        assert_eq!(pool.sweep(1000, PATIENCE, &mut world), 0);
        assert!(pool.all().get(slot).is_some());
    }

    #[test]
    fn an_unused_shadow_is_kept_while_its_tables_agree() {
        let (mut world, _, pool, slot) = unused();
        pool.sweep(0, PATIENCE, &mut world);
        assert_eq!(pool.sweep(99, PATIENCE, &mut world), 0);
        assert!(pool.all().get(slot).is_some());
    }

    #[test]
    fn an_unused_shadow_goes_when_its_tables_contradict_it() {
        let (mut world, mut tables, pool, slot) = unused();
        pool.sweep(0, PATIENCE, &mut world);
        tables.unmap(IPA, Level::TWO, &mut world);
        assert_eq!(pool.sweep(9, PATIENCE, &mut world), 0);
        assert_eq!(pool.sweep(10, PATIENCE, &mut world), 1);
        assert!(pool.all().get(slot).is_none());
        assert_eq!(pool.all().table_pages(), 0);
    }

    #[test]
    fn an_unused_shadow_goes_in_the_end() {
        let (mut world, _, pool, slot) = unused();
        pool.sweep(0, PATIENCE, &mut world);
        assert_eq!(pool.sweep(100, PATIENCE, &mut world), 1);
        assert!(pool.all().get(slot).is_none());
    }

    #[test]
    fn use_between_sweeps_starts_the_time_anew() {
        let (mut world, tables, pool, slot) = unused();
        pool.sweep(0, PATIENCE, &mut world);
        let again = pool.acquire(tables.key(), &mut world).unwrap().0;
        pool.release(again);
        assert_eq!(pool.sweep(100, PATIENCE, &mut world), 0);
        assert_eq!(pool.sweep(199, PATIENCE, &mut world), 0);
        assert!(pool.all().get(slot).is_some());
    }

    #[test]
    fn a_shadow_given_up_leaves_no_translation_cached() {
        let (mut world, _, pool, _) = unused();
        world.fill_tlbs(&pool);
        pool.sweep(0, PATIENCE, &mut world);
        pool.sweep(100, PATIENCE, &mut world);
        world.assert_fresh(&pool);
    }
}
