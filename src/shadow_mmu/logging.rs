//! Splitting the host stage 2, write-protecting it, and putting it back, while L1 runs on it.
//!
//! The unit is a *part*: 2 MiB of L1's RAM, or less at the end of a bank. A part is changed under one hold of all locks,
//! and everything larger is the console's to do part by part. While an entry is exchanged (break-before-make), L1 may fault
//! on it: such a fault waits for the host table's, finds the entry there, and goes on ([`is_there`]).

use core::ops::Range;

use shadow::PART_BYTES;
use vmsa::{
    Granule, Ipa, L1, Level, Pa,
    stage2::{OutOfTables, Stage2Attrs},
};

use super::{AllTables, OwnTable};
use crate::{nested::l2_page, vcpu::VCpu};

/// The size of the largest leaves of the host stage 2.
const LARGEST_BYTES: u64 = 1 << 30;

impl AllTables {
    /// The part of L1's RAM that begins at the first address from `from` on and below `end`.
    pub fn next_part(&self, from: u64, end: u64) -> Option<Range<u64>> {
        let banks = self.mmu.ram.iter().filter(|bank| bank.end > from);
        let bank = banks.min_by_key(|bank| bank.start)?;
        let start = from.max(bank.start);
        let next = (start / PART_BYTES + 1) * PART_BYTES;
        (start < end).then_some(start..next.min(bank.end))
    }

    /// Splits the host's leaves of a part into pages.
    pub fn split_part(&mut self, part: &Range<u64>) -> Result<(), OutOfTables> {
        let mut env = self.live();
        // No block reaches across the second page, so what was one is pages now, all of it.
        self.host.split_at(part.start + Granule::K4.bytes(), &mut env)
    }

    /// Makes a part read-only for everybody, and logs it from now on. The writable leaves that shadows have are for
    /// [`shadow::ShadowPool::cut`].
    pub fn log_part(&mut self, part: &Range<u64>) -> Result<(), OutOfTables> {
        let mut read_only = Stage2Attrs::RAM;
        read_only.perms.write = false;
        self.map_part(part, &read_only)?;
        self.split_part(part)?;
        l2_page::close_all();
        self.with_shadows(|shadows, env| shadows.log_part(Ipa::new(part.start), env))
    }

    /// Ends logging a part, and makes it what it was: writable, and of the largest leaves that the bank allows.
    pub fn restore_part(&mut self, part: &Range<u64>) -> Result<(), OutOfTables> {
        self.map_part(part, &Stage2Attrs::RAM)?;
        self.with_shadows(|shadows, env| shadows.unlog_part(Ipa::new(part.start), env));
        let is_last = part.end.is_multiple_of(LARGEST_BYTES);
        let first = part.end.saturating_sub(LARGEST_BYTES);
        let is_whole = self
            .mmu
            .ram
            .iter()
            .any(|bank| bank.start <= first && part.end <= bank.end);
        if is_last && is_whole {
            let mut env = self.live();
            let pa = Pa::new(first);
            self.host
                .map_leaf(first, pa, Level::ONE, &Stage2Attrs::RAM, 0, &mut env)?;
        }
        Ok(())
    }

    /// Forgets who has written the page at `l1`, and lets nobody write it in silence.
    pub fn forget_writers(&mut self, l1: Ipa<L1>) {
        let mut read_only = Stage2Attrs::RAM;
        read_only.perms.write = false;
        let mut env = self.live();
        let page = l1.align_down(Granule::K4.bytes()).bits();
        // The page is a leaf already: no table is needed.
        let _ = self
            .host
            .map_leaf(page, Pa::new(page), Level::THREE, &read_only, 0, &mut env);
        l2_page::close_all();
        self.with_shadows(|shadows, env| shadows.forget_writers(l1, env));
    }

    fn map_part(&mut self, part: &Range<u64>, attrs: &Stage2Attrs) -> Result<(), OutOfTables> {
        let mut env = self.live();
        let size = part.end - part.start;
        self.host
            .map_range(part.start, Pa::new(part.start), size, attrs, &mut env)
    }

    fn live(&self) -> OwnTable {
        OwnTable {
            vttbr: Some(self.mmu.host_vttbr()),
        }
    }
}

/// L1 faults on a write to `ipa`, which the host stage 2 allows to read. Says whether that was because it is logged; then it
/// is noted, and allowed.
pub fn write_by_l1(vcpu: &VCpu, ipa: u64) -> bool {
    if !vcpu.vm.mmu.is_logging() {
        return false;
    }
    let mut mmu = vcpu.vm.mmu.lock();
    let is_logged = mmu.with_shadows(|shadows, env| shadows.write_by_l1(Ipa::new(ipa), env));
    if is_logged {
        let page = ipa & !(Granule::K4.bytes() - 1);
        let mut env = mmu.live();
        // The page is a leaf already: no table is needed.
        let _ = mmu
            .host
            .map_leaf(page, Pa::new(page), Level::THREE, &Stage2Attrs::RAM, 0, &mut env);
    }
    is_logged
}

/// Whether the host stage 2 maps `ipa` as RAM of L1's. L1 may have faulted on it all the same, while the entry was
/// exchanged or just before it was allowed to be written.
pub fn is_there(vcpu: &VCpu, ipa: u64) -> bool {
    let mmu = &vcpu.vm.mmu;
    let is_ram = mmu.ram.iter().any(|bank| bank.contains(&ipa));
    is_ram
        && mmu
            .host
            .lock()
            .translate(Ipa::<L1>::new(ipa), &OwnTable::UNUSED)
            .is_ok()
}
