//! What is counted.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::areas::AREAS;
use crate::home::CPU_COUNT_MAX;

/// Exceptions by the vector that they came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// From below.
    pub(crate) sync: u64,
    /// Interrupts, from anywhere.
    pub(crate) irq: u64,
    /// `SError`s, from anywhere.
    pub(crate) serror: u64,
    /// From EL2 itself.
    pub(crate) own: u64,
}

impl Tally {
    pub(crate) fn note(&mut self, vector: u64) {
        match (vector & 3, vector >> 2) {
            (0, 0 | 1) => self.own += 1,
            (0, _) => self.sync += 1,
            (1 | 2, _) => self.irq += 1,
            _ => self.serror += 1,
        }
    }
}

const KINDS: usize = 5;

/// By area: steps, and exceptions of each kind.
static SUMS: [[AtomicU64; KINDS]; AREAS.len()] = [const { [const { AtomicU64::new(0) }; KINDS] }; AREAS.len()];

/// Steps that each CPU has made; the highest bit says that it is done.
static STEPS: [AtomicU64; CPU_COUNT_MAX] = [const { AtomicU64::new(0) }; CPU_COUNT_MAX];
const DONE: u64 = 1 << 63;

/// One step of CPU `cpu` is over.
pub(crate) fn add(cpu: usize, area: usize, tally: Tally) {
    let counts = [1, tally.sync, tally.irq, tally.serror, tally.own];
    for (sum, count) in SUMS[area].iter().zip(counts) {
        sum.fetch_add(count, Ordering::Relaxed);
    }
    STEPS[cpu].fetch_add(1, Ordering::Relaxed);
}

/// Steps, and exceptions from below, by interrupt, by `SError`, from EL2 itself.
pub(crate) fn sums(area: usize) -> [u64; KINDS] {
    [0, 1, 2, 3, 4].map(|kind| SUMS[area][kind].load(Ordering::Relaxed))
}

pub(crate) fn finish(cpu: usize) {
    STEPS[cpu].fetch_or(DONE, Ordering::Relaxed);
}

pub(crate) fn is_done(cpu: usize) -> bool {
    STEPS[cpu].load(Ordering::Relaxed) & DONE != 0
}

/// Steps that CPU `cpu` has made.
pub(crate) fn steps(cpu: usize) -> u64 {
    STEPS[cpu].load(Ordering::Relaxed) & !DONE
}
