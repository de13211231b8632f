//! Which slots have which VMID of L1's.
//!
//! Nearly everything L1 does names a VMID: a switch to a guest, a TLBI. So the slots in use are chained by it, and what
//! finds them costs as much as there are of one VMID, not as there are slots.

use crate::slot::SlotId;

/// VMIDs that differ in their lower bits have chains of their own.
const CHAINS: usize = 64;
/// No slot has this number.
const END: u16 = u16::MAX;

/// Chains of slots. A chain has all slots of a VMID, and maybe others.
#[derive(Debug)]
pub(crate) struct Vmids<const N: usize> {
    first: [u16; CHAINS],
    next: [u16; N],
}

impl<const N: usize> Vmids<N> {
    /// No slots.
    pub(crate) const fn new() -> Self {
        Self {
            first: [END; CHAINS],
            next: [END; N],
        }
    }

    /// The slots that may have `vmid`.
    pub(crate) fn chain(&self, vmid: u16) -> impl Iterator<Item = SlotId> {
        let mut next = self.first[chain_of(vmid)];
        core::iter::from_fn(move || {
            let slot = next;
            next = *self.next.get(usize::from(slot))?;
            Some(SlotId(slot))
        })
    }

    /// `slot`, which is in no chain, has `vmid` from now on.
    pub(crate) fn insert(&mut self, vmid: u16, slot: SlotId) {
        let first = &mut self.first[chain_of(vmid)];
        self.next[slot.index()] = *first;
        *first = slot.number();
    }

    /// `slot` has `vmid` no more.
    pub(crate) fn remove(&mut self, vmid: u16, slot: SlotId) {
        let after = self.next[slot.index()];
        let before = self.chain(vmid).find(|at| self.next[at.index()] == slot.number());
        match before {
            Some(before) => self.next[before.index()] = after,
            None => self.first[chain_of(vmid)] = after,
        }
    }
}

const fn chain_of(vmid: u16) -> usize {
    vmid as usize % CHAINS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::BTreeSet, vec::Vec};

    const SLOTS: usize = 8;

    proptest! {
        #[test]
        fn a_chain_has_the_slots_of_its_vmids_and_no_others(moves in prop::collection::vec((0..SLOTS as u16, prop::option::of(0..200u16)), 0..100)) {
            let mut vmids = Vmids::<SLOTS>::new();
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
                    let chain: Vec<_> = vmids.chain(vmid).map(SlotId::index).collect();
                    let expected: BTreeSet<_> = (0..SLOTS).filter(|&slot| model[slot].is_some_and(|of| chain_of(of) == chain_of(vmid))).collect();
                    prop_assert_eq!(chain.len(), expected.len());
                    prop_assert_eq!(chain.into_iter().collect::<BTreeSet<_>>(), expected);
                }
            }
        }
    }
}
