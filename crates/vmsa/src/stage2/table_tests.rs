//! [`Stage2Table`] against a naive model: a set of leaves.

use super::{MemType, Perms, Shareability, Stage2Attrs, Stage2Desc, Stage2Table, Stage2Tlb, TableMemory, visit, walk};
use crate::{
    EntryKind, Granule, Ipa, L1, Level, Pa, Phys, ReadTable, Unreadable,
    testing::{Arena, Tlb},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

const K4: Granule = Granule::K4;
const READ_ONLY: Perms = Perms {
    write: false,
    ..Perms::ALL
};

/// An arena with a TLB that has cached everything.
struct Machine {
    arena: Arena,
    tlb: Tlb,
}

impl Machine {
    fn new(pages: usize) -> Self {
        Self {
            arena: Arena::new(pages),
            tlb: Tlb::default(),
        }
    }
}

impl ReadTable<Phys> for Machine {
    fn read(&self, at: Pa) -> Result<u64, Unreadable> {
        self.arena.read(at)
    }
}

impl TableMemory for Machine {
    fn write(&mut self, at: Pa, desc: u64) {
        self.arena.write(at, desc);
    }

    fn alloc_table(&mut self) -> Option<Pa> {
        self.arena.alloc_table()
    }

    fn free_table(&mut self, at: Pa) {
        self.arena.free_table(at);
    }
}

impl Stage2Tlb for Machine {
    fn invalidate(&mut self, ia: u64, size: u64, level: Level) {
        self.arena.invalidate(ia, size, level);
        self.tlb.invalidate(ia, size, level);
    }

    fn invalidate_all(&mut self) {
        self.arena.invalidate_all();
        self.tlb.invalidate_all();
    }
}

/// Leaves by address: level and descriptor.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Model(BTreeMap<u64, (Level, u64)>);

impl Model {
    fn of(table: &Stage2Table, machine: &Machine) -> Self {
        let mut leaves = BTreeMap::new();
        visit::<Phys>(&table.config(), machine, 0, usize::MAX, &mut |entry| {
            if entry.kind == EntryKind::Leaf {
                leaves.insert(entry.ia, (entry.level, entry.raw));
            }
        });
        Self(leaves)
    }

    fn around(&self, ia: u64) -> Option<(u64, Level, u64)> {
        let (&start, &(level, raw)) = self.0.range(..=ia).next_back()?;
        (ia - start < K4.entry_bytes(level)).then_some((start, level, raw))
    }

    fn split(&mut self, ia: u64, is_done: impl Fn(u64, Level) -> bool) {
        while let Some((start, level, raw)) = self.around(ia).filter(|&(start, level, _)| !is_done(start, level)) {
            let child = level.next().unwrap();
            self.0.remove(&start);
            for index in 0..512 {
                let piece = Stage2Desc::from_raw(raw).split_piece(child, index);
                self.0
                    .insert(start + index * K4.entry_bytes(child), (child, piece.raw()));
            }
        }
    }

    fn map(&mut self, ia: u64, level: Level, desc: Stage2Desc) {
        self.split(ia, |_, of| of >= level);
        self.unmap(ia, K4.entry_bytes(level));
        self.0.insert(ia, (level, desc.raw()));
    }

    fn unmap(&mut self, ia: u64, size: u64) -> u64 {
        let before = self.bytes();
        self.0
            .retain(|&start, &mut (level, _)| start + K4.entry_bytes(level) <= ia || ia + size <= start);
        before - self.bytes()
    }

    /// Whether there is a page in the 2 MiB around `ia`, and so a table of level 3.
    fn has_page_near(&self, ia: u64) -> bool {
        let start = ia & !(K4.entry_bytes(Level::TWO) - 1);
        let mut near = self.0.range(start..start + K4.entry_bytes(Level::TWO));
        near.any(|(_, &(level, _))| level == Level::THREE)
    }

    fn bytes(&self) -> u64 {
        self.0.values().map(|&(level, _)| K4.entry_bytes(level)).sum()
    }

    /// The tables there must be, the root included.
    fn table_pages(&self, start: Level) -> u64 {
        let mut tables = BTreeSet::new();
        for (&ia, &(level, _)) in &self.0 {
            for upper in start.get()..level.get() {
                tables.insert((upper, ia >> K4.entry_shift(Level::new(upper).unwrap())));
            }
        }
        1 + tables.len() as u64
    }
}

#[derive(Clone, Debug)]
enum Op {
    Map {
        ia: u64,
        pa: u64,
        level: Level,
        read_only: bool,
        nc: bool,
        tag: u8,
    },
    UnmapLeaves {
        ia: u64,
        size: u64,
    },
    UnmapRange {
        ia: u64,
        size: u64,
    },
    UnmapAll,
}

impl Op {
    /// Addresses it is about, and others.
    fn addresses(&self) -> [u64; 4] {
        let ia = match *self {
            Self::Map { ia, .. } | Self::UnmapLeaves { ia, .. } | Self::UnmapRange { ia, .. } => ia,
            Self::UnmapAll => 0,
        };
        [ia, ia + 0x1234, ia ^ 0x20_0000, ia | 1 << 48]
    }
}

/// Addresses at the corners of tables of 48 bits.
fn address() -> impl Strategy<Value = u64> {
    let corner = || prop::sample::select(&[0u64, 1, 511][..]);
    (corner(), corner(), corner(), corner()).prop_map(|(a, b, c, d)| a << 39 | b << 30 | c << 21 | d << 12)
}

/// Of 52 bits, if that is what is asked for.
fn input(is_wide: bool) -> impl Strategy<Value = u64> {
    (address(), prop::sample::select(&[0u64, 1, 15][..]))
        .prop_map(move |(ia, part)| ia | (part * u64::from(is_wide)) << 48)
}

fn size() -> impl Strategy<Value = u64> {
    prop::sample::select(
        &[
            0x1000,
            0x2000,
            0x20_0000,
            0x20_1000,
            0x4000_0000,
            0x4020_0000,
            1 << 39,
            1 << 48,
        ][..],
    )
}

fn op(is_wide: bool) -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (input(is_wide), address(), 1i8..=3, any::<bool>(), prop::bool::weighted(0.2), 0u8..4).prop_map(
            |(ia, pa, level, read_only, nc, tag)| {
                let level = Level::new(level).unwrap();
                let size = K4.entry_bytes(level);
                Op::Map { ia: ia & !(size - 1), pa: pa & !(size - 1), level, read_only, nc, tag }
            }
        ),
        3 => (input(is_wide), size()).prop_map(|(ia, size)| Op::UnmapLeaves { ia, size }),
        2 => (input(is_wide), size()).prop_map(|(ia, size)| Op::UnmapRange { ia, size }),
        1 => Just(Op::UnmapAll),
    ]
}

