//! Memory for our own tables that checks how they are changed.

use crate::{
    Granule, Level, Pa, Phys, ReadTable, Unreadable,
    stage2::{Stage2Desc, Stage2Entry, Stage2Tlb, TableMemory},
};
use std::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// Permissions, Access flag and software bits: what may change in place in a leaf.
const RELAXABLE: u64 = 0b11 << 6 | 1 << 10 | 0b11 << 53 | 0b1111 << 55;

/// A bounded supply of table pages.
///
/// Panics on a change that hardware could trip over, if the caller reports its TLB maintenance to
/// [`synced`](Self::synced). An arena is itself a [`Stage2Tlb`], for a test with a single table.
pub struct Arena {
    pages: BTreeMap<u64, Box<[u64; 512]>>,
    next: u64,
    available: usize,
    /// The entry that points to a table page.
    holders: BTreeMap<u64, u64>,
    /// The roots of tables that start at level −1.
    wide: BTreeSet<u64>,
    /// Entries that were valid and that TLBs may still know.
    unsynced: BTreeSet<u64>,
    /// The invalidations, as (first address, bytes, level).
    pub invalidations: Vec<(u64, u64, Level)>,
}

impl Arena {
    /// An arena of `available` pages.
    #[must_use]
    pub fn new(available: usize) -> Self {
        Self {
            pages: BTreeMap::new(),
            next: 0x8_0000_0000,
            available,
            holders: BTreeMap::new(),
            wide: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            invalidations: Vec::new(),
        }
    }

    /// Whether the table at `root` starts at level −1.
    pub fn set_wide(&mut self, root: Pa, is_wide: bool) {
        if is_wide {
            self.wide.insert(root.bits());
        } else {
            self.wide.remove(&root.bits());
        }
    }

    /// The number of pages in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.pages.len()
    }

    /// The number of pages left.
    #[must_use]
    pub fn available(&self) -> usize {
        self.available
    }

    /// Makes that many pages available.
    pub fn set_available(&mut self, available: usize) {
        self.available = available;
    }

    /// The TLBs have forgotten `range` (all if `None`) under the VMID that the table at `root` is
    /// used with.
    pub fn synced(&mut self, root: u64, range: Option<(u64, u64)>) {
        let forgotten: Vec<u64> = self
            .unsynced
            .iter()
            .copied()
            .filter(|&at| {
                let (of, ia, size, _) = self.locate(at);
                of == root && range.is_none_or(|(start, bytes)| ia < start + bytes && start < ia + size)
            })
            .collect();
        for at in forgotten {
            self.unsynced.remove(&at);
        }
    }

    fn word(&self, at: u64) -> u64 {
        let page = self
            .pages
            .get(&(at & !0xfff))
            .expect("an entry of a page that is not a table");
        page[(at as usize & 0xfff) / 8]
    }

    /// The root, input address, size and level of the entry at `at`.
    fn locate(&self, at: u64) -> (u64, u64, u64, Level) {
        let (root, base, level) = self.locate_table(at & !0xfff);
        let size = Granule::K4.entry_bytes(level);
        (root, base + (at & 0xfff) / 8 * size, size, level)
    }

    fn locate_table(&self, page: u64) -> (u64, u64, Level) {
        match self.holders.get(&page) {
            None if self.wide.contains(&page) => (page, 0, Level::MINUS_ONE),
            None => (page, 0, Level::ZERO),
            Some(&holder) => {
                let (root, ia, _, level) = self.locate(holder);
                (root, ia, level.next().expect("a table below level 3"))
            }
        }
    }

    fn check_change(&mut self, at: u64, old: u64, new: u64) {
        let (_, _, _, level) = self.locate(at);
        let entry = |raw| Stage2Desc::from_raw(raw).decode::<Phys>(level, Granule::K4);
        match (entry(old), entry(new)) {
            (Stage2Entry::Invalid, Stage2Entry::Invalid) => {}
            (Stage2Entry::Invalid, _) => {
                assert!(!self.unsynced.contains(&at), "made before it was broken, at {at:#x}");
            }
            (_, Stage2Entry::Invalid) => {
                self.unsynced.insert(at);
            }
            (Stage2Entry::Table(old), Stage2Entry::Table(new)) => {
                assert_eq!(old, new, "a table replaced in place")
            }
            (Stage2Entry::Block(_), Stage2Entry::Block(_)) | (Stage2Entry::Page(_), Stage2Entry::Page(_)) => {
                assert_eq!((old ^ new) & !RELAXABLE, 0, "a leaf replaced in place, at {at:#x}");
            }
            _ => panic!("a table and a leaf exchanged in place, at {at:#x}"),
        }
    }
}

impl ReadTable<Phys> for Arena {
    fn read(&self, at: Pa) -> Result<u64, Unreadable> {
        let page = self.pages.get(&(at.bits() & !0xfff)).ok_or(Unreadable)?;
        Ok(page[at.page_offset() as usize / 8])
    }
}

impl TableMemory for Arena {
    fn write(&mut self, at: Pa, desc: u64) {
        let at = at.bits();
        let old = self.word(at);
        let (_, _, _, level) = self.locate(at);
        // A table whose own holder is not written yet looks like a root, but only tables are linked
        // to one.
        if let Stage2Entry::Table(next) = Stage2Desc::from_raw(desc).decode::<Phys>(level, Granule::K4) {
            self.holders.insert(next.bits(), at);
        }
        if self.holders.contains_key(&(at & !0xfff)) || old != 0 {
            self.check_change(at, old, desc);
        }
        if let Some(page) = self.pages.get_mut(&(at & !0xfff)) {
            page[(at as usize & 0xfff) / 8] = desc;
        }
    }

    fn note(&mut self, at: Pa, word: u64) {
        if let Some(page) = self.pages.get_mut(&(at.bits() & !0xfff)) {
            page[at.page_offset() as usize / 8] = word;
        }
    }

    fn alloc_table(&mut self) -> Option<Pa> {
        self.available = self.available.checked_sub(1)?;
        let page = self.next;
        self.next += 0x1000;
        self.pages.insert(page, Box::new([0; 512]));
        Some(Pa::new(page))
    }

    fn free_table(&mut self, at: Pa) {
        let page = at.bits();
        assert!(self.pages.contains_key(&page), "freed twice: {page:#x}");
        let mut holder = self.holders.get(&page);
        while let Some(&entry) = holder {
            assert!(
                !self.unsynced.contains(&entry),
                "freed while walkers may be in it: {page:#x}"
            );
            holder = self.holders.get(&(entry & !0xfff));
        }
        let inside = self.unsynced.range(page..page + 0x1000).next();
        assert!(inside.is_none(), "freed while its leaves may be cached: {page:#x}");
        self.pages.remove(&page);
        self.holders.remove(&page);
        self.wide.remove(&page);
        self.available += 1;
    }
}

impl Stage2Tlb for Arena {
    fn invalidate(&mut self, ia: u64, size: u64, level: Level) {
        let leaf = Granule::K4.entry_bytes(level);
        assert!(ia.is_multiple_of(leaf) && size.is_multiple_of(leaf));
        self.invalidations.push((ia, size, level));
        let roots: BTreeSet<u64> = self.unsynced.iter().map(|&at| self.locate(at).0).collect();
        for root in roots {
            self.synced(root, Some((ia, size)));
        }
    }

    fn invalidate_all(&mut self) {
        self.invalidations.push((0, 1 << 48, Level::THREE));
        self.unsynced.clear();
    }
}
