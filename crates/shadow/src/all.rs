//! All shadows at once: what concerns several.

use crate::{
    dirty::DirtyLog,
    env::ShadowEnv,
    lock::{GuardOf, Locks},
    pool::ShadowPool,
    slot::{Held, Shadow, SlotId},
};

/// The shadows of a pool, all locked.
pub struct AllShadows<'a, L: Locks, const N: usize> {
    pub(crate) _nobody_assigns: GuardOf<'a, L, ()>,
    pub(crate) slots: [Held<'a, L>; N],
    pub(crate) dirty: GuardOf<'a, L, Option<DirtyLog>>,
    pub(crate) pool: &'a ShadowPool<L, N>,
}

impl<L: Locks, const N: usize> AllShadows<'_, L, N> {
    /// The shadow in `slot`, `None` if there is none.
    #[must_use]
    pub fn get(&self, slot: SlotId) -> Option<&Shadow> {
        self.slots.get(slot.index())?.as_ref()
    }

    /// All shadows, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (SlotId, &Shadow)> {
        (0u16..)
            .map(SlotId)
            .zip(self.slots.iter())
            .filter_map(|(slot, shadow)| Some((slot, shadow.as_ref()?)))
    }

    /// The number of pages in all tables.
    #[must_use]
    pub fn table_pages(&self) -> u64 {
        self.iter().map(|(_, shadow)| shadow.table.table_pages()).sum()
    }

    /// Ends all shadows, referenced or not, and gives their pages back: for a reset of L1, when no
    /// CPU runs on one.
    pub fn clear(&mut self, env: &mut impl ShadowEnv) {
        self.end_log(env);
        for slot in &mut self.slots {
            if let Some(shadow) = slot.take() {
                shadow.destroy(env);
            }
        }
        self.pool.forget();
    }

    /// The shadow in a slot that is known to have one.
    #[expect(clippy::panic, reason = "a slot id that outlives its shadow is our own mistake")]
    pub(crate) fn live_mut(&mut self, slot: SlotId) -> &mut Shadow {
        match self.slots.get_mut(slot.index()).and_then(|slot| slot.as_mut()) {
            Some(shadow) => shadow,
            None => panic!("no shadow in slot {slot}"),
        }
    }
}
