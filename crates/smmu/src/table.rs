//! The table of stage 2 that devices use.
//!
//! It is made once and never changes, so it needs none of what tables of guests need. Its descriptors are what an SMMU
//! without `S2FWB` reads (IHI 0070, `STE.S2FWB`): Normal Write-Back, which takes nothing away from what the device asks for.

use core::ops::Range;

use crate::{Hardware, INPUT_BITS};

/// There is no page for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPage;

const PAGE_BITS: u32 = 12;
/// Address bits that index a table.
const INDEX_BITS: u32 = 9;
/// Address bits below an entry of level 1: what the largest block covers.
const LARGEST_BLOCK_BITS: u32 = 30;
/// Address bits below an entry of the root, of level 0.
const ROOT_BITS: u32 = 39;

const TABLE: u64 = 0b11;
const PAGE: u64 = 0b11;
const BLOCK: u64 = 0b01;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// Write-Back; read and write; inner shareable; accessed; never executed.
const RAM: u64 = 0b1111 << 2 | 0b11 << 6 | 0b11 << 8 | 1 << 10 | 0b10 << 53;

/// Maps `range`, of whole pages, to itself in the table at `root`, with the largest leaves that fit. What is beyond the
/// addresses that a device may use is left out.
///
/// # Errors
///
/// [`NoPage`]; the range is mapped in part.
#[inline(never)]
pub fn map_to_itself(hardware: &dyn Hardware, root: u64, range: &Range<u64>) -> Result<(), NoPage> {
    let end = range.end.min(1 << INPUT_BITS);
    let mut at = range.start;
    while at < end {
        let fits = |bits: &u32| at.trailing_zeros() >= *bits && end.saturating_sub(at) >> *bits != 0;
        let blocks = [LARGEST_BLOCK_BITS, LARGEST_BLOCK_BITS - INDEX_BITS];
        let bits = blocks.into_iter().find(fits).unwrap_or(PAGE_BITS);
        let kind = if bits == PAGE_BITS { PAGE } else { BLOCK };
        let entry = entry(hardware, root, at, bits)?;
        hardware.store(entry, at | RAM | kind);
        at = at.saturating_add(1 << bits);
    }
    Ok(())
}

/// Where the entry for `at` is that has `bits` of it below, under tables that are made if they are not there.
fn entry(hardware: &dyn Hardware, root: u64, at: u64, bits: u32) -> Result<u64, NoPage> {
    let (mut table, mut below) = (root, ROOT_BITS);
    loop {
        let entry = table | (at >> below & ((1 << INDEX_BITS) - 1)) << 3;
        if below == bits {
            return Ok(entry);
        }
        table = match hardware.load(entry) & ADDRESS {
            0 => {
                let page = hardware.page().ok_or(NoPage)?;
                hardware.store(entry, page | TABLE);
                page
            }
            next => next,
        };
        below = below.saturating_sub(INDEX_BITS);
    }
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;
    use std::{collections::BTreeMap, vec::Vec};

    use proptest::{collection::vec, prelude::*};
    use vmsa::{
        AddressField, EntryKind, Granule, Ipa, L1, Level, ReadTable, Unreadable,
        stage2::{self, MemType, Perms, Shareability, Stage2Config, Stage2Desc},
    };

    use super::*;

    const ROOT: u64 = 0x4000_0000;

    /// Memory alone.
    #[derive(Default)]
    struct Memory {
        words: RefCell<BTreeMap<u64, u64>>,
        pages: RefCell<u64>,
        limit: Option<u64>,
    }

    impl Hardware for Memory {
        fn read(&self, _: usize) -> u32 {
            unreachable!()
        }
        fn write(&self, _: usize, _: u32) {
            unreachable!()
        }
        fn write_long(&self, _: usize, _: u64) {
            unreachable!()
        }
        fn load(&self, at: u64) -> u64 {
            self.words.borrow().get(&at).copied().unwrap_or(0)
        }
        fn store(&self, at: u64, word: u64) {
            assert_eq!(
                self.words.borrow_mut().insert(at, word),
                None,
                "no entry is written twice"
            );
        }
        fn barrier(&self) {}
        fn page(&self) -> Option<u64> {
            let mut pages = self.pages.borrow_mut();
            *pages += 1;
            self.limit
                .is_none_or(|limit| *pages <= limit)
                .then(|| ROOT + *pages * 4096)
        }
    }

    impl ReadTable<L1> for Memory {
        fn read(&self, at: Ipa<L1>) -> Result<u64, Unreadable> {
            Ok(self.load(at.bits()))
        }
    }

    fn config() -> Stage2Config {
        Stage2Config {
            granule: Granule::K4,
            field: AddressField::Bits48,
            ipa_bits: INPUT_BITS,
            start_level: Level::ZERO,
            root: ROOT,
            oa_bits: INPUT_BITS,
            sh: Shareability::Inner,
            hardware_af: false,
            big_endian: false,
            fwb: false,
        }
    }

    /// The leaves: input address, size, output.
    fn leaves(memory: &Memory) -> Vec<(u64, u64, u64)> {
        let mut leaves = Vec::new();
        let config = config();
        stage2::visit::<L1>(&config, memory, 0, usize::MAX, &mut |entry| {
            if entry.kind == EntryKind::Leaf {
                let attrs = Stage2Desc::from_raw(entry.raw).attrs(false);
                assert_eq!(
                    (attrs.perms, attrs.mem, attrs.af),
                    (Perms::READ_WRITE, MemType::Stage1, true)
                );
                leaves.push((entry.ia, entry.size, entry.raw & ADDRESS));
            }
        });
        leaves
    }

    #[test]
    fn the_largest_leaves_that_fit_are_used() {
        let memory = Memory::default();
        map_to_itself(&memory, ROOT, &(0x4060_1000..0x1_0000_0000)).unwrap();
        let leaves = leaves(&memory);
        let count = |size: u64| leaves.iter().filter(|leaf| leaf.1 == size).count();
        assert_eq!((count(1 << 30), count(2 << 20), count(4096)), (2, 508, 511));
        assert_eq!(*memory.pages.borrow(), 3);
    }

    #[test]
    fn what_no_device_can_address_is_left_out() {
        let memory = Memory::default();
        map_to_itself(&memory, ROOT, &((1 << INPUT_BITS) - 0x1000..(1 << INPUT_BITS) + 0x1000)).unwrap();
        assert_eq!(leaves(&memory).len(), 1);
    }

    #[test]
    fn without_pages_there_is_an_error() {
        let memory = Memory {
            limit: Some(2),
            ..Memory::default()
        };
        assert_eq!(map_to_itself(&memory, ROOT, &(0x4000_1000..0x4000_2000)), Err(NoPage));
    }

    proptest! {
        #[test]
        fn what_is_mapped_is_what_was_asked_for(
            ranges in vec((0_u64..0x40_0000, 1_u64..0x10_0000), 1..4),
        ) {
            let memory = Memory::default();
            let (mut floor, mut wanted) = (0, Vec::new());
            for (gap, pages) in ranges {
                let start = floor + (gap + 1) * 4096;
                floor = start + pages * 4096;
                map_to_itself(&memory, ROOT, &(start..floor)).unwrap();
                wanted.push(start..floor);
            }
            let mut bytes = 0;
            for (input, size, output) in leaves(&memory) {
                prop_assert_eq!(input, output);
                prop_assert!(wanted.iter().any(|range| range.start <= input && input + size <= range.end));
                bytes += size;
            }
            prop_assert_eq!(bytes, wanted.iter().map(|range| range.end - range.start).sum::<u64>());
        }
    }
}
