//! Stage 2: the host's table, the shadows, and the locks that order them.
//!
//! What reads L1's tables and fills a shadow, and what invalidates that shadow for L1, happens under the shadow's own lock.
//! That is what makes invariant I4 hold: when a TLBI of L1 has got the lock, no fault is halfway between having read L1's
//! descriptor and having mapped what it said. Guests with different shadows do not wait for each other.
//!
//! The host's table changes only while all shadows are locked, too. So who has locked any of them may walk it.

mod logging;

use alloc::{boxed::Box, vec};
use core::ops::Range;

use shadow::{
    AcquireError, AllShadows, FaultAction, Fill, Finding, GuestStage2, Patience, Shadow, ShadowEnv, ShadowFault,
    ShadowKey, ShadowPool, SlotId, Tlbi,
};
use syndrome::{
    regs::{hcr_el2, sctlr, vtcr_el2},
    vncr,
};
use vmsa::{
    Granule, Ipa, L1, L2, Level, Pa, Phys, ReadTable, Unreadable,
    stage2::{
        OutOfTables, RawLeaf, Stage2Attrs, Stage2Fault, Stage2Limits, Stage2Table, Stage2Tlb, TableMemory, Translator,
    },
};

pub use logging::{is_there, write_by_l1};

use crate::{
    arch::{barrier, sysreg::*, tlbi},
    lock::{Mutex, MutexGuard, Spin},
    mm::{frames, phys},
    vcpu::VCpu,
    vm::Vm,
};

/// Shadows that may exist at once. Their tables come from the frame allocator; slots themselves are cheap.
pub const SHADOWS_MAX: usize = 64;
/// TLBIs of L1's that are remembered, and leaves of shadows by when they were made.
const TLBIS_KEPT: usize = 256;
const FILLS_KEPT: usize = 2048;
static FILLS: [Fill; FILLS_KEPT] = [const { Fill::new() }; FILLS_KEPT];
/// The VMID of the host context; shadows have theirs from [`shadow::FIRST_VMID`] on.
const HOST_VMID: u64 = 1;
const VMID_SHIFT: u64 = 48;

/// L2 IPA to PA, one for each stage 2 that L1 uses.
pub type Shadows = ShadowPool<Spin, SHADOWS_MAX>;

/// Host stage 2 and shadows.
pub struct Mmu {
    /// L1 IPA to PA. Locked before any shadow; changes while these are locked, too.
    pub host: Mutex<Stage2Table>,
    /// For who has locked a shadow.
    translator: Translator,
    /// L2 IPA to PA, one for each stage 2 that L1 uses.
    pub shadows: Box<Shadows>,
    /// L1's RAM.
    ram: &'static phys::Banks,
}

/// Host stage 2 and shadows, all of it locked.
pub struct AllTables {
    /// L1 IPA to PA.
    pub host: MutexGuard<'static, Stage2Table>,
    /// L2 IPA to PA.
    pub shadows: AllShadows<'static, Spin, SHADOWS_MAX>,
    mmu: &'static Mmu,
}

impl Mmu {
    /// Maps L1's machine: its RAM, and the devices that are its own, both at their physical addresses.
    pub fn new(ram: &[Range<u64>], devices: &[Range<u64>]) -> Result<Self, OutOfTables> {
        let mut memory = OwnTable::UNUSED;
        let mut host = Stage2Table::new(&mut memory)?;
        let maps = ram
            .iter()
            .map(|range| (range, Stage2Attrs::RAM))
            .chain(devices.iter().map(|range| (range, Stage2Attrs::DEVICE)));
        for (range, attrs) in maps {
            host.map_range(
                range.start,
                Pa::new(range.start),
                range.end - range.start,
                &attrs,
                &mut memory,
            )?;
        }
        let mut shadows = Box::new(ShadowPool::new());
        shadows.keep_history(Box::leak(vec![Tlbi::default(); TLBIS_KEPT].into_boxed_slice()), &FILLS);
        Ok(Self {
            translator: host.translator(),
            host: Mutex::new(host),
            shadows,
            ram: phys::guest_ram(),
        })
    }

    /// VTTBR_EL2 of the host context.
    pub fn host_vttbr(&self) -> u64 {
        self.translator.root().bits() | HOST_VMID << VMID_SHIFT
    }

    /// VTCR_EL2 of all tables of ours: 48-bit IPA and PA, 4K granule from level 0, 16-bit VMID, write-back walks.
    pub fn vtcr(&self) -> u64 {
        const RES1: u64 = 1 << 31;
        const VS_16_BITS: u64 = 1 << 19;
        const PS_48_BITS: u64 = 5 << 16;
        const INNER_SHAREABLE: u64 = 3 << 12;
        const WRITE_BACK: u64 = 1 << 10 | 1 << 8;
        const SL0_LEVEL0: u64 = 2 << 6;
        let t0sz = 64 - u64::from(Stage2Table::IPA_BITS);
        RES1 | VS_16_BITS | PS_48_BITS | INNER_SHAREABLE | WRITE_BACK | SL0_LEVEL0 | t0sz
    }

