//! AT at virtual EL2.
//!
//! While L1 is a host (`{E2H,TGE}` = `{1,1}`), `AT S1E1*` and `AT S1E0*` mean its own EL2&0 regime, which is what the
//! hardware has loaded. Otherwise they mean its guest's EL1&0 regime: the guest's translation registers and shadow are
//! loaded for the one instruction.
//!
//! The hardware walks the guest's tables through the shadow, and a shadow is like a TLB: what it lacks is no fault of
//! the guest's. So where the walk misses in the shadow, the tables are walked in software to see which page of the guest
//! is missing, it is faulted in, and the instruction is tried again.

use shadow::{Access, FaultAction, FaultKind, ShadowFault};
use syndrome::{SysReg, exception, vncr};
use vmsa::{
    GuestVa, Ipa, L2, ReadTable, Unreadable,
    stage1::{AccessKind, Regime, Stage1Config, Stage1Registers, walk},
};

use crate::{
    arch::{at, barrier, features, sysreg::*},
    nested::controls,
    shadow_mmu,
    vcpu::{VCpu, context::El1Registers},
};

/// Executes `instruction` on `va` for L1, result in `PAR_EL1`. Says whether it is an AT that L1 has.
pub fn execute(vcpu: &mut VCpu, instruction: SysReg, va: u64) -> bool {
    let Some(stage1) = stage1_instruction(instruction) else {
        return false;
    };
    if exception::is_host(vcpu.vncr.get(vncr::HCR_EL2)) {
        at::stage1(stage1, va);
    } else {
        in_guest_regime(vcpu, stage1, va);
    }
    true
}

fn stage1_instruction(instruction: SysReg) -> Option<at::Stage1> {
    Some(match instruction {
        SysReg::AT_S1E1R => at::Stage1::E1R,
        SysReg::AT_S1E1W => at::Stage1::E1W,
        SysReg::AT_S1E0R => at::Stage1::E0R,
        SysReg::AT_S1E0W => at::Stage1::E0W,
        SysReg::AT_S1E1RP => at::Stage1::E1RP,
        SysReg::AT_S1E1WP => at::Stage1::E1WP,
        _ => return None,
    })
}

fn in_guest_regime(vcpu: &mut VCpu, stage1: at::Stage1, va: u64) {
    let mut l1 = El1Registers::default();
    l1.save();
    let guest = El1Registers::from_vncr(vcpu.vncr);
    guest.load();
    VTTBR_EL2.set(shadow_mmu::acquire(vcpu));
    controls::load_nested_translation(vcpu);
    barrier::isb();
    let par = at::stage1(stage1, va);
    if par & (at::PAR_F | at::PAR_S) == at::PAR_F | at::PAR_S {
        fill_shadow_for_walk(vcpu, &guest, l1.sctlr, va);
        at::stage1(stage1, va);
    }
    l1.load();
    controls::load_host(vcpu);
    barrier::isb();
    shadow_mmu::release(vcpu);
}

/// What `at` gives in the regime of the guest that ran last, whose registers and shadow are loaded for it, while L1 runs;
/// `None` if there was none, or its shadow is gone. Nothing is filled in.
pub fn in_last_guest(vcpu: &mut VCpu, at: impl FnOnce() -> u64) -> Option<u64> {
    let vttbr = shadow_mmu::acquire_last(vcpu)?;
    let mut l1 = El1Registers::default();
    l1.save();
    El1Registers::from_vncr(vcpu.vncr).load();
    VTTBR_EL2.set(vttbr);
    controls::load_guest_translation();
    barrier::isb();
    let par = at();
    l1.load();
    controls::load_host(vcpu);
    barrier::isb();
    shadow_mmu::release(vcpu);
    Some(par)
}

/// Makes the guest's tables that a walk for `va` reads present in its shadow, as far as L1's stage 2 has them.
fn fill_shadow_for_walk(vcpu: &VCpu, guest: &El1Registers, sctlr_el2: u64, va: u64) {
    let registers = Stage1Registers {
        tcr: guest.tcr,
        ttbr0: guest.ttbr0,
        ttbr1: guest.ttbr1,
        mair: guest.mair,
        sctlr: guest.sctlr,
        hcr: vcpu.vncr.get(vncr::HCR_EL2),
    };
    let config = Stage1Config::from_registers(Regime::El1And0, &registers, &features::stage1_limits());
    // What the address translates to is the hardware's to say.
    let _ = walk(
        &config,
        GuestVa::new(va),
        AccessKind::Read,
        &FaultIn { vcpu, sctlr_el2 },
    );
}

/// Memory of the guest, where each word that is read is first made present in the shadow.
struct FaultIn<'a> {
    vcpu: &'a VCpu,
    sctlr_el2: u64,
}

impl ReadTable<L2> for FaultIn<'_> {
    fn read(&self, at: Ipa<L2>) -> Result<u64, Unreadable> {
        let fault = ShadowFault {
            ipa: at,
            access: Access::Read,
            kind: FaultKind::Translation,
            is_s1ptw: true,
        };
        match shadow_mmu::handle_fault(self.vcpu, self.sctlr_el2, &fault) {
            FaultAction::Retry => shadow_mmu::read_l2(self.vcpu, at).ok_or(Unreadable),
            FaultAction::Inject(_) | FaultAction::NotMemory { .. } => Err(Unreadable),
        }
    }
}
