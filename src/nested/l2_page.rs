//! The VNCR page of L1's guest, if that is a hypervisor itself.
//!
//! While L1's guest runs with `HCR_EL2.{NV,NV2}` of L1's, its EL2 registers are in a page of L1's memory, which L1's
//! `VNCR_EL2` names by an address of its own stage 1. The hardware's `VNCR_EL2` is then this CPU's *window*, a page of EL2's
//! address space (`mm/stage1.rs`) that leads to L1's page, or nowhere: then the guest's first access faults, L1's tables are
//! walked, and the access is made again or L1 receives the fault.
//!
//! The window is an entry of L1's TLB, one for each CPU. A TLBI of L1's that covers it closes it, whichever CPU it is on: by
//! an invalidation in EL2's regime, which no CPU can outrun, so nobody need be stopped.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use ::trace::Event;
use shadow::{Stage1Scope, VncrEntry, VncrTag, access_flag_update};
use syndrome::{Esr, SysReg, regs::tcr, vncr};
use vmsa::{
    Ipa,
    stage1::{Regime, Stage1Config, Stage1Registers},
};

use crate::{
    arch::{features, sysreg::*},
    layout::CPU_COUNT_MAX,
    lock::Mutex,
    mm::{
        PAGE_BYTES,
        phys::{self, GuestRam},
        stage1,
    },
    nested::walk,
    shadow_mmu, trace,
    vcpu::VCpu,
};

/// What each CPU's window leads to.
static ENTRIES: Mutex<[Option<VncrEntry>; CPU_COUNT_MAX]> = Mutex::new([None; CPU_COUNT_MAX]);
/// The CPUs whose window may lead anywhere, one bit each. A bit is set before L1's tables are read: who finds none after a
/// change of those knows that nothing was made of what they were.
static OPEN: AtomicU64 = AtomicU64::new(0);

/// Status code of a synchronous external abort that is not on a walk.
const EXTERNAL_ABORT: u8 = 0b01_0000;

/// L1's guest is about to run with registers in memory.
pub fn enter(vcpu: &VCpu) {
    if OPEN.load(Ordering::Relaxed) >> vcpu.cpu & 1 != 0 {
        let tag = VncrTag::new(vcpu.vncr.get(vncr::VNCR_EL2), &registers(vcpu));
        close_if(vcpu.cpu, &|entry| !entry.answers(&tag));
    }
    VNCR_EL2.set(stage1::window(vcpu.cpu));
}

/// Closes the window of a vCPU that is about to be switched on.
pub fn forget(cpu: usize) {
    close_if(cpu, &|_| true);
}

/// Whether any window may lead anywhere. After a TLBI for L1's own stage 1, the DSB that completes it orders the load as
/// well.
#[inline(always)]
pub fn is_any_open() -> bool {
    OPEN.load(Ordering::Relaxed) != 0
}

/// L1 has executed a TLBI for its own stage 1, which a DSB has completed.
#[inline(always)]
pub fn invalidate(instruction: SysReg, operand: u64) {
    if is_any_open() {
        invalidate_open(instruction, operand);
    }
}

#[cold]
fn invalidate_open(instruction: SysReg, operand: u64) {
    // With TCR_ELx.DS the address of a range is in another unit: then it is all.
    let is_all = instruction.is_range_of_stage1() && TCR_EL1.get() & tcr::DS != 0;
    let op2 = if is_all { 0 } else { instruction.op2() };
    let scope = Stage1Scope::decode(instruction.crm(), op2, operand);
    for cpu in 0..CPU_COUNT_MAX {
        close_if(cpu, &|entry| entry.is_covered_by(&scope));
    }
}

/// Closes every window, because writes are logged from now on. One that is opened meanwhile is open before the write that
/// it allows is logged, and so it is closed here or logged after this.
pub fn close_all() {
    if OPEN.load(Ordering::Acquire) == 0 {
        return;
    }
    for cpu in 0..CPU_COUNT_MAX {
        close_if(cpu, &|_| true);
    }
}

#[inline(never)]
fn close_if(cpu: usize, is_over: &dyn Fn(&VncrEntry) -> bool) {
    let mut entries = ENTRIES.lock();
    if let Some(slot) = entries.get_mut(cpu)
        && slot.as_ref().is_some_and(is_over)
    {
        stage1::close_window(cpu);
        *slot = None;
        OPEN.fetch_and(!(1 << cpu), Ordering::Relaxed);
    }
}

/// L1's EL2&0 regime, while its guest runs.
fn registers(vcpu: &VCpu) -> Stage1Registers {
    walk::registers(&vcpu.vel2, 0)
}

/// An access of L1's guest to its page faulted. Opens the window, or says what L1 is to be told: `ESR_EL2` and `FAR_EL2`.
pub fn handle_fault(vcpu: &VCpu, esr: Esr, far: u64) -> Result<(), (Esr, u64)> {
    let registers = registers(vcpu);
    let tag = VncrTag::new(vcpu.vncr.get(vncr::VNCR_EL2), &registers);
    let far = tag.va.bits() | far & (PAGE_BYTES - 1);
    let (found, at) = open(vcpu, tag, &registers, esr.data_abort().wnr);
    let esr = found.map_or_else(|fsc| esr.with_fsc(fsc), |()| esr);
    trace::record(vcpu.cpu, || Event::VncrFault {
        far,
        esr: esr.0,
        at,
        is_told: found.is_err(),
    });
    found.map_err(|_| (esr, far))
}

/// Has the window of `vcpu` lead to the page that `tag` names, or else says the status code of the fault; and where L1's
/// tables lead to.
fn open(vcpu: &VCpu, tag: VncrTag, registers: &Stage1Registers, is_write: bool) -> (Result<(), u8>, u64) {
    let stage1 = Stage1Config::from_registers(Regime::El2And0, registers, &features::stage1_limits());
    let mut entries = ENTRIES.lock();
    let Some(slot) = entries.get_mut(vcpu.cpu) else {
        return (Err(EXTERNAL_ABORT), 0);
    };
    OPEN.fetch_or(1 << vcpu.cpu, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    // What it led to before was of no use.
    stage1::close_window(vcpu.cpu);
    *slot = None;
    let (found, at) = match VncrEntry::walk(tag, &stage1, is_write, &GuestRam) {
        Ok((entry, _)) if !phys::is_guest_ram(entry.at.bits(), PAGE_BYTES) => (Err(EXTERNAL_ABORT), entry.at),
        Ok((entry, mapping)) => {
            if let Some((old, new)) = access_flag_update(&stage1, &mapping) {
                // If L1 changes its tables at this moment, it has not invalidated what they were.
                let _ = phys::compare_exchange_guest(mapping.desc_at, old, new);
            }
            stage1::open_window(vcpu.cpu, entry.at.bits(), entry.is_writable);
            *slot = Some(entry);
            (Ok(entry.is_writable), entry.at)
        }
        Err(fault) => (Err(fault.fsc()), Ipa::new(0)),
    };
    if found.is_err() {
        OPEN.fetch_and(!(1 << vcpu.cpu), Ordering::Relaxed);
    }
    drop(entries);
    if found == Ok(true) {
        // Where writes are logged this is one, whenever it comes.
        shadow_mmu::write_by_l1(vcpu, at.bits());
    }
    (found.map(drop), at.bits())
}