    /// Locks all of it.
    #[inline(never)]
    pub fn lock(&'static self) -> AllTables {
        AllTables {
            host: self.host.lock(),
            shadows: self.shadows.all(),
            mmu: self,
        }
    }

    /// Whether writes are logged. That changes while the host's table is locked, too.
    fn is_logging(&self) -> bool {
        let _host = self.host.lock();
        self.shadows.is_logging()
    }

    /// Compares up to `budget` entries of `shadow`, from the one around `from`, with L1's tables and the host's, and tells
    /// `report` about each leaf that offends.
    #[inline(never)]
    pub fn audit(
        &self,
        shadow: &Shadow,
        guest: &GuestStage2,
        from: u64,
        budget: usize,
        report: &mut dyn FnMut(Finding),
    ) {
        self.shadows.audit(shadow, guest, from, budget, &self.env(), report);
    }

    /// What the pool needs.
    #[inline(always)]
    pub fn env(&self) -> Env {
        Env {
            host: self.translator,
            ram: self.ram,
        }
    }
}

impl AllTables {
    /// Runs `f` with the shadows and what they need of the rest.
    pub fn with_shadows<T>(&mut self, f: impl FnOnce(&mut AllShadows<'static, Spin, SHADOWS_MAX>, &mut Env) -> T) -> T {
        f(&mut self.shadows, &mut self.mmu.env())
    }
}

/// VTTBR_EL2 for the guest that L1's registers describe; takes a reference to its shadow, until [`release`].
#[inline(always)]
pub fn acquire(vcpu: &mut VCpu) -> u64 {
    let key = vcpu.shadow_key();
    vcpu.guest_stage2 = Some(key);
    if let Some(slot) = vcpu.last_shadow
        && let Some(vttbr) = vcpu.vm.mmu.shadows.acquire_again(slot, key)
    {
        vcpu.shadow = Some(slot);
        return vttbr;
    }
    let (slot, vttbr) = acquire_other(&vcpu.vm.mmu, key);
    vcpu.shadow = Some(slot);
    vcpu.last_shadow = Some(slot);
    vttbr
}

/// A shadow other than the one that the vCPU used last.
#[inline(never)]
fn acquire_other(mmu: &Mmu, key: ShadowKey) -> (SlotId, u64) {
    match mmu.shadows.acquire(key, &mut mmu.env()) {
        Ok(found) => found,
        // More slots than vCPUs, each of which holds one reference; and as many roots in reserve. What L1 does cannot bring
        // this about.
        Err(error @ (AcquireError::NoFreeSlot | AcquireError::OutOfTables)) => panic!("no shadow stage 2: {error}"),
    }
}

/// The VTCR_EL2 that the shadow for `key` is read with, or that of the host context. They differ only if L1 was offered
/// addresses of more than 48 bits.
#[cold]
pub fn vtcr(vm: &Vm, key: Option<ShadowKey>) -> u64 {
    let usual = vm.vtcr;
    match key.and_then(ShadowKey::wide) {
        Some(sh) => {
            let t0sz = 64 - u64::from(Stage2Table::IPA_BITS_WIDE);
            let start_level = vtcr_el2::DS | vtcr_el2::SL2;
            usual & !(vtcr_el2::T0SZ | vtcr_el2::SL0 | vtcr_el2::SH0) | start_level | sh.encode() << 12 | t0sz
        }
        None => usual,
    }
}

/// VTTBR_EL2 for the guest that ran last, if it still has its shadow; takes a reference to that, until [`release`].
pub fn acquire_last(vcpu: &mut VCpu) -> Option<u64> {
    let (slot, vttbr) = vcpu.vm.mmu.shadows.acquire_existing(vcpu.guest_stage2?)?;
    vcpu.shadow = Some(slot);
    Some(vttbr)
}

/// Gives back the reference to the shadow in use.
pub fn release(vcpu: &mut VCpu) {
    if let Some(slot) = vcpu.shadow.take() {
        vcpu.vm.mmu.shadows.release(slot);
    }
}

/// Gives up shadows that L1 seems to be done with. `now` is the counter's value, which advances `frequency` times a
/// second.
pub fn sweep(vm: &Vm, now: u64, frequency: u64) {
    let patience = Patience {
        suspect_after: frequency,
        drop_after: 20 * frequency,
    };
    vm.mmu.shadows.sweep(now, patience, &mut vm.mmu.env());
}

/// Handles a fault on the shadow that `vcpu` uses; `sctlr_el2` is L1's, which says in what byte order its tables are.
pub fn handle_fault(vcpu: &VCpu, sctlr_el2: u64, fault: &ShadowFault) -> FaultAction {
    let Some(slot) = vcpu.shadow else {
        return FaultAction::Retry;
    };
    let guest = GuestStage2 {
        limits: limits(vcpu.vncr.get(vncr::HCR_EL2), sctlr_el2),
    };
    let mmu = &vcpu.vm.mmu;
    mmu.shadows.handle_fault(slot, fault, &guest, &mut mmu.env())
}

/// The word at `ipa` of the guest whose shadow `vcpu` uses; `None` unless the shadow maps memory of L1's there.
pub fn read_l2(vcpu: &VCpu, ipa: Ipa<L2>) -> Option<u64> {
    let held = vcpu.vm.mmu.shadows.lock(vcpu.shadow?)?;
    let mapping = held.as_ref()?.table().translate(ipa, &OwnTable::UNUSED).ok()?;
    // L1's IPA equals the PA.
    phys::read_guest(Ipa::new(mapping.output.bits())).ok()
}

/// How L1's stage 2 is to be read: its controls of the moment, and what L1 was shown, but for FEAT_LPA2, which shadows
/// know of by themselves.
pub fn limits(hcr_el2: u64, sctlr_el2: u64) -> Stage2Limits {
    /// `ID_AA64MMFR0_EL1.PARange` as L1 sees it.
    const PA_BITS: u32 = 48;
    Stage2Limits {
        pa_bits: PA_BITS,
        has_lpa2: false,
        big_endian: sctlr_el2 & sctlr::EE != 0,
        fwb: hcr_el2 & hcr_el2::FWB != 0,
        has_4k: true,
        has_16k: true,
        has_64k: true,
    }
}

/// What a table of ours that is no shadow needs: table frames, and TLB maintenance under `vttbr`; none before a CPU uses it.
struct OwnTable {
    vttbr: Option<u64>,
}

impl OwnTable {
    const UNUSED: Self = Self { vttbr: None };
}

/// What the pool needs: table frames, L1's memory, the host stage 2, TLB maintenance.
pub struct Env {
    /// L1 IPA to PA.
    host: Translator,
    ram: &'static phys::Banks,
}

macro_rules! table_memory {
    ($type:ty) => {
        impl ReadTable<Phys> for $type {
            fn read(&self, at: Pa) -> Result<u64, Unreadable> {
                Ok(phys::read(at))
            }
        }

        impl TableMemory for $type {
            fn write(&mut self, at: Pa, desc: u64) {
                phys::write(at, desc);
                barrier::dsb_ishst();
            }

            fn note(&mut self, at: Pa, word: u64) {
                phys::write(at, word);
            }

            fn alloc_table(&mut self) -> Option<Pa> {
                frames::alloc()
            }

            fn alloc_root(&mut self) -> Option<Pa> {
                frames::alloc_root()
            }

            fn free_table(&mut self, at: Pa) {
                frames::free(at);
            }
        }
    };
}
table_memory!(OwnTable);
table_memory!(Env);

impl Stage2Tlb for OwnTable {
    fn invalidate(&mut self, ia: u64, size: u64, level: Level) {
        if let Some(vttbr) = self.vttbr {
            invalidate_ipa(vttbr, ia, size, level);
        }
    }

