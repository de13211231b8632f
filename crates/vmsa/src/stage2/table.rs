//! Stage-2 tables of our own: the host stage 2 and the shadows.
//!
//! Always 4 KiB granule, 48-bit IPA, start at level 0 with one root page, descriptors in the `FEAT_S2FWB` form; unless
//! it is [wide](Stage2Table::make_wide). A table page belongs to exactly one [`Stage2Table`], which counts its pages
//! and the bytes it maps at each level.
//!
//! The value owns its pages but holds no reference to memory: every operation is given the memory
//! and the TLB ([`Stage2Env`]). Dropping it without [`destroy`](Stage2Table::destroy) leaks the
//! pages. Callers hold the lock that serialises all software changes; hardware walks run
//! concurrently and see only states that break-before-make allows.

use super::{
    attrs::{Shareability, Stage2Attrs},
    config::Stage2Config,
    desc::Stage2Desc,
    occupancy::{ENTRIES, TableRef},
    slot::{Place, Slot, Stage2Env, TableMemory, Valid, index_of},
};
use crate::{AddressField, Granule, Level, Pa, Phys, ReadTable};
use core::fmt;

/// No page could be had for a table. What was asked for has not been done, and nothing is half
/// done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfTables;

impl fmt::Display for OutOfTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory for page tables")
    }
}

impl core::error::Error for OutOfTables {}

/// A stage-2 translation table of our own.
#[derive(Debug)]
pub struct Stage2Table {
    /// The root, with its occupancy, as if a descriptor pointed to it.
    pub(super) root: Stage2Desc,
    pub(super) table_pages: u64,
    pub(super) mapped: [u64; 4],
    /// Changes of what is mapped so far.
    pub(super) generation: u64,
    /// Whether it is wide, and the shareability of all that it maps then.
    pub(super) is_wide: bool,
    pub(super) sh: Shareability,
}

/// Who holds the descriptor of a table, with its occupancy.
#[derive(Clone, Copy)]
pub(super) enum Holder {
    Root,
    Entry(Pa),
}

impl Stage2Table {
    /// The input address size, in bits: `VTCR_EL2.T0SZ` = 16.
    pub const IPA_BITS: u32 = 48;
    /// The same of one that is wide: `VTCR_EL2.T0SZ` = 12.
    pub const IPA_BITS_WIDE: u32 = 52;

    /// An empty table.
    ///
    /// # Errors
    ///
    /// `OutOfTables` when there is no page for the root.
    pub fn new(mem: &mut impl TableMemory) -> Result<Self, OutOfTables> {
        let root = mem.alloc_root().ok_or(OutOfTables)?;
        Ok(Self {
            root: TableRef::empty(root).desc(),
            table_pages: 1,
            mapped: [0; 4],
            generation: 0,
            is_wide: false,
            sh: Shareability::Non,
        })
    }

    /// The root page: `VTTBR_EL2.BADDR`.
    #[must_use]
    pub fn root(&self) -> Pa {
        self.root_ref().page()
    }

    /// How to walk these tables.
    #[must_use]
    pub fn config(&self) -> Stage2Config {
        Stage2Config {
            granule: Granule::K4,
            field: if self.is_wide() {
                AddressField::Lpa2
            } else {
                AddressField::Bits48
            },
            ipa_bits: self.ipa_bits(),
            start_level: self.start_level(),
            root: self.root().bits(),
            oa_bits: 48,
            sh: self.sh,
            hardware_af: false,
            big_endian: false,
            fwb: true,
        }
    }

    /// The number of table pages, the root included.
    #[must_use]
    pub fn table_pages(&self) -> u64 {
        self.table_pages
    }

    /// A number that differs whenever what is mapped, or how, has changed in between.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The bytes mapped by leaves of each level.
    #[must_use]
    pub fn mapped(&self) -> [u64; 4] {
        self.mapped
    }

