//! Stage-2 aborts: emulated devices, shadow faults, and accesses to nothing.
//!
//! An abort from the host context is on the host stage 2, which maps all that L1 has: what is left are the emulated
//! GIC's registers, holes, and first writes to pages whose writes are logged. An abort from the nested context is on a
//! shadow: [`crate::shadow_mmu`] decides it.

use ::trace::{Event, FaultOutcome};
use shadow::{Access, FaultAction, FaultKind as ShadowFaultKind, ShadowFault};
use syndrome::{
    esr::{DataAbort, FaultKind, FaultStatus, ec},
    regs::pstate,
};
use vmsa::{Ipa, L2, stage1::AccessKind};

use super::{Exit, faulting_ipa};
use crate::{
    arch::{
        at,
        sysreg::{PAR_EL1, Readable, Writeable},
    },
    dev::gicv3::REDISTRIBUTOR_BYTES,
    exits::Party,
    interrupts,
    nested::walk,
    shadow_mmu, trace, unhandled,
    vcpu::{Context, VCpu, context::GuestFrame, inject},
};

/// PAR_EL1.PA of a successful translation.
const PAR_PA: u64 = 0x000f_ffff_ffff_f000;
const PAGE_OFFSET: u64 = 0xfff;

/// The host context touched what the host stage 2 does not map: a device, or nothing. Or it wrote a page whose writes are
/// logged, or was there while an entry was exchanged; then it tries again.
pub fn from_host(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) {
    let abort = Abort::decode(exit, frame);
    match abort.status.kind {
        FaultKind::Permission => {
            let ipa = stage2_ipa(exit, &abort, frame);
            if shadow_mmu::write_by_l1(vcpu, ipa) || shadow_mmu::is_there(vcpu, ipa) {
                return;
            }
        }
        // The GIC is never mapped, and there is no need to look.
        FaultKind::Translation
            if !is_gic(vcpu, faulting_ipa(exit)) && shadow_mmu::is_there(vcpu, faulting_ipa(exit)) =>
        {
            return;
        }
        _ => {}
    }
    access_device(vcpu, frame, exit, faulting_ipa(exit));
}

fn is_gic(vcpu: &VCpu, ipa: u64) -> bool {
    let machine = &vcpu.vm.machine;
    machine.gicd.contains(&ipa) || machine.gicr.contains(&ipa)
}

/// An access of L1's to its VNCR page faulted: the page is gnomon's own and mapped as long as it runs.
pub fn vncr_fault(vcpu: &VCpu, exit: &Exit) -> ! {
    panic!(
        "the VNCR page of CPU {} faults: ESR_EL2 {:#x}, FAR_EL2 {:#x}",
        vcpu.cpu, exit.esr.0, exit.far
    );
}

/// L1's guest touched what its shadow does not allow.
#[inline(always)]
pub fn from_nested(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) -> Party {
    let abort = Abort::decode(exit, frame);
    let Some(kind) = shadow_fault_kind(abort.status) else {
        return other_abort(vcpu, frame, exit);
    };
    let ipa = stage2_ipa(exit, &abort, frame);
    let fault = ShadowFault {
        ipa: Ipa::<L2>::new(ipa),
        access: abort.access,
        kind,
        is_s1ptw: abort.is_s1ptw,
    };
    trace::record(vcpu.cpu, || Event::GuestFault {
        ipa,
        esr: exit.esr.0,
        far: exit.far,
        pc: frame.elr,
    });
    let action = shadow_mmu::handle_fault(vcpu, vcpu.vel2.sctlr, &fault);
    record_outcome(vcpu, ipa, &action);
    match action {
        FaultAction::Retry => Party::L2,
        FaultAction::Inject(by_l1) => {
            vcpu.refused = Some((frame.elr, fault));
            inject::stage2_fault(vcpu, frame, exit, by_l1.fsc(), ipa);
            Party::L2Forwarded
        }
        FaultAction::NotMemory { l1 } => {
            access_device(vcpu, frame, exit, l1.bits());
            Party::L2
        }
    }
}