    fn invalidate_all(&mut self) {
        if let Some(vttbr) = self.vttbr {
            under(vttbr, tlbi::vmalls12e1is);
        }
    }
}

impl ShadowEnv for Env {
    #[inline(always)]
    fn read_l1(&self, at: Ipa<L1>) -> Result<u64, Unreadable> {
        self.ram.words().read(at)
    }

    #[inline(always)]
    fn l1_tables(&self) -> impl ReadTable<L1> + Copy {
        self.ram.words()
    }

    fn compare_exchange_l1(&mut self, at: Ipa<L1>, old: u64, new: u64) -> Result<bool, Unreadable> {
        phys::compare_exchange_guest(at, old, new)
    }

    #[inline(always)]
    fn host_leaf(&self, at: Ipa<L1>) -> Result<RawLeaf<Phys>, Stage2Fault> {
        self.host.translate_to_leaf(at, self)
    }

    fn invalidate_ipa(&mut self, vttbr: u64, ia: u64, size: u64, level: Level) {
        invalidate_ipa(vttbr, ia, size, level);
    }

    fn invalidate_vmid(&mut self, vttbr: u64) {
        under(vttbr, tlbi::vmalls12e1is);
    }
}

fn invalidate_ipa(vttbr: u64, ia: u64, size: u64, level: Level) {
    /// Above this many leaves, one invalidation of everything is cheaper than one a leaf.
    const LEAVES_MAX: u64 = 64;
    let leaf_bytes = Granule::K4.entry_bytes(level);
    under(vttbr, || {
        if size / leaf_bytes > LEAVES_MAX {
            return tlbi::vmalls12e1is();
        }
        for leaf in (ia..ia.saturating_add(size)).step_by(leaf_bytes as usize) {
            tlbi::ipas2e1is(leaf >> 12);
        }
        barrier::dsb_ish();
        // What combines both stages is tagged by VA: all of it may derive from the IPAs just invalidated.
        tlbi::vmalle1is();
    });
}

/// Runs TLB maintenance under the VMID of `vttbr`, completes it, and restores VTTBR_EL2.
pub fn under(vttbr: u64, maintenance: impl FnOnce()) {
    let current = VTTBR_EL2.get();
    barrier::dsb_ish();
    if current != vttbr {
        VTTBR_EL2.set(vttbr);
        barrier::isb();
    }
    maintenance();
    barrier::dsb_ish();
    if current != vttbr {
        VTTBR_EL2.set(current);
    }
    barrier::isb();
}
