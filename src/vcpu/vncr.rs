//! The VNCR page: EL2 and EL1 registers of L1 that FEAT_NV2 turns into memory accesses (DDI 0487, "Enhanced nested
//! virtualization support").
//!
//! The page is gnomon's: L1 reaches it only through the registers, and the hardware makes those accesses as EL2. Every
//! word is untrusted all the same, because L1 may write any value to any of the registers.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;
use vmsa::Pa;

use crate::{
    layout::CPU_COUNT_MAX,
    mm::{PAGE_BYTES, frames},
};

const WORDS: usize = PAGE_BYTES as usize / 8;

/// The pages of all vCPUs, for the console: words of memory can be read whoever uses them.
static PAGES: [Once<VncrPage>; CPU_COUNT_MAX] = [const { Once::new() }; CPU_COUNT_MAX];

/// One vCPU's page.
#[derive(Clone, Copy)]
pub struct VncrPage {
    words: &'static [AtomicU64; WORDS],
}

impl VncrPage {
    /// A zeroed page for vCPU `cpu`; `None` when there are no frames left.
    pub fn new(cpu: usize) -> Option<Self> {
        let frame = frames::alloc()?;
        // SAFETY: the frame is ours for good, page-aligned, mapped and zeroed; atomics, because the hardware writes it
        // on the guest's behalf.
        let words = unsafe { &*(frame.bits() as *const [AtomicU64; WORDS]) };
        let page = Self { words };
        if let Some(slot) = PAGES.get(cpu) {
            slot.call_once(|| page);
        }
        Some(page)
    }

    /// The page of vCPU `cpu`, if there is one. While that runs, the page changes at any moment.
    pub fn of(cpu: usize) -> Option<Self> {
        PAGES.get(cpu)?.get().copied()
    }

    /// Its address, for VNCR_EL2.
    pub fn address(&self) -> Pa {
        Pa::new(self.words.as_ptr() as u64)
    }

    /// Reads the register at byte offset `offset`.
    #[inline(always)]
    pub fn get(&self, offset: usize) -> u64 {
        self.words
            .get(offset / 8)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Writes the register at byte offset `offset`.
    #[inline(always)]
    pub fn set(&self, offset: usize, value: u64) {
        if let Some(word) = self.words.get(offset / 8) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for word in self.words {
            word.store(0, Ordering::Relaxed);
        }
    }
}