/// One that is none of stage 2. It is stage 1's, where there is no EL1 to take it, or unheard of.
#[cold]
fn other_abort(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) -> Party {
    if vcpu.is_guest_el0_alone() {
        inject::forward(vcpu, frame, exit);
        return Party::L2Forwarded;
    }
    unhandled::abort(vcpu, frame, exit);
    Party::L2
}

/// L1 has let its guest go on after it refused it an access. If that is at the same instruction, L1 has probably mapped what
/// it lacked, and the guest would fault once more for its shadow alone: so the leaf is fetched now, if there is one. Any
/// translation may be fetched at any time (DDI 0487, "Speculative translation"): whether it was, a guest cannot tell.
#[inline(never)]
pub fn try_again(vcpu: &mut VCpu, frame: &GuestFrame) {
    if let Some((pc, fault)) = vcpu.refused.take()
        && vcpu.context == Context::Nested
        && frame.elr == pc
    {
        let action = shadow_mmu::handle_fault(vcpu, vcpu.vel2.sctlr, &fault);
        record_outcome(vcpu, fault.ipa.bits(), &action);
    }
}

#[inline(always)]
fn record_outcome(vcpu: &VCpu, ipa: u64, action: &FaultAction) {
    trace::record(vcpu.cpu, || Event::ShadowFault {
        ipa,
        shadow: vcpu.shadow.map_or(u16::MAX, |slot| slot.number()),
        outcome: match action {
            FaultAction::Retry => FaultOutcome::Handled,
            FaultAction::Inject(_) => FaultOutcome::Injected,
            FaultAction::NotMemory { .. } => FaultOutcome::NotMemory,
        },
    });
}

/// What of an abort's syndrome a stage-2 fault handler needs, instruction and data aborts alike.
struct Abort {
    access: Access,
    is_s1ptw: bool,
    status: FaultStatus,
}

impl Abort {
    #[inline(always)]
    fn decode(exit: &Exit, frame: &GuestFrame) -> Self {
        if exit.esr.ec() == ec::IABT_LOW {
            let abort = exit.esr.instruction_abort();
            let is_el0 = frame.spsr & pstate::M == pstate::EL0T;
            let access = if abort.s1ptw {
                of_walk(abort.ifsc)
            } else {
                Access::Execute { el0: is_el0 }
            };
            Self {
                access,
                is_s1ptw: abort.s1ptw,
                status: abort.ifsc,
            }
        } else {
            let abort = exit.esr.data_abort();
            let access = if abort.s1ptw {
                of_walk(abort.dfsc)
            } else if abort.needs_write() {
                Access::Write
            } else {
                Access::Read
            };
            Self {
                access,
                is_s1ptw: abort.s1ptw,
                status: abort.dfsc,
            }
        }
    }
}

/// What a stage-1 walk did that faulted: it reads descriptors, and sets the Access flag or dirty state in those it may not
/// write. The syndrome of an instruction abort does not tell, but only the update can lack a permission: what a walk may
/// not even read faults in another way, or L1 has made it so, and then L1 is told of the write.
const fn of_walk(status: FaultStatus) -> Access {
    match status.kind {
        FaultKind::Permission => Access::Write,
        _ => Access::Read,
    }
}

fn shadow_fault_kind(status: FaultStatus) -> Option<ShadowFaultKind> {
    match status.kind {
        FaultKind::Translation => Some(ShadowFaultKind::Translation),
        FaultKind::Permission => Some(ShadowFaultKind::Permission),
        FaultKind::AccessFlag => Some(ShadowFaultKind::AccessFlag),
        _ => None,
    }
}

