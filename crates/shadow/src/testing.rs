//! A world for the pool to live in: table memory, L1's memory and tables, a host stage 2, and TLBs
//! that cache all.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use crate::{
    Access, DirtyLog, FaultAction, FaultKind, GuestStage2, Lock, Locks, Rank, ShadowEnv, ShadowFault, ShadowKey, SlotId,
};
use core::ops::{Deref, DerefMut};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync, thread,
};
use vmsa::{
    Granule, Ipa, L1, Level, Pa, Phys, ReadTable, Unreadable,
    stage2::{Mapping, PIECE_PAGES, RawLeaf, Stage2Attrs, Stage2Fault, Stage2Table, Stage2Tlb, TableMemory, walk},
    testing::{Arena, LIMITS, Tlb, Words, vtcr},
};

/// The granule of most tables.
pub const K4: Granule = Granule::K4;

/// Valid, all permissions, Access flag, memory as stage 1 says (with FWB).
pub const BLOCK: u64 = 1 | 0b0111 << 2 | 0b11 << 6 | 0b11 << 8 | AF;
/// The same of a page.
pub const PAGE: u64 = BLOCK | 2;
/// The Access flag.
pub const AF: u64 = 1 << 10;
/// Writes are allowed.
pub const WRITE: u64 = 1 << 7;

/// An L1 on a machine with all granules.
pub const GUEST: GuestStage2 = GuestStage2 { limits: LIMITS };

/// A pool whose locks are checked.
pub type ShadowPool<const N: usize> = crate::ShadowPool<Checked, N>;

/// Locks that panic when a thread takes them in another order than that of [`Rank`], or when more pages are freed under one
/// hold of a shadow's than a piece has.
#[derive(Debug)]
pub struct Checked;

std::thread_local! {
    static TAKEN: RefCell<std::vec::Vec<Rank>> = const { RefCell::new(std::vec::Vec::new()) };
    /// Pages that were freed since a shadow was locked.
    static FREED: Cell<u64> = const { Cell::new(0) };
}

impl Locks for Checked {
    type Of<T> = CheckedLock<T>;
}

/// One of the locks.
#[derive(Debug)]
pub struct CheckedLock<T> {
    rank: Rank,
    value: sync::Mutex<T>,
}

/// The value, for as long as this lives.
#[derive(Debug)]
pub struct CheckedGuard<'a, T> {
    rank: Rank,
    value: sync::MutexGuard<'a, T>,
}

impl<T> Lock<T> for CheckedLock<T> {
    type Guard<'a>
        = CheckedGuard<'a, T>
    where
        T: 'a;

    fn new(value: T, rank: Rank) -> Self {
        let value = sync::Mutex::new(value);
        Self { rank, value }
    }

    fn lock(&self) -> CheckedGuard<'_, T> {
        TAKEN.with_borrow_mut(|taken| {
            let last = taken.iter().max();
            assert!(last < Some(&self.rank), "{:?} is taken after {last:?}", self.rank);
            taken.push(self.rank);
        });
        let (rank, value) = (self.rank, self.value.lock().unwrap());
        FREED.set(0);
        CheckedGuard { rank, value }
    }

    fn try_lock(&self) -> Option<CheckedGuard<'_, T>> {
        let value = self.value.try_lock().ok()?;
        TAKEN.with_borrow_mut(|taken| taken.push(self.rank));
        let rank = self.rank;
        Some(CheckedGuard { rank, value })
    }
}

impl<T> Drop for CheckedGuard<'_, T> {
    fn drop(&mut self) {
        TAKEN.with_borrow_mut(|taken| taken.retain(|rank| *rank != self.rank));
        // A GiB of pages, and what links them.
        let is_bounded = FREED.get() <= PIECE_PAGES + 2;
        let is_slot = matches!(self.rank, Rank::Slot(_));
        assert!(is_bounded || !is_slot || thread::panicking(), "too much under one hold");
    }
}

