//! Getting table pages back when there are none.
//!
//! Shadow contents are a cache, so memory pressure is never an error: something is thrown away and
//! refaults. What is thrown away is always a whole shadow's contents, with one invalidation.

use crate::{compose::ShadowLeaf, env::ShadowEnv, pool::ShadowPool, slot::SlotId};
use vmsa::stage2::OutOfTables;

impl<const N: usize> ShadowPool<N> {
    /// Puts `leaf` into `slot`, whatever it takes. If even an otherwise empty pool lacks the pages
    /// (three, beside the roots), the leaf is left out.
    #[inline(always)]
    pub(crate) fn map(&mut self, slot: SlotId, leaf: &ShadowLeaf, env: &mut impl ShadowEnv) {
        if self.try_map(slot, leaf, env).is_err() {
            self.map_at_any_cost(slot, *leaf, env);
        }
    }

    #[cold]
    fn map_at_any_cost(&mut self, slot: SlotId, leaf: ShadowLeaf, env: &mut impl ShadowEnv) {
        while self.reclaim(slot, env) && self.try_map(slot, &leaf, env).is_err() {}
    }

    #[inline(always)]
    fn try_map(&mut self, slot: SlotId, leaf: &ShadowLeaf, env: &mut impl ShadowEnv) -> Result<(), OutOfTables> {
        let (table, mut env) = self.live_mut(slot).open(env);
        table.map_leaf(
            leaf.ia.bits(),
            leaf.pa,
            leaf.level,
            &leaf.attrs,
            leaf.guest_level.index() as u8,
            &mut env,
        )
    }

    /// Throws away the contents of one shadow: the least recently used unreferenced one, then the
    /// least recently used of the others, that of `keep` last. Returns whether there were any.
    fn reclaim(&mut self, keep: SlotId, env: &mut impl ShadowEnv) -> bool {
        let victim = self
            .iter()
            .filter(|(_, shadow)| shadow.table.table_pages() > 1)
            .min_by_key(|&(slot, shadow)| (slot == keep, shadow.refs > 0, shadow.last_use))
            .map(|(slot, _)| slot);
        match victim {
            Some(slot) => {
                self.live_mut(slot).unmap_all(env);
                true
            }
            None => false,
        }
    }
}