    /// The bytes mapped altogether.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.mapped.iter().sum()
    }

    /// Maps the leaf of `level` (1 to 3) around `ia` to the one around `pa`, whatever was there
    /// before.
    ///
    /// Lower bits of `ia` and `pa` are ignored, so are bits of `ia` from 48 upwards. `tag` (2 bits)
    /// is kept in the leaf for [`Stage2Desc::tag`]. A change of permissions only is made in place,
    /// any other by break-before-make. A table that stood there is freed with all below it. A block
    /// that covers more than the new leaf is split, and the rest of it stays mapped.
    ///
    /// # Errors
    ///
    /// `OutOfTables`; a block may have been split meanwhile, but what is mapped has not changed.
    #[inline]
    pub fn map_leaf(
        &mut self,
        ia: u64,
        pa: Pa,
        level: Level,
        attrs: &Stage2Attrs,
        tag: u8,
        env: &mut impl Stage2Env,
    ) -> Result<(), OutOfTables> {
        self.map_desc(ia, level, Stage2Desc::leaf(level, pa, attrs, tag), env)
    }

    /// [`map_leaf`](Self::map_leaf) with the descriptor at hand.
    ///
    /// # Errors
    ///
    /// As for [`map_leaf`](Self::map_leaf).
    pub fn map_desc(
        &mut self,
        ia: u64,
        level: Level,
        new: Stage2Desc,
        env: &mut impl Stage2Env,
    ) -> Result<(), OutOfTables> {
        debug_assert!(level > Level::ZERO && ia >> self.ipa_bits() == 0);
        let new = if self.is_wide() {
            new.with_sh(Shareability::Non)
        } else {
            new
        };
        let (holder, table) = self.table_for(ia, level, env)?;
        let place = Place::of(table.page(), ia, level);
        match place.read(env) {
            Slot::Vacant(slot) => {
                slot.fill(new, env);
                self.store(holder, self.added(table, index_of(ia, level)), env);
                self.mapped[level.index()] += place.size();
            }
            Slot::Leaf(slot) if slot.desc == new => return Ok(()),
            Slot::Leaf(slot) => slot.change_leaf(new, env),
            Slot::Table(slot, _) => {
                let subtree = TableRef::from_desc(slot.desc);
                let vacant = slot.break_entry(env);
                self.free_subtree(subtree, level.next().unwrap_or(Level::THREE), env);
                vacant.fill(new, env);
                self.mapped[level.index()] += place.size();
            }
        }
        self.generation += 1;
        Ok(())
    }

    /// What [`map_desc`](Self::map_desc) does most often: puts a page where nothing is, into a table that is there. Does
    /// nothing, and says so, if that is not how things are.
    #[inline(always)]
    pub fn fill_page(&mut self, ia: u64, new: Stage2Desc, env: &mut impl Stage2Env) -> bool {
        if self.is_wide() {
            return false;
        }
        let (mut holder, mut table) = (Holder::Root, self.root_ref());
        for level in [Level::ZERO, Level::ONE, Level::TWO] {
            let Slot::Table(slot, _) = Place::of(table.page(), ia, level).read(env) else {
                return false;
            };
            (holder, table) = (Holder::Entry(slot.place.at), TableRef::from_desc(slot.desc));
        }
        let place = Place::of(table.page(), ia, Level::THREE);
        let Slot::Vacant(slot) = place.read(env) else {
            return false;
        };
        slot.fill(new, env);
        self.store(holder, table.with_added(index_of(ia, Level::THREE)), env);
        self.mapped[Level::THREE.index()] += place.size();
        self.generation = self.generation.wrapping_add(1);
        true
    }

    /// Maps `size` bytes from `ia` to those from `pa` with the largest leaves that fit, replacing
    /// what was there.
    ///
    /// All three are multiples of 4 KiB; lower bits are ignored.
    ///
    /// # Errors
    ///
    /// `OutOfTables`; leaves up to the one that lacked a table are mapped. Asking again goes on.
    pub fn map_range(
        &mut self,
        ia: u64,
        pa: Pa,
        size: u64,
        attrs: &Stage2Attrs,
        env: &mut impl Stage2Env,
    ) -> Result<(), OutOfTables> {
        let page = Granule::K4.bytes();
        let (ia, pa, size) = (ia & !(page - 1), pa.align_down(page), size & !(page - 1));
        let mut done = 0;
        while done < size {
            let (from, to) = (ia + done, Pa::new(pa.bits() + done));
            let fits = |level: &Level| {
                let leaf = Granule::K4.entry_bytes(*level);
                (from | to.bits()) & (leaf - 1) == 0 && leaf <= size - done
            };
            let level = [Level::ONE, Level::TWO].into_iter().find(fits).unwrap_or(Level::THREE);
            self.map_leaf(from, to, level, attrs, 0, env)?;
            done += Granule::K4.entry_bytes(level);
        }
        Ok(())
    }

    /// Splits blocks until none reaches across `ia`. What is mapped stays the same.
    ///
    /// # Errors
    ///
    /// `OutOfTables`; larger blocks may have been split into smaller ones that still reach across.
    pub fn split_at(&mut self, ia: u64, env: &mut impl Stage2Env) -> Result<(), OutOfTables> {
        let mut table = self.root();
        let mut level = self.start_level();
        while let Some(next_level) = level.next() {
            table = match Place::of(table, ia, level).read(env) {
                Slot::Vacant(_) => break,
                Slot::Leaf(slot) if slot.place.ia == ia => break,
                Slot::Leaf(slot) => self.split(slot, next_level, env)?.page(),
                Slot::Table(_, next) => next,
            };
            level = next_level;
        }
        Ok(())
    }

    /// Counts the table pages by going over the table: [`table_pages`](Self::table_pages) unless
    /// there is a bug.
    #[must_use]
    pub fn count_table_pages(&self, mem: &impl ReadTable<Phys>) -> u64 {
        count_tables(self.root_ref(), self.start_level(), mem)
    }

    /// Frees all pages, the root included, after invalidating the TLBs.
    #[inline(never)]
    pub fn destroy(mut self, env: &mut impl Stage2Env) {
        self.unmap_all(env);
        env.free_table(self.root());
    }

    pub(super) fn root_ref(&self) -> TableRef {
        TableRef::from_desc(self.root)
    }

    /// The table of `level` that holds the entry for `ia`, created (with all above it) if it is not
    /// there, and who holds its descriptor.
    fn table_for(
        &mut self,
        ia: u64,
        level: Level,
        env: &mut impl Stage2Env,
    ) -> Result<(Holder, TableRef), OutOfTables> {
        let mut found = (Holder::Root, self.root_ref());
        if self.is_wide() {
            found = self.table_below(found, Level::MINUS_ONE, ia, level, env)?;
        }
        found = self.table_below(found, Level::ZERO, ia, level, env)?;
        if level > Level::ONE {
            found = self.table_below(found, Level::ONE, ia, level, env)?;
        }
        if level > Level::TWO {
            found = self.table_below(found, Level::TWO, ia, level, env)?;
        }
        Ok(found)
    }

    /// The table that the entry for `ia` of a table of level `at` leads to, created (with those down to level `bottom`) if
    /// it is not there, and where that entry is.
    // Most often all is there, and that is a few instructions a level.
    #[inline(always)]
    fn table_below(
        &mut self,
        (holder, table): (Holder, TableRef),
        at: Level,
        ia: u64,
        bottom: Level,
        env: &mut impl Stage2Env,
    ) -> Result<(Holder, TableRef), OutOfTables> {
        let place = Place::of(table.page(), ia, at);
        let below = match place.read(env) {
            Slot::Table(slot, _) => TableRef::from_desc(slot.desc),
            _ => self.make_table(place, holder, table, ia, bottom, env)?,
        };
        Ok((Holder::Entry(place.at), below))
    }

    /// Makes the entry for `ia`, at `place` of `table`, lead to a table, and that one to others down to level `bottom`.
    #[cold]
    fn make_table(
        &mut self,
        place: Place,
        holder: Holder,
        table: TableRef,
        ia: u64,
        bottom: Level,
        env: &mut impl Stage2Env,
    ) -> Result<TableRef, OutOfTables> {
        // There are no tables below level 3.
        let top = place.level.next().unwrap_or(Level::THREE);
        match place.read(env) {
            Slot::Table(slot, _) => Ok(TableRef::from_desc(slot.desc)),
            Slot::Leaf(slot) => self.split(slot, top, env),
            Slot::Vacant(slot) => {
                let chain = self.new_chain(ia, top, bottom, env)?;
                slot.fill(chain.desc(), env);
                self.store(holder, self.added(table, index_of(ia, place.level)), env);
                Ok(chain)
            }
        }
    }

    /// New tables from level `top` to level `bottom` for `ia`, each linked to the next, the last
    /// one empty. All or none, so that failure leaves no empty table behind.
    fn new_chain(
        &mut self,
        ia: u64,
        top: Level,
        bottom: Level,
        env: &mut impl Stage2Env,
    ) -> Result<TableRef, OutOfTables> {
        let page = env.alloc_table().ok_or(OutOfTables)?;
        let mut table = TableRef::empty(page);
        if let Some(next_level) = top.next().filter(|_| top < bottom) {
            // Three more calls at most.
            let Ok(next) = self.new_chain(ia, next_level, bottom, env) else {
                env.free_table(page);
                return Err(OutOfTables);
            };
            env.write(Place::of(page, ia, top).at, next.desc().raw());
            table = self.added(table, index_of(ia, top));
        }
        self.table_pages += 1;
        Ok(table)
    }

    /// Replaces a block by a table of `child` level that maps the same.
    fn split(&mut self, slot: Valid, child: Level, env: &mut impl Stage2Env) -> Result<TableRef, OutOfTables> {
        let page = env.alloc_table().ok_or(OutOfTables)?;
        for index in 0..ENTRIES {
            env.write(
                Pa::new(page.bits() + 8 * index),
                slot.desc.split_piece(child, index).raw(),
            );
        }
        let (size, level) = (slot.place.size(), slot.place.level);
        let table = TableRef::full(page);
        slot.break_entry(env).fill(table.desc(), env);
        self.table_pages += 1;
        self.generation += 1;
        self.mapped[level.index()] -= size;
        self.mapped[child.index()] += size;
        Ok(table)
    }

    /// Notes a changed occupancy.
    pub(super) fn store(&mut self, holder: Holder, table: TableRef, mem: &mut impl TableMemory) {
        match holder {
            Holder::Root => self.root = table.desc(),
            Holder::Entry(at) => mem.write(at, table.desc().raw()),
        }
    }

    /// Frees a table of `level` that nothing refers to any more, and all below it. Returns the
    /// bytes it mapped.
    #[inline(never)]
    pub(super) fn free_subtree(&mut self, table: TableRef, level: Level, mem: &mut impl TableMemory) -> u64 {
        let bytes = match level.next() {
            Some(below) => self.free_entries(table, level, below, mem),
            None => self.forget_pages(table, mem),
        };
        mem.free_table(table.page());
        self.table_pages = self.table_pages.wrapping_sub(1);
        bytes
    }

    /// The entries of a table of `level` are no more: frees the tables `below`. Returns the bytes they mapped.
    fn free_entries(&mut self, table: TableRef, level: Level, below: Level, mem: &mut impl TableMemory) -> u64 {
        let mut bytes: u64 = 0;
        let mut entries = table.entries();
        while let Some((index, desc)) = entries.next(mem) {
            let place = Place::of(table.page(), index << Granule::K4.entry_shift(level), level);
            match place.classify(desc) {
                // Three more calls at most.
                Slot::Table(slot, _) => {
                    bytes = bytes.wrapping_add(self.free_subtree(TableRef::from_desc(slot.desc), below, mem));
                }
                Slot::Leaf(slot) => {
                    let size = slot.place.size();
                    self.generation += 1;
                    self.mapped[level.index()] -= size;
                    bytes += size;
                }
                Slot::Vacant(_) => {}
            }
        }
        bytes
    }

    /// The entries of a table of level 3 are no more. They are all leaves, and their number is known. Returns the bytes
    /// they mapped.
    fn forget_pages(&mut self, table: TableRef, mem: &impl ReadTable<Phys>) -> u64 {
        let count = if self.is_wide() {
            Self::counted(table, mem)
        } else {
            table.count()
        };
        let bytes = count * Granule::K4.bytes();
        let mapped = &mut self.mapped[Level::THREE.index()];
        // What is counted is there.
        *mapped = mapped.wrapping_sub(bytes);
        self.generation = self.generation.wrapping_add(count);
        bytes
    }
}

/// The pages of a table of `level` and all below it, trusting no count.
fn count_tables(table: TableRef, level: Level, mem: &impl ReadTable<Phys>) -> u64 {
    let Some(next) = level.next() else { return 1 };
    let below = (0..ENTRIES).map(|index| {
        let ia = index << Granule::K4.entry_shift(level);
        match Place::of(table.page(), ia, level).read(mem) {
            // Four more calls at most.
            Slot::Table(slot, _) => count_tables(TableRef::from_desc(slot.desc), next, mem),
            _ => 0,
        }
    });
    1 + below.sum::<u64>()
}
