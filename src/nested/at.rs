//! AT at virtual EL2.
//!
//! While L1 is a host (`{E2H,TGE}` = `{1,1}`), `AT S1E1*` and `AT S1E0*` mean its own EL2&0 regime, which is what the
//! hardware has loaded. Otherwise they mean its guest's EL1&0 regime: the guest's translation registers and shadow are
//! loaded for the one instruction.
//!
//! The hardware walks the guest's tables through the shadow, and a shadow is like a TLB: what it lacks is no fault of
//! the guest's. So where the walk misses in the shadow, the tables are walked in software to see which page of the guest
//! is missing, it is faulted in, and the instruction is tried again. What L1's stage 2 refuses is L1's answer, with the
//! status of L1's walk. A table that is nowhere is no answer: it is an external abort, which an AT takes as an exception
//! (DDI 0487, "Synchronous External abort on a translation table walk" of address translation instructions).
//!
//! `AT S1E2*` is about L1's own regime whatever it hosts. `AT S12*` goes through both stages; an IPA of L1's is a physical
//! address, so what the hardware finds in the shadow is what L1 is to find.

use shadow::{Access, FaultAction, FaultKind, ShadowFault};
use syndrome::{
    SysReg, exception,
    regs::{hcr_el2, par_el1},
    vncr,
};
use vmsa::{Fault, stage1::AccessKind};

use crate::{
    arch::{at, barrier, sysreg::*},
    nested::{controls, walk},
    shadow_mmu,
    vcpu::{Context, VCpu, context::El1Registers},
};

/// An AT of the EL1&0 regime.
#[derive(Clone, Copy)]
enum Kind {
    Stage1(at::Stage1),
    Both(at::Stage12),
}

impl Kind {
    fn execute(self, va: u64) -> u64 {
        match self {
            Self::Stage1(instruction) => at::stage1(instruction, va),
            Self::Both(instruction) => at::stage12(instruction, va),
        }
    }

    /// The form that does stage 1 alone.
    fn stage1(self) -> at::Stage1 {
        match self {
            Self::Stage1(instruction) => instruction,
            Self::Both(at::Stage12::E1R) => at::Stage1::E1R,
            Self::Both(at::Stage12::E1W) => at::Stage1::E1W,
            Self::Both(at::Stage12::E0R) => at::Stage1::E0R,
            Self::Both(at::Stage12::E0W) => at::Stage1::E0W,
        }
    }
}

/// Executes `instruction` on `va` for L1, result in `PAR_EL1`; `None` unless it is an AT that L1 has.
///
/// # Errors
///
/// The external abort that it ends with.
#[inline(never)]
pub fn execute(vcpu: &mut VCpu, instruction: SysReg, va: u64) -> Option<Result<(), Fault>> {
    let (kind, is_el2) = match instruction {
        SysReg::AT_S1E1R => (Kind::Stage1(at::Stage1::E1R), false),
        SysReg::AT_S1E1W => (Kind::Stage1(at::Stage1::E1W), false),
        SysReg::AT_S1E0R => (Kind::Stage1(at::Stage1::E0R), false),
        SysReg::AT_S1E0W => (Kind::Stage1(at::Stage1::E0W), false),
        SysReg::AT_S1E1RP => (Kind::Stage1(at::Stage1::E1RP), false),
        SysReg::AT_S1E1WP => (Kind::Stage1(at::Stage1::E1WP), false),
        SysReg::AT_S12E1R => (Kind::Both(at::Stage12::E1R), false),
        SysReg::AT_S12E1W => (Kind::Both(at::Stage12::E1W), false),
        SysReg::AT_S12E0R => (Kind::Both(at::Stage12::E0R), false),
        SysReg::AT_S12E0W => (Kind::Both(at::Stage12::E0W), false),
        SysReg::AT_S1E2R => (Kind::Stage1(at::Stage1::E1R), true),
        SysReg::AT_S1E2W => (Kind::Stage1(at::Stage1::E1W), true),
        _ => return None,
    };
    let hcr = vcpu.vncr.get(vncr::HCR_EL2);
    if is_el2 || exception::is_host(hcr, vcpu.vm.is_e2h0) {
        Some(in_own_regime(vcpu, kind.stage1(), va))
    } else if hcr & (hcr_el2::VM | hcr_el2::DC) == 0 {
        // The shadow is gnomon's own affair then.
        Some(in_guest_regime(vcpu, Kind::Stage1(kind.stage1()), va))
    } else {
        Some(in_guest_regime(vcpu, kind, va))
    }
}

/// Where the hardware's walk misses in the host stage 2, there is nothing, unless an entry was exchanged at that moment.
fn in_own_regime(vcpu: &VCpu, instruction: at::Stage1, va: u64) -> Result<(), Fault> {
    let before = PAR_EL1.get();
    if is_stage2_fault(at::stage1(instruction, va)) {
        if let Some(fault) = walk::external_abort(vcpu, va, AccessKind::Read) {
            PAR_EL1.set(before);
            return Err(fault);
        }
        at::stage1(instruction, va);
    }
    Ok(())
}