impl<T> Deref for CheckedGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for CheckedGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// The environment of the pool.
pub struct World {
    /// What the shadows' tables are in.
    pub arena: Arena,
    /// Pages of it that are for roots.
    pub reserve: usize,
    /// L1's memory.
    pub l1: Words,
    host_arena: Arena,
    /// L1 IPA to PA.
    pub host: Stage2Table,
    /// The TLBs of all CPUs, by VMID.
    pub tlbs: BTreeMap<u64, Tlb>,
    /// VMIDs of the whole-VMID invalidations.
    pub vmid_invalidations: std::vec::Vec<u64>,
    /// Something else changes the descriptor before a compare-and-exchange.
    pub is_raced: bool,
}

impl World {
    /// One with `pages` for tables and nothing else.
    pub fn new(pages: usize) -> Self {
        let mut host_arena = Arena::new(usize::MAX);
        let host = Stage2Table::new(&mut host_arena).unwrap();
        Self {
            arena: Arena::new(pages),
            reserve: 0,
            l1: Words::default(),
            host_arena,
            host,
            tlbs: BTreeMap::new(),
            vmid_invalidations: std::vec::Vec::new(),
            is_raced: false,
        }
    }

    /// One whose host stage 2 maps the first 512 GiB to themselves, with the largest leaves.
    pub fn with_ram(pages: usize) -> Self {
        let mut world = Self::new(pages);
        world.map_host(0, 0, 1 << 39, &Stage2Attrs::RAM);
        world
    }

    /// The memory that the host stage 2's tables are in.
    pub fn host_tables(&self) -> &Arena {
        &self.host_arena
    }

    /// Maps a range in the host stage 2, with the largest leaves that fit.
    pub fn map_host(&mut self, ia: u64, pa: u64, size: u64, attrs: &Stage2Attrs) {
        self.host
            .map_range(ia, Pa::new(pa), size, attrs, &mut self.host_arena)
            .unwrap();
    }

    /// Maps one leaf in the host stage 2.
    pub fn map_host_leaf(&mut self, ia: u64, pa: u64, level: Level, attrs: &Stage2Attrs) {
        self.host
            .map_leaf(ia, Pa::new(pa), level, attrs, 0, &mut self.host_arena)
            .unwrap();
    }

    /// Caches all there is in all shadows.
    pub fn fill_tlbs<const N: usize>(&mut self, pool: &ShadowPool<N>) {
        for (_, shadow) in pool.all().iter() {
            let tlb = self.tlbs.entry(u64::from(shadow.physical_vmid())).or_default();
            tlb.fill(&shadow.table().config(), &self.arena);
        }
    }

    /// Panics if a TLB has what is in no table.
    pub fn assert_fresh<const N: usize>(&self, pool: &ShadowPool<N>) {
        for (_, shadow) in pool.all().iter() {
            if let Some(tlb) = self.tlbs.get(&u64::from(shadow.physical_vmid())) {
                tlb.assert_fresh(&shadow.table().config(), &self.arena);
            }
        }
        let all = pool.all();
        let pages = all.table_pages() + all.dirty_log().map_or(0, DirtyLog::frames);
        assert_eq!(
            pages,
            self.arena.used() as u64,
            "pages belong to the shadows and the log"
        );
    }

    /// What the shadow makes of `ipa`.
    pub fn shadow_of<const N: usize>(&self, pool: &ShadowPool<N>, slot: SlotId, ipa: u64) -> Option<Mapping<Phys>> {
        let config = pool.with(slot, |shadow| shadow.table().config())?;
        walk(&config, Ipa::<vmsa::L2>::new(ipa), &self.arena).ok()
    }
}

impl World {
    /// Has the memory know at which level the shadow in `slot` starts.
    pub fn note_start<const N: usize>(&mut self, pool: &ShadowPool<N>, slot: SlotId) {
        if let Some(config) = pool.with(slot, |shadow| shadow.table().config()) {
            let is_wide = config.start_level < Level::ZERO;
            self.arena.set_wide(Pa::new(config.root), is_wide);
        }
    }
}

