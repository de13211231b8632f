//! What an L1 without VHE means by the registers that trap.
//!
//! Its EL1 names are its guest's registers, in the VNCR page (`NV1`), and have no other ones. Its EL2 registers live where
//! those of an L1 with VHE do, in the layout the hardware runs them in, and are rewritten on the way there and back.

use syndrome::{SysReg, e2h0, esr::SysRegTrap, merge, regs::cptr_el2};

use crate::{
    arch::sysreg::*,
    nested::timer,
    vcpu::{VCpu, context::GuestFrame, inject},
};

/// An access from the host context, by an L1 without VHE.
#[inline(never)]
pub fn handle(vcpu: &mut VCpu, frame: &mut GuestFrame, access: SysRegTrap) {
    let Some(reg) = e2h0::with_vhe(access.reg) else {
        return inject::undefined_access(vcpu, frame, access);
    };
    let SysRegTrap { rt, is_read, .. } = access;
    let is_done = if is_read {
        read(vcpu, reg).map(|value| frame.set(rt, value)).is_some()
    } else {
        write(vcpu, reg, frame.get(rt))
    };
    if !is_done {
        // No instruction writes its register.
        let value = frame.get(rt);
        if reg.is_instruction() {
            frame.set(rt, e2h0::operand(reg, value));
        }
        super::any(vcpu, frame, SysRegTrap { reg, ..access });
        if reg.is_instruction() {
            frame.set(rt, value);
        }
        return;
    }
    frame.skip_instruction();
}

fn read(vcpu: &VCpu, reg: SysReg) -> Option<u64> {
    Some(match reg {
        SysReg::TCR_EL2 => e2h0::tcr_el2(TCR_EL1.get()),
        SysReg::CPTR_EL2 => merge::cptr_from_vhe(vcpu.emulated.cptr) | cptr_el2::RES1,
        SysReg::CNTHCTL_EL2 => e2h0::cnthctl_from_vhe(vcpu.emulated.cnthctl),
        SysReg::CNTVCT_EL0 | SysReg::CNTVCTSS_EL0 => timer::guest_virtual_now(vcpu),
        _ => return None,
    })
}

fn write(vcpu: &mut VCpu, reg: SysReg, value: u64) -> bool {
    match reg {
        SysReg::TCR_EL2 => TCR_EL1.set(e2h0::tcr_el1(value)),
        SysReg::SCTLR_EL2 => SCTLR_EL1.set(e2h0::sctlr_el1(value)),
        SysReg::TTBR0_EL2 => TTBR0_EL1.set(e2h0::ttbr0_el1(value)),
        SysReg::CPTR_EL2 => {
            vcpu.emulated.cptr = e2h0::cptr_as_vhe(value);
            CPACR_EL1.set(vcpu.emulated.cptr);
        }
        SysReg::CNTHCTL_EL2 => vcpu.emulated.cnthctl = e2h0::cnthctl_as_vhe(value),
        _ => return false,
    }
    true
}
