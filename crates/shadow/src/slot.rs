//! One shadow, and how it is named.

use crate::{
    compose::NewLeaf,
    env::{Scoped, ShadowEnv},
    key::ShadowKey,
    lock::{GuardOf, Lock, Locks, Rank},
};
use core::{
    fmt,
    ops::Range,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use vmsa::{
    Entry, Granule, Level, Phys, ReadTable, TableFormat,
    stage2::{OutOfTables, Stage2Config, Stage2Fault, Stage2Limits, Stage2Table, visit},
};

const VMID_SHIFT: u32 = 48;

/// Names a slot of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotId(pub(crate) u16);

impl SlotId {
    /// The number that a listing shows.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What the registers of L1 mean that say how its tables are read. Decoding them takes longer than a walk, and they
/// rarely change.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) limits: Stage2Limits,
    /// These, as a word.
    word: u64,
    /// By these and the key.
    pub(crate) config: Result<Stage2Config, Stage2Fault>,
}

impl Reading {
    #[cold]
    fn new(key: ShadowKey, word: u64, has_lpa2: bool) -> Self {
        let limits = Stage2Limits::from_word(word).with_lpa2(has_lpa2);
        Self {
            limits,
            word,
            config: Stage2Config::from_registers(key.vtcr(), key.vttbr(), &limits),
        }
    }
}

/// All addresses.
pub(crate) const EVERYTHING: Range<u64> = 0..u64::MAX;

/// A shadow that is locked, or a slot that has none.
pub type Held<'a, L> = GuardOf<'a, L, Option<Shadow>>;

/// A place for a shadow.
pub(crate) struct Slot<L: Locks> {
    /// The CPUs that run on it. It becomes more only while the slot is locked.
    users: AtomicU32,
    /// L1's `VTTBR_EL2` for the last shadow that was put here: who looks for another need not lock it.
    pub(crate) vttbr: AtomicU64,
    lock: L::Of<Option<Shadow>>,
}

impl<L: Locks> Slot<L> {
    pub(crate) fn vacant(slot: SlotId) -> Self {
        Self {
            users: AtomicU32::new(0),
            vttbr: AtomicU64::new(0),
            lock: Lock::new(None, Rank::Slot(slot.0)),
        }
    }

    #[inline(always)]
    pub(crate) fn lock(&self) -> Held<'_, L> {
        self.lock.lock()
    }

    pub(crate) fn try_lock(&self) -> Option<Held<'_, L>> {
        self.lock.try_lock()
    }

    pub(crate) const fn raw(&self) -> &L::Of<Option<Shadow>> {
        &self.lock
    }

    pub(crate) fn users(&self) -> u32 {
        // Who finds none sees all that they have done.
        self.users.load(Acquire)
    }

    /// One more CPU runs on it. The caller has locked it.
    #[inline(always)]
    pub(crate) fn add_user(&self) {
        self.users.fetch_add(1, Relaxed);
    }

    #[inline(always)]
    pub(crate) fn remove_user(&self) {
        let users = self.users.fetch_sub(1, Release);
        debug_assert!(users > 0, "a reference given back twice");
    }

    pub(crate) fn forget_users(&self) {
        self.users.store(0, Relaxed);
    }
}

/// A shadow stage 2.
#[derive(Debug)]
pub struct Shadow {
    pub(crate) key: ShadowKey,
    /// L1's VMID, of the key.
    pub(crate) guest_vmid: u16,
    pub(crate) table: Stage2Table,
    pub(crate) last_use: u64,
    pub(crate) faults: u64,
    pub(crate) vmid: u16,
    /// Whether L1 has `FEAT_LPA2`.
    has_lpa2: bool,
    /// How L1's tables were to be read at the last fault.
    pub(crate) reading: Option<Reading>,
    /// The first sweep that found it unused since it was used last.
    pub(crate) idle_since: Option<u64>,
}

impl Shadow {
    /// An empty one, which nobody uses yet.
    pub(crate) fn new(key: ShadowKey, mut table: Stage2Table, vmid: u16, has_lpa2: bool) -> Self {
        table.make_wide(key.wide());
        Self {
            key,
            guest_vmid: key.vmid(),
            table,
            last_use: 0,
            faults: 0,
            vmid,
            has_lpa2,
            reading: None,
            idle_since: None,
        }
    }

    /// It is another's now. It maps nothing.
    pub(crate) fn renew(&mut self, key: ShadowKey) {
        self.key = key;
        self.table.make_wide(key.wide());
        self.guest_vmid = key.vmid();
        self.faults = 0;
        self.reading = None;
        self.idle_since = None;
    }

    /// Whose shadow this is.
    #[must_use]
    pub fn key(&self) -> ShadowKey {
        self.key
    }

    /// Its table.
    #[must_use]
    pub fn table(&self) -> &Stage2Table {
        &self.table
    }

