//! The shadows' part in logging writes to L1's memory.
//!
//! A shadow leaf of a logged page is read-only until an L2 writes: then that page, alone, becomes writable in that shadow,
//! and the [log](crate::DirtyLog) knows it. The host stage 2 has the page read-only for L1's sake; what it allows in
//! principle, and so what a shadow may allow, is what it allowed before.

use core::{ops::Range, sync::atomic::Ordering::Relaxed};

use vmsa::{
    Entry, EntryKind, Granule, Ipa, L1, L2, Level, Pa, Phys,
    stage2::{Mapping, OutOfTables, Stage2Desc, Stage2Entry, Stage2Fault},
};

use crate::{
    all::AllShadows,
    compose::ShadowLeaf,
    dirty::{DirtyLog, Leaf},
    env::ShadowEnv,
    fault::Access,
    lock::Locks,
    pool::ShadowPool,
    slot::SlotId,
};

/// What is taken from the leaves of a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Being blocks.
    Blocks,
    /// Being blocks, and being writable.
    Writes,
    /// Everything: to come back in another form.
    Everything,
}

/// Most leaves that are changed in one go.
const BATCH: usize = 32;

impl<L: Locks, const N: usize> ShadowPool<L, N> {
    /// Whether there is a log of writes, as of now.
    pub fn is_logging(&self) -> bool {
        self.is_logging.load(Relaxed)
    }
}

