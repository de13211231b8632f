//! AT at virtual EL2.
//!
//! While L1 is a host (`{E2H,TGE}` = `{1,1}`), `AT S1E1*` and `AT S1E0*` mean its own EL2&0 regime, which is what the
//! hardware has loaded. Otherwise they mean its guest's EL1&0 regime: the guest's translation registers and shadow are
//! loaded for the one instruction.
//!
//! The hardware walks the guest's tables through the shadow, and a shadow is like a TLB: what it lacks is no fault of
//! the guest's. So where the walk misses in the shadow, the tables are walked in software to see which page of the guest
//! is missing, it is faulted in, and the instruction is tried again.

use syndrome::{SysReg, regs::hcr_el2, vncr};

use crate::{
    arch::{at, barrier, sysreg::*},
    nested::controls,
    shadow_mmu,
    vcpu::{VCpu, context::El1Registers},
};

/// Executes `instruction` on `va` for L1, result in `PAR_EL1`. Says whether it is an AT that L1 has.
pub fn execute(vcpu: &mut VCpu, instruction: SysReg, va: u64) -> bool {
    let Some(stage1) = stage1_instruction(instruction) else { return false };
    if vcpu.vncr.get(vncr::HCR_EL2) & hcr_el2::TGE != 0 {
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
    let l1 = El1Registers::save();
    El1Registers::from_vncr(&vcpu.vncr).load();
    VTTBR_EL2.set(shadow_mmu::acquire(vcpu));
    controls::load_nested_translation(vcpu);
    barrier::isb();
    at::stage1(stage1, va);
    l1.load();
    controls::load_host(vcpu);
    barrier::isb();
}
