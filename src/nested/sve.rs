//! SVE's vector length, for L1 and its guest.
//!
//! What EL1 and EL0 get is the least of `ZCR_EL1.LEN` and `ZCR_EL2.LEN`. In the host context L1's `ZCR_EL2` is in the
//! hardware's `ZCR_EL1`, which is also L1's other name for it, and the hardware's `ZCR_EL2` limits nothing. In the nested
//! context each register is where its name says. Most guests of L1 have no SVE: theirs is not loaded, for nothing that
//! depends on it can be executed.
//!
//! The vectors are one set on real hardware too, and stay. What EL2 takes of them on the way is what lies above
//! `ZCR_EL2.LEN`, and that L1 has given up itself by writing it. While SVE is trapped, `LEN` counts as 0 (DDI 0487,
//! "ZCR_EL2, SVE Control Register").

use syndrome::{
    esr::SysRegTrap,
    merge,
    regs::{cpacr, cptr_el2},
    vncr,
};

use crate::{
    arch::{
        barrier,
        sysreg::{self, *},
    },
    vcpu::{VCpu, context::GuestFrame, inject},
};

/// `ZCR_ELx.LEN`: as long as the hardware can.
const LEN: u64 = 0xf;

/// What of `CPTR_EL2` does not trap in the host context, because the CPU has SVE.
pub fn untrapped() -> u64 {
    const ID_AA64PFR0_SVE: u64 = 0xf << 32;
    if sysreg::read_id_register(4, 0) & ID_AA64PFR0_SVE == 0 {
        0
    } else {
        cptr_el2::TZ
    }
}

/// Whether L1 has SVE.
fn is_offered(vcpu: &VCpu) -> bool {
    vcpu.vm.cptr_host & cptr_el2::TZ == 0
}

/// Whether L1, in the host context, lets itself use SVE, `ZCR_EL2` included.
fn is_enabled() -> bool {
    merge::is_enabled(CPACR_EL1.get(), cpacr::ZEN)
}

/// L1, in the host context, reads or writes its `ZCR_EL2`.
pub fn access(vcpu: &mut VCpu, frame: &mut GuestFrame, SysRegTrap { rt, is_read, .. }: SysRegTrap) {
    if !is_enabled() {
        inject::sve_trap(vcpu, frame);
        return;
    }
    if is_read {
        frame.set(rt, ZCR_EL1.get());
    } else {
        ZCR_EL1.set(frame.get(rt));
    }
    frame.skip_instruction();
}

/// On a vCPU that is switched on, with the controls of the host context.
pub fn reset(vcpu: &mut VCpu) {
    vcpu.is_sve_nested = false;
    if is_offered(vcpu) {
        ZCR_EL1.set(0);
        ZCR_EL2.set(LEN);
    }
}

/// L1's controls let its guest use SVE: the guest's register, and L1's limit. L1's other bits are RES0.
#[cold]
pub fn load_nested(vcpu: &mut VCpu) {
    if !is_offered(vcpu) {
        return;
    }
    let cptr = CPTR_EL2.get();
    open(cptr);
    ZCR_EL2.set(ZCR_EL1.get() & LEN);
    ZCR_EL1.set(vcpu.vncr.get(vncr::ZCR_EL1));
    CPTR_EL2.set(cptr);
    vcpu.is_sve_nested = true;
}

/// Lets EL2 reach the registers: L1's trap of floating point, which is of EL2 as well, would be of them, too.
fn open(cptr: u64) {
    CPTR_EL2.set(cptr & !cptr_el2::TFP);
    barrier::isb();
}

/// Back in the host context, before its controls are loaded.
#[cold]
pub fn leave_nested(vcpu: &mut VCpu) {
    open(CPTR_EL2.get());
    vcpu.vncr.set(vncr::ZCR_EL1, ZCR_EL1.get());
    ZCR_EL1.set(ZCR_EL2.get());
    ZCR_EL2.set(LEN);
    vcpu.is_sve_nested = false;
}