impl<L: Locks, const N: usize> AllShadows<'_, L, N> {
    /// The log of writes, if one is kept.
    #[must_use]
    pub fn dirty_log(&self) -> Option<&DirtyLog> {
        self.dirty.as_ref()
    }

    /// Begins a log for `range`, with nothing in it that is logged yet.
    ///
    /// # Errors
    ///
    /// `OutOfTables`; there is no log then.
    pub fn begin_log(&mut self, range: Range<u64>, env: &mut impl ShadowEnv) -> Result<(), OutOfTables> {
        self.end_log(env);
        *self.dirty = Some(DirtyLog::new(range, env)?);
        self.pool.is_logging.store(true, Relaxed);
        Ok(())
    }

    /// Begins to log the 2 MiB around `l1`, which the host stage 2 must have made read-only, in pages. Shadow leaves that
    /// were writable before are so until [`cut`](Self::cut) has gone over them.
    ///
    /// # Errors
    ///
    /// `OutOfTables`; that part is not logged.
    pub fn log_part(&mut self, l1: Ipa<L1>, env: &mut impl ShadowEnv) -> Result<(), OutOfTables> {
        self.dirty.as_mut().map_or(Ok(()), |log| log.begin_part(l1, env))
    }

    /// Ends logging the 2 MiB around `l1`.
    pub fn unlog_part(&mut self, l1: Ipa<L1>, env: &mut impl ShadowEnv) {
        if let Some(log) = self.dirty.as_mut() {
            log.end_part(l1, env);
        }
    }

    /// Ends the log.
    pub fn end_log(&mut self, env: &mut impl ShadowEnv) {
        self.pool.is_logging.store(false, Relaxed);
        if let Some(log) = self.dirty.take() {
            log.end(env);
        }
    }

    /// Notes that L1 writes the page at `l1`. Says whether it is logged.
    pub fn write_by_l1(&mut self, l1: Ipa<L1>, env: &mut impl ShadowEnv) -> bool {
        self.dirty.as_mut().is_some_and(|log| log.write_by_l1(l1, env))
    }

    /// Forgets who has written the page at `l1`, and takes the right to write it from the shadow that has it. The host's
    /// is the caller's to take, before.
    pub fn forget_writers(&mut self, l1: Ipa<L1>, env: &mut impl ShadowEnv) {
        let leaf = self.dirty.as_mut().and_then(|log| log.clear(l1, env));
        if let Some(leaf) = leaf {
            self.protect_leaf(leaf, l1, env);
        }
    }

    /// Makes the leaves of `slot` that map a part of `range` follow a change of the host's, going over at most `budget`
    /// entries from `from` on: what [`Cut`] says is taken from them. Blocks are dropped, to come back as pages. Other
    /// leaves are left alone. Returns the address to go on from, `None` at the end.
    pub fn cut(
        &mut self,
        slot: SlotId,
        cut: Cut,
        range: &Range<u64>,
        from: u64,
        budget: usize,
        env: &mut impl ShadowEnv,
    ) -> Option<u64> {
        let mut found = [None; BATCH];
        let mut free = found.iter_mut();
        let next = self.get(slot)?.visit(env, from, budget.min(BATCH), &mut |entry| {
            if maps(&entry, range)
                && (cut != Cut::Blocks || entry.level < Level::THREE)
                && let Some(place) = free.next()
            {
                *place = Some(entry);
            }
        });
        for entry in found.into_iter().flatten() {
            if entry.level < Level::THREE || cut == Cut::Everything {
                self.live_mut(slot).unmap_piece(&(entry.ia..entry.ia + entry.size), env);
            } else {
                self.make_read_only(slot, &entry, env);
            }
        }
        next
    }

    /// Cuts `leaf`, which is going to be mapped in `slot` for an access to `l1`, down to what the log allows.
    pub(crate) fn log_access(
        &mut self,
        slot: SlotId,
        access: Access,
        l2: Ipa<L2>,
        l1: Ipa<L1>,
        leaf: ShadowLeaf,
        env: &mut impl ShadowEnv,
    ) -> ShadowLeaf {
        let Some(log) = self.dirty.as_mut().filter(|log| log.is_logged(l1, env)) else {
            return leaf;
        };
        let page = Granule::K4.bytes();
        let offset = l2.align_down(page).bits() - leaf.ia.bits();
        let mut leaf = ShadowLeaf {
            ia: l2.align_down(page),
            pa: Pa::new(leaf.pa.bits() + offset),
            level: Level::THREE,
            ..leaf
        };
        if access == Access::Write {
            let writer = Leaf { slot, ipa: leaf.ia };
            if let Some(other) = log.write_by(l1, writer, env) {
                self.protect_leaf(other, l1, env);
            }
        } else {
            leaf.attrs.perms.write = false;
        }
        leaf
    }

    /// Takes the right to write from a leaf, if it still maps the page at `l1`.
    fn protect_leaf(&mut self, leaf: Leaf, l1: Ipa<L1>, env: &mut impl ShadowEnv) {
        let Some(shadow) = self.get(leaf.slot) else { return };
        let Ok(mapping) = shadow.table.translate(leaf.ipa, env) else {
            return;
        };
        let page = Granule::K4.bytes();
        // L1's IPA equals the PA.
        let is_same = mapping.output.bits() & !(page - 1) == l1.bits() & !(page - 1);
        if is_same && mapping.attrs.perms.write {
            let size = mapping.size;
            let entry = Entry {
                ia: leaf.ipa.bits() & !(size - 1),
                size,
                level: mapping.level,
                raw: mapping.raw,
                kind: EntryKind::Leaf,
                contiguous: false,
            };
            self.make_read_only(leaf.slot, &entry, env);
        }
    }

    fn make_read_only(&mut self, slot: SlotId, entry: &Entry, env: &mut impl ShadowEnv) {
        let desc = Stage2Desc::from_raw(entry.raw);
        let Some(output) = output(entry) else { return };
        let mut attrs = desc.attrs(true);
        attrs.perms.write = false;
        let (table, mut env) = self.live_mut(slot).open(env);
        // The leaf is there: no table is needed.
        let _ = table.map_leaf(entry.ia, output, entry.level, &attrs, desc.tag(), &mut env);
    }
}

/// The host stage 2's translation of `l1`, with what it allows but for `log`.
pub(crate) fn host_walk(
    l1: Ipa<L1>,
    log: Option<&DirtyLog>,
    env: &impl ShadowEnv,
) -> Result<Mapping<Phys>, Stage2Fault> {
    let mut host = env.host_leaf(l1)?.our_mapping();
    if log.is_some_and(|log| log.is_logged(l1, env)) {
        // Only RAM is logged, and L1 may write its RAM.
        host.attrs.perms.write = true;
    }
    Ok(host)
}

/// Where a leaf of our own leads.
fn output(entry: &Entry) -> Option<Pa> {
    match Stage2Desc::from_raw(entry.raw).decode::<Phys>(entry.level, Granule::K4) {
        Stage2Entry::Block(output) | Stage2Entry::Page(output) => Some(output),
        Stage2Entry::Table(_) | Stage2Entry::Invalid => None,
    }
}

/// Whether the entry is a leaf that leads to a part of `range`, of physical addresses.
fn maps(entry: &Entry, range: &Range<u64>) -> bool {
    entry.kind == EntryKind::Leaf
        && output(entry).is_some_and(|to| to.bits() < range.end && range.start < to.bits() + entry.size)
}

#[cfg(test)]
mod tests;
