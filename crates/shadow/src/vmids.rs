//! Which slots have which VMID of L1's.
//!
//! Nearly everything L1 does names a VMID: a switch to a guest, a TLBI. So there is an index by it, and what asks it costs
//! as much as there are slots of one VMID, not as there are slots.
//!
//! It is read without a lock. Who finds a slot in it locks that and looks again; what a TLBI does not find is a shadow
//! that is made at the same time, empty, and that is filled from what L1's tables say by then. That holds because both
//! have a barrier: the maker between naming the slot here and reading L1's tables, the TLBI between L1's change of these
//! and looking here (DDI 0487, "Barrier Litmus Tests": one of the two sees the other).

use crate::slot::SlotId;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
    fence,
};

/// VMIDs that differ in their lower bits have sets of their own.
const SETS: usize = 64;

/// Sets of slots. One has all slots of a VMID, and maybe others.
#[derive(Debug)]
pub(crate) struct Vmids([AtomicU64; SETS]);

impl Vmids {
    /// No slots.
    pub(crate) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; SETS])
    }

    /// The slots that may have `vmid`, as of now; without one, those that may have a shadow.
    #[inline]
    pub(crate) fn slots(&self, vmid: Option<u16>) -> impl Iterator<Item = SlotId> + use<> {
        fence(SeqCst);
        let mut set = match vmid {
            Some(vmid) => self.set_of(vmid).load(Relaxed),
            None => self.0.iter().fold(0, |all, set| all | set.load(Relaxed)),
        };
        core::iter::from_fn(move || {
            let slot = set.trailing_zeros();
            set &= set.wrapping_sub(1);
            // There are 64 at most.
            (slot < u64::BITS).then_some(SlotId(slot as u16))
        })
    }

    /// `slot` has `vmid` from now on.
    pub(crate) fn insert(&self, vmid: u16, slot: SlotId) {
        self.set_of(vmid).fetch_or(1 << slot.number(), Relaxed);
        fence(SeqCst);
    }

    /// `slot` has `vmid` no more.
    pub(crate) fn remove(&self, vmid: u16, slot: SlotId) {
        self.set_of(vmid).fetch_and(!(1 << slot.number()), Relaxed);
    }

    /// No slot has any.
    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|set| set.store(0, Relaxed));
    }

    fn set_of(&self, vmid: u16) -> &AtomicU64 {
        &self.0[usize::from(vmid) % SETS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::BTreeSet, vec::Vec};

    const SLOTS: usize = 64;

    proptest! {
        #[test]
        fn a_set_has_the_slots_of_its_vmids_and_no_others(
            moves in prop::collection::vec((0..SLOTS as u16, prop::option::of(0..200u16)), 0..100)
        ) {
            let vmids = Vmids::new();
            let mut model = [None::<u16>; SLOTS];
            for (slot, vmid) in moves {
                let id = SlotId(slot);
                if let Some(old) = model[id.index()] {
                    vmids.remove(old, id);
                }
                if let Some(new) = vmid {
                    vmids.insert(new, id);
                }
                model[id.index()] = vmid;
                for vmid in 0..200 {
                    let slots: Vec<_> = vmids.slots(Some(vmid)).map(SlotId::index).collect();
                    let is_of = |of: u16| usize::from(of) % SETS == usize::from(vmid) % SETS;
                    let expected: BTreeSet<_> = (0..SLOTS).filter(|&slot| model[slot].is_some_and(is_of)).collect();
                    prop_assert_eq!(slots.len(), expected.len());
                    prop_assert_eq!(slots.into_iter().collect::<BTreeSet<_>>(), expected);
                }
            }
        }
    }
}
