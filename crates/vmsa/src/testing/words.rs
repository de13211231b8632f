//! Memory of a guest.

use crate::{Addr, ReadTable, Unreadable};
use std::collections::{BTreeMap, BTreeSet};

/// Sparse memory: pages that exist, and the words in them that are not zero.
#[derive(Debug, Default)]
pub struct Words {
    words: BTreeMap<u64, u64>,
    pages: BTreeSet<u64>,
}

impl Words {
    /// Makes `bytes` of memory from `start` exist.
    pub fn add(&mut self, start: u64, bytes: u64) {
        self.pages.extend((start..start + bytes).step_by(0x1000));
    }

    /// Sets the eight bytes at `at`, whose page then exists.
    pub fn set(&mut self, at: u64, word: u64) {
        self.pages.insert(at & !0xfff);
        self.words.insert(at, word);
    }

    /// The eight bytes at `at`.
    ///
    /// # Errors
    ///
    /// `Unreadable` if there is no memory.
    pub fn get(&self, at: u64) -> Result<u64, Unreadable> {
        if self.pages.contains(&(at & !0xfff)) {
            Ok(self.words.get(&at).copied().unwrap_or(0))
        } else {
            Err(Unreadable)
        }
    }
}

impl<S> ReadTable<S> for Words {
    fn read(&self, at: Addr<S>) -> Result<u64, Unreadable> {
        self.get(at.bits())
    }
}