impl ReadTable<Phys> for World {
    fn read(&self, at: Pa) -> Result<u64, Unreadable> {
        self.arena.read(at)
    }
}

impl TableMemory for World {
    fn write(&mut self, at: Pa, desc: u64) {
        self.arena.write(at, desc);
    }

    fn note(&mut self, at: Pa, word: u64) {
        self.arena.note(at, word);
    }

    fn alloc_table(&mut self) -> Option<Pa> {
        let is_left = self.arena.available() > self.reserve;
        is_left.then(|| self.arena.alloc_table())?
    }

    fn alloc_root(&mut self) -> Option<Pa> {
        self.arena.alloc_table()
    }

    fn free_table(&mut self, at: Pa) {
        FREED.set(FREED.get() + 1);
        self.arena.free_table(at);
    }
}

impl ShadowEnv for World {
    fn read_l1(&self, at: Ipa<L1>) -> Result<u64, Unreadable> {
        self.l1.get(at.bits())
    }

    fn compare_exchange_l1(&mut self, at: Ipa<L1>, old: u64, new: u64) -> Result<bool, Unreadable> {
        if self.is_raced {
            self.l1.set(at.bits(), 0);
        }
        let is_same = self.l1.get(at.bits())? == old;
        if is_same {
            self.l1.set(at.bits(), new);
        }
        Ok(is_same)
    }

    fn host_leaf(&self, at: Ipa<L1>) -> Result<RawLeaf<Phys>, Stage2Fault> {
        self.host.translate_to_leaf(at, &self.host_arena)
    }

    fn invalidate_ipa(&mut self, vttbr: u64, ia: u64, size: u64, level: Level) {
        self.arena.synced(root_of(vttbr), Some((ia, size)));
        self.tlbs.entry(vttbr >> 48).or_default().invalidate(ia, size, level);
    }

    fn invalidate_vmid(&mut self, vttbr: u64) {
        self.arena.synced(root_of(vttbr), None);
        self.tlbs.entry(vttbr >> 48).or_default().invalidate_all();
        self.vmid_invalidations.push(vttbr >> 48);
    }
}

fn root_of(vttbr: u64) -> u64 {
    vttbr & 0xffff_ffff_f000
}

/// A stage 2 that L1 builds, in memory from `root` on.
#[derive(Clone, Copy)]
pub struct GuestTables {
    /// Their granule.
    pub granule: Granule,
    /// The guest's VMID.
    pub vmid: u16,
    /// Where they begin.
    pub root: u64,
    next: u64,
    /// More bits of `VTCR_EL2`.
    pub vtcr_bits: u64,
    /// Whether addresses have 52 bits.
    pub is_large: bool,
    /// L1's byte order.
    pub big_endian: bool,
}

/// `VTCR_EL2.DS`
const DS: u64 = 1 << 32;

impl GuestTables {
    /// Empty ones.
    pub fn new(granule: Granule, vmid: u16, root: u64, world: &mut World) -> Self {
        world.l1.add(root, 0x1_0000);
        Self {
            granule,
            vmid,
            root,
            next: root + 0x1_0000,
            vtcr_bits: 0,
            is_large: false,
            big_endian: false,
        }
    }

    fn start_level(self) -> Level {
        let start = if self.granule == K4 { Level::ZERO } else { Level::ONE };
        match start.previous() {
            Some(above) if self.is_large && self.granule != Granule::K64 => above,
            _ => start,
        }
    }

