//! One shadow, and how it is named.

use crate::{
    env::{Scoped, ShadowEnv},
    key::ShadowKey,
};
use core::fmt;
use vmsa::{
    Granule,
    stage2::{Stage2Config, Stage2Fault, Stage2Limits, Stage2Table},
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
    fn new(key: ShadowKey, word: u64) -> Self {
        let limits = Stage2Limits::from_word(word);
        Self {
            limits,
            word,
            config: Stage2Config::from_registers(key.vtcr(), key.vttbr(), &limits),
        }
    }
}

/// A shadow stage 2.
#[derive(Debug)]
pub struct Shadow {
    pub(crate) key: ShadowKey,
    pub(crate) table: Stage2Table,
    pub(crate) refs: u32,
    pub(crate) last_use: u64,
    pub(crate) faults: u64,
    pub(crate) vmid: u16,
    /// How L1's tables were to be read at the last fault.
    pub(crate) reading: Option<Reading>,
    /// The first sweep that found it unused since it was used last.
    pub(crate) idle_since: Option<u64>,
}

impl Shadow {
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

    /// The number of CPUs that run on it.
    #[must_use]
    pub fn refs(&self) -> u32 {
        self.refs
    }

    /// When it was last acquired or faulted on, in events of the pool: only the order means
    /// something.
    #[must_use]
    pub fn last_use(&self) -> u64 {
        self.last_use
    }

    /// One more CPU runs on it, from event `now` on.
    #[inline]
    pub(crate) fn refer(&mut self, now: u64) {
        self.refs = self.refs.wrapping_add(1);
        self.idle_since = None;
        self.last_use = now;
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
        let key = self.key;
        &self.reading.get_or_insert_with(|| Reading::new(key, word)).config
    }

    /// The granule of the guest's tables, as of the last fault. What is mapped has levels of this granule noted.
    pub(crate) fn granule(&self) -> Granule {
        match &self.reading {
            Some(Reading { config: Ok(config), .. }) if self.key.enabled() => config.granule,
            _ => Granule::K4,
        }
    }

    /// The table to change, with the environment to change it in.
    pub(crate) fn open<'a, E>(&'a mut self, env: &'a mut E) -> (&'a mut Stage2Table, Scoped<'a, E>) {
        let vttbr = self.vttbr();
        (&mut self.table, Scoped { env, vttbr })
    }

    /// Drops all contents. Returns the bytes that were mapped.
    pub(crate) fn unmap_all(&mut self, env: &mut impl ShadowEnv) -> u64 {
        let (table, mut scoped) = self.open(env);
        table.unmap_all(&mut scoped)
    }
}
