//! A TLB of unlimited size that caches everything as soon as it can.

use crate::{
    Addr, EntryKind, Granule, Level, Phys, ReadTable,
    stage2::{Stage2Config, Stage2Desc, Stage2Tlb, visit, walk},
};
use std::collections::BTreeMap;

/// The leaves cached under one VMID.
#[derive(Default)]
pub struct Tlb {
    leaves: BTreeMap<u64, (Level, Stage2Desc)>,
}

impl Tlb {
    /// Caches every leaf of the tables.
    pub fn fill(&mut self, cfg: &Stage2Config, mem: &impl ReadTable<Phys>) {
        visit::<Phys>(cfg, mem, 0, usize::MAX, &mut |entry| {
            if entry.kind == EntryKind::Leaf {
                self.leaves
                    .insert(entry.ia, (entry.level, Stage2Desc::from_raw(entry.raw)));
            }
        });
    }

    /// Panics if a cached leaf is not in the tables any more.
    pub fn assert_fresh(&self, cfg: &Stage2Config, mem: &impl ReadTable<Phys>) {
        for (&ia, &(level, desc)) in &self.leaves {
            let now = walk::<Phys, Phys>(cfg, Addr::new(ia), mem);
            let is_same = now.is_ok_and(|now| now.level == level && without_tag(now.raw) == without_tag(desc.raw()));
            assert!(
                is_same,
                "stale TLB entry for {ia:#x} at {level}: {:#x}, now {now:x?}",
                desc.raw()
            );
        }
    }

    /// The address that the cached leaf around `ia` leads to.
    #[must_use]
    pub fn look_up(&self, ia: u64) -> Option<u64> {
        let (&start, &(level, desc)) = self.leaves.range(..=ia).next_back()?;
        let size = Granule::K4.entry_bytes(level);
        let output = desc.raw() & ((1 << 48) - 1) & !(size - 1).max(0xfff);
        (ia - start < size).then(|| output + (ia - start))
    }

    /// The number of leaves cached.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether nothing is cached.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }
}

fn without_tag(raw: u64) -> u64 {
    raw & !(0b1111 << 55)
}

impl Stage2Tlb for Tlb {
    fn invalidate(&mut self, ia: u64, size: u64, level: Level) {
        self.leaves.retain(|&start, &mut (of, _)| {
            let end = start + Granule::K4.entry_bytes(of);
            of > level || end <= ia || ia + size <= start
        });
    }

    fn invalidate_all(&mut self) {
        self.leaves.clear();
    }
}
