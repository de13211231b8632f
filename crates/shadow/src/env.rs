//! What the image supplies.

use vmsa::{
    Addr, Ipa, L1, Level, Pa, Phys, ReadTable, Unreadable,
    stage2::{RawLeaf, Stage2Fault, Stage2Tlb, TableMemory},
};

/// The world outside: memory for our tables (its supertrait), L1's memory, the host stage 2, and
/// TLB instructions.
pub trait ShadowEnv: TableMemory {
    /// The eight bytes of L1's memory at `at`, a multiple of 8, as a little-endian number, with one
    /// 64-bit load.
    ///
    /// # Errors
    ///
    /// `Unreadable` where the host stage 2 maps no RAM for L1. Whatever L1 puts into its tables,
    /// this must never read memory that L1 may not.
    fn read_l1(&self, at: Ipa<L1>) -> Result<u64, Unreadable>;

    /// [`read_l1`](Self::read_l1) for a walk, which reads several.
    fn l1_tables(&self) -> impl ReadTable<L1> + Copy {
        GuestTables(self)
    }

    /// Replaces the eight bytes at `at` if they are still `old`, atomically with respect to all
    /// CPUs (both little-endian numbers). Returns whether they were.
    ///
    /// # Errors
    ///
    /// `Unreadable` where L1 has no RAM it may write.
    fn compare_exchange_l1(&mut self, at: Ipa<L1>, old: u64, new: u64) -> Result<bool, Unreadable>;

    /// Translates by the host stage 2.
    ///
    /// # Errors
    ///
    /// The fault an access of L1's would take.
    fn host_leaf(&self, at: Ipa<L1>) -> Result<RawLeaf<Phys>, Stage2Fault>;

    /// Invalidates on all CPUs what was cached under the VMID of `vttbr`, the physical `VTTBR_EL2`
    /// value of a shadow, for `[ia, ia + size)`. As [`Stage2Tlb::invalidate`].
    fn invalidate_ipa(&mut self, vttbr: u64, ia: u64, size: u64, level: Level);

    /// Invalidates on all CPUs everything cached under the VMID of `vttbr`. As
    /// [`Stage2Tlb::invalidate_all`].
    fn invalidate_vmid(&mut self, vttbr: u64);
}

/// The environment as one shadow's table sees it: TLB maintenance goes to that shadow's VMID.
pub(crate) struct Scoped<'a, E> {
    pub(crate) env: &'a mut E,
    pub(crate) vttbr: u64,
}

impl<E: ShadowEnv> ReadTable<Phys> for Scoped<'_, E> {
    fn read(&self, at: Pa) -> Result<u64, Unreadable> {
        self.env.read(at)
    }
}

impl<E: ShadowEnv> TableMemory for Scoped<'_, E> {
    fn write(&mut self, at: Pa, desc: u64) {
        self.env.write(at, desc);
    }

    fn note(&mut self, at: Pa, word: u64) {
        self.env.note(at, word);
    }

    fn alloc_table(&mut self) -> Option<Pa> {
        self.env.alloc_table()
    }

    fn free_table(&mut self, at: Pa) {
        self.env.free_table(at);
    }
}

impl<E: ShadowEnv> Stage2Tlb for Scoped<'_, E> {
    fn invalidate(&mut self, ia: u64, size: u64, level: Level) {
        self.env.invalidate_ipa(self.vttbr, ia, size, level);
    }

    fn invalidate_all(&mut self) {
        self.env.invalidate_vmid(self.vttbr);
    }
}

/// L1's memory as the walker of its tables reads it.
pub(crate) struct GuestTables<'a, E: ?Sized>(pub(crate) &'a E);

impl<E: ?Sized> Clone for GuestTables<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: ?Sized> Copy for GuestTables<'_, E> {}

impl<E: ShadowEnv + ?Sized> ReadTable<L1> for GuestTables<'_, E> {
    #[inline(always)]
    fn read(&self, at: Addr<L1>) -> Result<u64, Unreadable> {
        self.0.read_l1(at)
    }
}