    /// What L1 has in its registers.
    #[must_use]
    pub fn key(self) -> ShadowKey {
        const PS: u64 = 0b111 << 16;
        const PS_52_BITS: u64 = 0b110 << 16;
        let start = self.start_level().get();
        let vtcr = if self.is_large {
            vtcr(self.granule, 52, start) & !PS | PS_52_BITS | DS
        } else {
            vtcr(self.granule, 48, start)
        };
        let vtcr = vtcr | self.vtcr_bits;
        ShadowKey::new(u64::from(self.vmid) << 48 | self.root, vtcr, true)
    }

    /// How L1 reads them.
    #[must_use]
    pub fn guest(self) -> GuestStage2 {
        let limits = vmsa::stage2::Stage2Limits {
            big_endian: self.big_endian,
            ..LIMITS.with_lpa2(self.is_large)
        };
        GuestStage2 { limits }
    }

    fn stored(self, desc: u64) -> u64 {
        if self.big_endian { desc.swap_bytes() } else { desc }
    }

    /// Where the entry for `ia` at `level` is, with tables made on the way.
    pub fn entry(&mut self, ia: u64, level: Level, world: &mut World) -> u64 {
        let mut table = self.root;
        let mut at = self.start_level();
        loop {
            let index = ia >> self.granule.entry_shift(at) & ((1 << self.granule.stride()) - 1);
            let entry = table + 8 * index;
            if at == level {
                return entry;
            }
            let mut desc = self.stored(world.l1.get(entry).unwrap());
            if desc == 0 {
                desc = self.next | 3;
                world.l1.add(self.next, 0x1_0000);
                world.l1.set(entry, self.stored(desc));
                self.next += 0x1_0000;
            }
            assert_eq!(desc & 3, 3, "a leaf in the way");
            table = desc & 0xffff_ffff_f000;
            at = at.next().unwrap();
        }
    }

    /// Maps the leaf at `level`. `attributes` are those of a block.
    pub fn map(&mut self, ia: u64, output: u64, level: Level, attributes: u64, world: &mut World) {
        // Where there are bits of an address for it, there is no shareability.
        let has_sh = !self.is_large || self.granule == Granule::K64;
        let attributes = if has_sh { attributes } else { attributes & !(0b11 << 8) };
        let entry = self.entry(ia, level, world);
        let kind = if level == Level::THREE { 2 } else { 0 };
        world.l1.set(entry, self.stored(output | attributes | kind));
    }

    /// Unmaps the leaf at `level`.
    pub fn unmap(&mut self, ia: u64, level: Level, world: &mut World) {
        let entry = self.entry(ia, level, world);
        world.l1.set(entry, 0);
    }
}

/// A fault of L2.
pub fn fault(ipa: u64, access: Access) -> ShadowFault {
    ShadowFault {
        ipa: Ipa::new(ipa),
        access,
        kind: FaultKind::Translation,
        is_s1ptw: false,
    }
}

/// L2 touches `ipa`.
pub fn touch<const N: usize>(
    pool: &ShadowPool<N>,
    slot: SlotId,
    ipa: u64,
    access: Access,
    world: &mut World,
) -> FaultAction {
    pool.handle_fault(slot, &fault(ipa, access), &GUEST, world)
}

/// What each of [`guests`] has mapped.
pub const IPA: u64 = 0x4000_0000;

/// Guests with the VMIDs 0 and on, each of which has one page.
pub fn guests(count: u16, world: &mut World) -> std::vec::Vec<GuestTables> {
    (0..count)
        .map(|n| {
            let root = 0x1000_0000 + 0x100_0000 * u64::from(n);
            let mut tables = GuestTables::new(K4, n, root, world);
            let output = 0x8000_0000 + 0x1000 * u64::from(n);
            tables.map(IPA, output, Level::THREE, BLOCK, world);
            tables
        })
        .collect()
}

/// Has the shadow in `slot` filled with that page, and TLBs with the shadow.
pub fn fill<const N: usize>(pool: &ShadowPool<N>, slot: SlotId, world: &mut World) {
    assert_eq!(touch(pool, slot, IPA, Access::Read, world), FaultAction::Retry);
    world.fill_tlbs(pool);
}