/// Whether this PAR_EL1 says that stage 2 ended a translation.
const fn is_stage2_fault(par: u64) -> bool {
    par & (at::PAR_F | at::PAR_S) == at::PAR_F | at::PAR_S
}

fn in_guest_regime(vcpu: &mut VCpu, kind: Kind, va: u64) -> Result<(), Fault> {
    let before = PAR_EL1.get();
    let mut result = Ok(());
    let vttbr = shadow_mmu::acquire(vcpu);
    let guest = Regime::of_guest(vcpu, vttbr, controls::nested_translation(vcpu));
    let l1 = Regime::loaded();
    guest.load();
    let par = kind.execute(va);
    if is_stage2_fault(par) {
        match fill_shadow(vcpu, &guest.registers, l1.registers.sctlr, kind, va) {
            Ok(Some(answer)) => PAR_EL1.set(answer),
            Ok(None) => {
                kind.execute(va);
            }
            Err(fault) => {
                PAR_EL1.set(before);
                result = Err(fault);
            }
        }
    }
    l1.load();
    shadow_mmu::release(vcpu);
    result
}

/// What `at` gives in the regime of the context that is not loaded: that of L1 while its guest runs, or that of the guest that
/// ran last while L1 does. Its registers and its stage 2 are loaded for that; nothing is filled in. `None` if there was no
/// such guest, or its shadow is gone.
pub fn in_other_context(vcpu: &mut VCpu, at: impl FnOnce() -> u64) -> Option<u64> {
    let other = match vcpu.context {
        Context::Host => {
            let vttbr = shadow_mmu::acquire_last(vcpu)?;
            Regime::of_guest(vcpu, vttbr, controls::guest_translation())
        }
        Context::Nested => Regime {
            vttbr: vcpu.vm.host_vttbr,
            vtcr: shadow_mmu::vtcr(vcpu.vm, None),
            hcr: vcpu.vm.hcr_host,
            registers: vcpu.vel2,
        },
    };
    let loaded = Regime::loaded();
    other.load();
    let par = at();
    loaded.load();
    if vcpu.context == Context::Host {
        shadow_mmu::release(vcpu);
    }
    Some(par)
}

/// What an EL1&0 regime of the hardware goes by.
struct Regime {
    registers: El1Registers,
    hcr: u64,
    vttbr: u64,
    vtcr: u64,
}

impl Regime {
    /// That of L1's guest, on the shadow that it has by `vttbr`.
    fn of_guest(vcpu: &VCpu, vttbr: u64, hcr: u64) -> Self {
        Self {
            registers: El1Registers::from_vncr(vcpu.vncr),
            hcr,
            vttbr,
            vtcr: shadow_mmu::vtcr(vcpu.vm, vcpu.guest_stage2),
        }
    }

    /// The one in force.
    fn loaded() -> Self {
        let mut registers = El1Registers::default();
        registers.save();
        Self {
            registers,
            hcr: HCR_EL2.get(),
            vttbr: VTTBR_EL2.get(),
            vtcr: VTCR_EL2.get(),
        }
    }

    /// Puts it in force.
    #[inline(never)]
    fn load(&self) {
        self.registers.load();
        HCR_EL2.set(self.hcr);
        VTTBR_EL2.set(self.vttbr);
        VTCR_EL2.set(self.vtcr);
        barrier::isb();
    }
}

/// Makes present in the shadow what the translation of `va` needs, as far as L1's stage 2 has it. If that has not, what L1
/// finds in `PAR_EL1`.
fn fill_shadow(vcpu: &VCpu, guest: &El1Registers, sctlr_el2: u64, kind: Kind, va: u64) -> Result<Option<u64>, Fault> {
    let hcr = vcpu.vncr.get(vncr::HCR_EL2);
    let (found, refused) = walk::of_guest(vcpu, guest, hcr, sctlr_el2, va, AccessKind::Read);
    if let Some(fault) = refused {
        return Ok(Some(par_el1::stage2_fault(fault.fsc(), true)));
    }
    if let Err(fault @ Fault::ExternalAbortOnWalk(_)) = found {
        return Err(fault);
    }
    let (Kind::Both(instruction), Ok(found)) = (kind, found) else {
        return Ok(None);
    };
    let fault = ShadowFault {
        ipa: found.output,
        access: match instruction {
            at::Stage12::E1R | at::Stage12::E0R => Access::Read,
            at::Stage12::E1W | at::Stage12::E0W => Access::Write,
        },
        kind: FaultKind::Translation,
        is_s1ptw: false,
    };
    Ok(match shadow_mmu::handle_fault(vcpu, sctlr_el2, &fault) {
        FaultAction::Retry => None,
        FaultAction::Inject(fault) => Some(par_el1::stage2_fault(fault.fsc(), false)),
        FaultAction::NotMemory { l1 } => Some(par_el1::device(l1.bits())),
    })
}