fn ops(is_wide: bool) -> impl Strategy<Value = (bool, Vec<Op>)> {
    (Just(is_wide), prop::collection::vec(op(is_wide), 1..24))
}

fn apply(op: &Op, table: &mut Stage2Table, machine: &mut Machine, model: &mut Model) {
    match *op {
        Op::Map {
            ia,
            pa,
            level,
            read_only,
            nc,
            tag,
        } => {
            let attrs = Stage2Attrs {
                perms: if read_only { READ_ONLY } else { Perms::ALL },
                mem: if nc {
                    MemType::NormalNonCacheable
                } else {
                    MemType::Stage1
                },
                ..Stage2Attrs::RAM
            };
            // Half of the pages by the short way, which is open where a table has no such page.
            let desc = Stage2Desc::leaf(level, Pa::new(pa), &attrs, tag);
            let own = if table.is_wide() {
                desc.with_sh(Shareability::Non)
            } else {
                desc
            };
            let is_filled = level == Level::THREE && tag & 1 != 0 && {
                let has_table = model.has_page_near(ia);
                let is_open = !table.is_wide() && has_table && output(table, ia, machine).is_none();
                assert_eq!(table.fill_page(ia, desc, machine), is_open);
                is_open
            };
            if !is_filled {
                table.map_leaf(ia, Pa::new(pa), level, &attrs, tag, machine).unwrap();
            }
            model.map(ia, level, own);
        }
        Op::UnmapLeaves { ia, size } => {
            assert_eq!(table.unmap_leaves(ia, size, machine), model.unmap(ia, size));
        }
        Op::UnmapRange { ia, size } => {
            for at in [ia, ia + size] {
                model.split(at, |start, _| start == at);
            }
            assert_eq!(table.unmap_range(ia, size, machine).unwrap(), model.unmap(ia, size));
        }
        Op::UnmapAll => {
            assert_eq!(table.unmap_all(machine), model.unmap(0, 1 << 52));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn table_is_the_set_of_leaves_that_the_operations_say((is_wide, ops) in prop_oneof![ops(false), ops(true)]) {
        let mut machine = Machine::new(usize::MAX);
        let mut table = Stage2Table::new(&mut machine).unwrap();
        if is_wide {
            table.make_wide(Some(Shareability::Outer));
            machine.arena.set_wide(table.root(), true);
        }
        let start = table.start_level();
        let mut model = Model::default();
        for op in &ops {
            apply(op, &mut table, &mut machine, &mut model);
            machine.tlb.assert_fresh(&table.config(), &machine);
            machine.tlb.fill(&table.config(), &machine.arena);
            prop_assert_eq!(table.mapped_bytes(), model.bytes());
            prop_assert_eq!(table.table_pages(), model.table_pages(start));
            prop_assert_eq!(machine.arena.used() as u64, table.table_pages());
            prop_assert_eq!(table.count_table_pages(&machine), table.table_pages());
            for ia in op.addresses() {
                let ia = Ipa::<L1>::new(ia);
                let mapping = walk(&table.config(), ia, &machine);
                prop_assert_eq!(table.translate(ia, &machine), mapping);
                let tag = mapping.ok().map(|mapping| Stage2Desc::from_raw(mapping.raw).tag());
                prop_assert_eq!(table.tag_at(ia, &machine), tag);
            }
        }
        prop_assert!(Model::of(&table, &machine) == model);
        for level in [Level::ONE, Level::TWO, Level::THREE] {
            let leaves = model.0.values().filter(|&&(of, _)| of == level).count() as u64;
            prop_assert_eq!(table.mapped()[level.index()], leaves * K4.entry_bytes(level));
        }
        table.destroy(&mut machine);
        prop_assert_eq!(machine.arena.used(), 0);
        prop_assert!(machine.tlb.is_empty());
    }

    #[test]
    fn out_of_tables_changes_no_translation(ops in prop::collection::vec(op(false), 1..16), pages in 1usize..8) {
        let mut machine = Machine::new(pages);
        let mut table = Stage2Table::new(&mut machine).unwrap();
        for op in &ops {
            let Op::Map { ia, pa, level, .. } = *op else { continue };
            let before: Vec<_> = [ia, 0, 1 << 30, 1 << 39].map(|ia| output(&table, ia, &machine)).into();
            if table.map_leaf(ia, Pa::new(pa), level, &Stage2Attrs::RAM, 0, &mut machine).is_err() {
                let after: Vec<_> = [ia, 0, 1 << 30, 1 << 39].map(|ia| output(&table, ia, &machine)).into();
                prop_assert_eq!(before, after);
            }
            prop_assert_eq!(machine.arena.used() as u64, table.table_pages());
            prop_assert_eq!(table.table_pages(), Model::of(&table, &machine).table_pages(Level::ZERO));
        }
    }
}

fn output(table: &Stage2Table, ia: u64, machine: &Machine) -> Option<Pa> {
    walk(&table.config(), Ipa::<L1>::new(ia), machine)
        .ok()
        .map(|mapping| mapping.output)
}

#[test]
fn a_range_is_mapped_with_the_largest_leaves_that_fit() {
    let mut machine = Machine::new(100);
    let mut table = Stage2Table::new(&mut machine).unwrap();
    let (ia, size) = (0x3fff_f000, 0x1000 + 0x4000_0000 + 0x20_0000 + 0x2000);
    table
        .map_range(ia, Pa::new(ia), size, &Stage2Attrs::RAM, &mut machine)
        .unwrap();
    assert_eq!(table.mapped(), [0, 0x4000_0000, 0x20_0000, 0x3000]);
    for at in [ia, 0x4000_0000, 0x7fff_ffff, 0x8000_0000, ia + size - 1] {
        assert_eq!(output(&table, at, &machine), Some(Pa::new(at)));
    }
    assert_eq!(output(&table, ia - 1, &machine), None);
    assert_eq!(output(&table, ia + size, &machine), None);
}

#[test]
fn congruence_limits_the_leaf_size_of_a_range() {
    let mut machine = Machine::new(100);
    let mut table = Stage2Table::new(&mut machine).unwrap();
    table
        .map_range(
            0x4000_0000,
            Pa::new(0x4020_0000),
            0x40_0000,
            &Stage2Attrs::RAM,
            &mut machine,
        )
        .unwrap();
    assert_eq!(table.mapped(), [0, 0, 0x40_0000, 0]);
}

#[test]
fn mapping_the_same_again_costs_no_invalidation() {
    let mut machine = Machine::new(100);
    let mut table = Stage2Table::new(&mut machine).unwrap();
    for _ in 0..2 {
        table
            .map_leaf(
                0x1000,
                Pa::new(0x5000),
                Level::THREE,
                &Stage2Attrs::RAM,
                3,
                &mut machine,
            )
            .unwrap();
    }
    assert!(machine.arena.invalidations.is_empty());
}

#[test]
fn widening_permissions_is_one_invalidation_of_one_leaf() {
    let mut machine = Machine::new(100);
    let mut table = Stage2Table::new(&mut machine).unwrap();
    for perms in [READ_ONLY, Perms::ALL] {
        let attrs = Stage2Attrs {
            perms,
            ..Stage2Attrs::RAM
        };
        table
            .map_leaf(0x1000, Pa::new(0x5000), Level::THREE, &attrs, 0, &mut machine)
            .unwrap();
    }
    assert_eq!(machine.arena.invalidations, [(0x1000, 0x1000, Level::THREE)]);
}

#[test]
fn unmapping_costs_what_is_mapped() {
    /// Counts reads.
    struct Counting(Machine, core::cell::Cell<u64>);
    impl ReadTable<Phys> for Counting {
        fn read(&self, at: Pa) -> Result<u64, Unreadable> {
            self.1.set(self.1.get() + 1);
            self.0.read(at)
        }
    }
    impl TableMemory for Counting {
        fn write(&mut self, at: Pa, desc: u64) {
            self.0.write(at, desc);
        }
        fn alloc_table(&mut self) -> Option<Pa> {
            self.0.alloc_table()
        }
        fn free_table(&mut self, at: Pa) {
            self.0.free_table(at);
        }
    }
    impl Stage2Tlb for Counting {
        fn invalidate(&mut self, ia: u64, size: u64, level: Level) {
            self.0.invalidate(ia, size, level);
        }
        fn invalidate_all(&mut self) {
            self.0.invalidate_all();
        }
    }

    let mut env = Counting(Machine::new(100), core::cell::Cell::new(0));
    let mut table = Stage2Table::new(&mut env).unwrap();
    for whole in [true, false] {
        for page in [3, 200, 511] {
            let ia = 0x7fc0_0000 + page * 0x1000;
            table
                .map_leaf(ia, Pa::new(ia), Level::THREE, &Stage2Attrs::RAM, 3, &mut env)
                .unwrap();
        }
        env.1.set(0);
        let bytes = if whole {
            table.unmap_all(&mut env)
        } else {
            table.unmap_leaves(0, 1 << 48, &mut env)
        };
        assert_eq!(bytes, 0x3000);
        assert!(env.1.get() < 600, "{} reads for three pages", env.1.get());
        assert_eq!(table.table_pages(), 1);
    }
}

#[test]
fn unmapping_nothing_invalidates_nothing() {
    let mut machine = Machine::new(100);
    let mut table = Stage2Table::new(&mut machine).unwrap();
    assert_eq!(table.unmap_leaves(0, u64::MAX, &mut machine), 0);
    assert_eq!(table.unmap_leaves(1 << 48, 0x1000, &mut machine), 0);
    assert_eq!(table.unmap_leaves(0x1000, 0, &mut machine), 0);
    assert!(machine.arena.invalidations.is_empty());
}

#[test]
fn unmapping_everything_invalidates_even_if_nothing_is_mapped() {
    let mut machine = Machine::new(100);
    let mut table = Stage2Table::new(&mut machine).unwrap();
    table.unmap_all(&mut machine);
    assert_eq!(machine.arena.invalidations, [(0, 1 << 48, Level::THREE)]);
}

#[test]
fn removing_whole_tables_changes_the_generation() {
    let mut arena = Arena::new(16);
    let mut table = Stage2Table::new(&mut arena).unwrap();
    let map = |table: &mut Stage2Table, arena: &mut Arena| {
        table
            .map_range(0x4000_0000, Pa::new(0x8000_0000), 0x3000, &Stage2Attrs::RAM, arena)
            .unwrap();
        table.generation()
    };
    let before = map(&mut table, &mut arena);
    table.unmap_leaves(0x4000_0000, 1 << 30, &mut arena);
    assert_ne!(table.generation(), before);
    let before = map(&mut table, &mut arena);
    table.unmap_all(&mut arena);
    assert_ne!(table.generation(), before);
    table.destroy(&mut arena);
}