    /// How L1's tables were to be read at the last fault; `None` before the first.
    #[must_use]
    pub fn limits(&self) -> Option<&Stage2Limits> {
        self.reading.as_ref().map(|reading| &reading.limits)
    }

    /// When it was last acquired, in acquisitions of the pool: only the order means something.
    #[must_use]
    pub fn last_use(&self) -> u64 {
        self.last_use
    }

    /// Whether it has been found unused since it was used last.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.idle_since.is_some()
    }

    /// The faults handled since it got its key.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults
    }

    /// The VMID it runs under.
    #[must_use]
    pub fn physical_vmid(&self) -> u16 {
        self.vmid
    }

    /// The value of the hardware's `VTTBR_EL2` to run on it.
    #[must_use]
    pub fn vttbr(&self) -> u64 {
        self.table.root().bits() | u64::from(self.vmid) << VMID_SHIFT
    }

    /// How L1's tables are read on a machine of these `limits`.
    #[inline(always)]
    pub(crate) fn read_by(&mut self, limits: &Stage2Limits) -> &Result<Stage2Config, Stage2Fault> {
        let word = limits.word();
        if self.reading.as_ref().is_some_and(|known| known.word != word) {
            self.reading = None;
        }
        let (key, has_lpa2) = (self.key, self.has_lpa2);
        &self
            .reading
            .get_or_insert_with(|| Reading::new(key, word, has_lpa2))
            .config
    }

    /// The format of the guest's tables, as of the last fault. What is mapped has levels of this format noted.
    pub(crate) fn guest_format(&self) -> TableFormat {
        match &self.reading {
            Some(Reading { config: Ok(config), .. }) if self.key.enabled() => config.format(),
            _ => TableFormat::bits48(Granule::K4),
        }
    }

    /// The table to change, with the environment to change it in.
    pub(crate) fn open<'a, E>(&'a mut self, env: &'a mut E) -> (&'a mut Stage2Table, Scoped<'a, E>) {
        let vttbr = self.vttbr();
        (&mut self.table, Scoped { env, vttbr })
    }

    /// Puts `leaf` where it belongs.
    #[inline(always)]
    pub(crate) fn map(&mut self, leaf: NewLeaf, env: &mut impl ShadowEnv) -> Result<(), OutOfTables> {
        let (table, mut scoped) = self.open(env);
        if leaf.level == Level::THREE && table.fill_page(leaf.ia.bits(), leaf.desc, &mut scoped) {
            return Ok(());
        }
        self.map_with_tables(leaf, env)
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn map_with_tables(&mut self, leaf: NewLeaf, env: &mut impl ShadowEnv) -> Result<(), OutOfTables> {
        let (table, mut env) = self.open(env);
        table.map_desc(leaf.ia.bits(), leaf.level, leaf.desc, &mut env)
    }

    /// Ends it, and gives its pages back.
    pub(crate) fn destroy(self, env: &mut impl ShadowEnv) {
        let vttbr = self.vttbr();
        self.table.destroy(&mut Scoped { env, vttbr });
    }

    /// [`visit`] of its table, in few bytes.
    #[inline(never)]
    pub(crate) fn visit(
        &self,
        mem: &impl ReadTable<Phys>,
        from: u64,
        budget: usize,
        f: &mut dyn FnMut(Entry),
    ) -> Option<u64> {
        visit::<Phys>(&self.table.config(), mem, from, budget, &mut |entry| f(entry))
    }

    /// Drops all contents. Returns the bytes that were mapped.
    pub(crate) fn unmap_all(&mut self, env: &mut impl ShadowEnv) -> u64 {
        let (table, mut scoped) = self.open(env);
        table.unmap_all(&mut scoped)
    }

    /// Drops the leaves that map any of `range`, or a piece of them, from the first one on: what one hold of the lock is
    /// for. Returns the bytes that were mapped, and the address to go on from.
    #[inline(never)]
    pub(crate) fn unmap_piece(&mut self, range: &Range<u64>, env: &mut impl ShadowEnv) -> (u64, Option<u64>) {
        let (table, mut scoped) = self.open(env);
        if *range == EVERYTHING && table.is_a_piece() {
            return (table.unmap_all(&mut scoped), None);
        }
        table.unmap_piece(range, &mut scoped)
    }

    /// The same where it is hot.
    #[inline(always)]
    pub(crate) fn unmap_piece_in_line(&mut self, range: &Range<u64>, env: &mut impl ShadowEnv) -> (u64, Option<u64>) {
        let (table, mut scoped) = self.open(env);
        if *range == EVERYTHING && table.is_a_piece() {
            return (table.unmap_all_in_line(&mut scoped), None);
        }
        table.unmap_piece(range, &mut scoped)
    }
}