/// The IPA that faulted.
///
/// HPFAR_EL2 is UNKNOWN for a permission fault that is not on a walk (DDI 0487, "HPFAR_EL2"), so stage 1 is asked
/// again, with the guest's registers still loaded. If its tables changed meanwhile, the guest's retry sorts it out.
fn stage2_ipa(exit: &Exit, abort: &Abort, frame: &GuestFrame) -> u64 {
    if abort.status.kind == FaultKind::Permission && !abort.is_s1ptw {
        let is_el0 = frame.spsr & pstate::M == pstate::EL0T;
        let read = if is_el0 { at::Stage1::E0R } else { at::Stage1::E1R };
        let guests = PAR_EL1.get();
        let par = at::stage1(read, exit.far);
        PAR_EL1.set(guests);
        if par & at::PAR_F == 0 {
            return par & PAR_PA | exit.far & PAGE_OFFSET;
        }
    }
    faulting_ipa(exit)
}

/// An access to the L1 IPA `ipa`, where no memory is: an emulated device, or an external abort.
#[inline(never)]
fn access_device(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit, ipa: u64) {
    let access = exit.esr.data_abort();
    // An instruction abort has that bit, too.
    if access.s1ptw {
        return abort_on_walk(vcpu, frame, exit);
    }
    let is_data = exit.esr.ec() != ec::IABT_LOW;
    match Device::at(vcpu, ipa) {
        // Cache maintenance of a device register has nothing to do.
        Some(_) if is_data && access.cm => {}
        Some(device) if is_data && access.isv => device.access(vcpu, frame, &access),
        _ => return inject::external_abort(vcpu, frame, exit, FaultStatus::EXTERNAL.encode()),
    }
    frame.skip_instruction();
}

/// A walk of the guest's own stage 1 has met a table where no memory is. The hardware's walk says at which level of stage 2;
/// that of stage 1, which the guest is to be told, is found by another one.
#[cold]
fn abort_on_walk(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) {
    let kind = if exit.esr.ec() == ec::IABT_LOW {
        AccessKind::Fetch
    } else {
        AccessKind::Read
    };
    // If there is none, the tables have changed, and the guest tries again.
    if let Some(fault) = walk::external_abort(vcpu, exit.far, kind) {
        inject::external_abort(vcpu, frame, exit, fault.fsc());
    }
}

/// A register frame of the emulated GIC.
enum Device {
    Distributor { offset: u64 },
    Redistributor { cpu: usize, offset: u64 },
}

impl Device {
    /// The one at the L1 IPA `ipa`.
    fn at(vcpu: &VCpu, ipa: u64) -> Option<Self> {
        let machine = &vcpu.vm.machine;
        if machine.gicd.contains(&ipa) {
            Some(Self::Distributor {
                offset: ipa - machine.gicd.start,
            })
        } else if machine.gicr.contains(&ipa) {
            let offset = ipa - machine.gicr.start;
            let cpu = (offset / REDISTRIBUTOR_BYTES) as usize;
            (cpu < machine.cpus.len()).then_some(Self::Redistributor {
                cpu,
                offset: offset % REDISTRIBUTOR_BYTES,
            })
        } else {
            None
        }
    }

    fn access(&self, vcpu: &mut VCpu, frame: &mut GuestFrame, access: &DataAbort) {
        let bytes = access.size.bytes();
        if access.wnr {
            let value = frame.get(access.srt) & access.size.mask();
            interrupts::with_vgic(vcpu, |vcpu, vgic, hw| match *self {
                Self::Distributor { offset } => vgic.write_distributor(vcpu.cpu, offset, bytes, value, hw),
                Self::Redistributor { cpu, offset } => vgic.write_redistributor(cpu, offset, bytes, value, hw),
            });
        } else {
            let value = interrupts::with_vgic(vcpu, |_, vgic, hw| match *self {
                Self::Distributor { offset } => vgic.read_distributor(offset, bytes, hw),
                Self::Redistributor { cpu, offset } => vgic.read_redistributor(cpu, offset, bytes, hw),
            });
            frame.set(access.srt, access.extend(value));
        }
    }
}
