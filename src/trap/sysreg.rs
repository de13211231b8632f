//! Trapped system registers and instructions.
//!
//! From virtual EL2 these are L1's EL2 registers that FEAT_NV2 does not keep in memory. Most of them live in the EL1
//! register of the hardware that stands for them, because with `E2H` = 1 the layouts agree. They, and whatever else is done
//! in a few instructions, are in [`short`].

pub mod e2h0;
pub mod short;

use ::trace::Event;
use syndrome::{Esr, SysReg, esr::SysRegTrap, idreg};
use vgic::{SgiRegister, ich};

use crate::{
    arch::sysreg::{self, *},
    interrupts::{self, L1Interface},
    nested::{at, pmu, sve, timer, tlbi},
    trace, unhandled,
    vcpu::{Context, VCpu, context::GuestFrame, inject},
};

/// ICC_SRE_EL1 as L1 sees it.
const ICC_SRE_EL1: u64 = 0x7;

/// Records an access from the host context.
pub fn record(vcpu: &VCpu, frame: &GuestFrame, esr: Esr) {
    let access = esr.sysreg();
    trace::record(vcpu.cpu, || Event::SysAccess {
        reg: access.reg,
        is_write: !access.is_read,
        pc: frame.elr,
    });
}

/// An access by an L1 with VHE, wherever it is done.
#[cold]
fn any(vcpu: &mut VCpu, frame: &mut GuestFrame, access: SysRegTrap) {
    let is_done = !access.reg.is_instruction() && short::access(vcpu, frame, Esr::sysreg_trap(access)).is_some();
    if !is_done {
        handle(vcpu, frame, access);
    }
}

/// An access by an L1 with VHE that [`short`] has left.
pub fn handle(vcpu: &mut VCpu, frame: &mut GuestFrame, access: SysRegTrap) {
    let SysRegTrap { reg, rt, is_read } = access;
    let is_done = if reg.is_instruction() {
        let operand = frame.get(rt);
        tlbi::execute(vcpu, reg, operand)
            || match at::execute(vcpu, reg, operand) {
                Some(Err(fault)) => return inject::abort_of_at(vcpu, frame, fault.fsc(), operand),
                result => result.is_some(),
            }
    } else if is_read {
        read(vcpu, reg).map(|value| frame.set(rt, value)).is_some()
    } else {
        write(vcpu, reg, frame.get(rt)).is_some()
    };
    finish(vcpu, frame, access, is_done);
}

/// Goes on behind an access that was emulated; another one is refused.
#[inline]
fn finish(vcpu: &mut VCpu, frame: &mut GuestFrame, access: SysRegTrap, is_done: bool) {
    if is_done {
        frame.skip_instruction();
    } else {
        refuse(vcpu, frame, access);
    }
}

/// What is too rare to be looked for above. Anything else is undefined, which is news unless it is about a feature that is
/// not shown.
#[cold]
fn refuse(vcpu: &mut VCpu, frame: &mut GuestFrame, access: SysRegTrap) {
    if pmu::access(vcpu, frame, access) {
        return;
    }
    if access.reg.row().is_hidden() {
        inject::undefined_access(vcpu, frame, access);
    } else if access.reg == SysReg::ZCR_EL2 && vcpu.context == Context::Host {
        sve::access(vcpu, frame, access);
    } else {
        unhandled::system_register(vcpu, frame, access.reg, access.is_read);
    }
}

/// An access from the nested context that L1 did not ask to see.
pub fn handle_nested(vcpu: &mut VCpu, frame: &mut GuestFrame, access: SysRegTrap) {
    let SysRegTrap { reg, rt, is_read } = access;
    // With plain FEAT_NV it traps in both contexts, for L1's sake.
    let is_mdscr = reg == SysReg::MDSCR_EL1;
    let is_done = if is_read {
        let value = id_register(vcpu, reg).or_else(|| is_mdscr.then(|| MDSCR_EL1.get()));
        value.map(|value| frame.set(rt, value)).is_some()
    } else {
        let value = frame.get(rt);
        let done = write_interrupt(vcpu, reg, value).or_else(|| is_mdscr.then(|| MDSCR_EL1.set(value)));
        done.is_some()
    };
    finish(vcpu, frame, access, is_done);
}

/// A register that FEAT_NV2 keeps in the page, where plain FEAT_NV traps; or of the ID space.
#[inline(never)]
fn in_page_or_id(vcpu: &VCpu, reg: SysReg) -> Option<u64> {
    let word = reg.row().place.word_with_vhe();
    word.map(|word| vcpu.vncr.get(word.offset()))
        .or_else(|| id_register(vcpu, reg))
}

/// The same for a write: no side effect, as in memory.
#[inline(never)]
fn write_to_page(vcpu: &VCpu, reg: SysReg, value: u64) -> Option<()> {
    let word = reg.row().place.word_with_vhe()?;
    vcpu.vncr.set(word.offset(), value);
    Some(())
}

#[inline(never)]
fn id_register(vcpu: &VCpu, reg: SysReg) -> Option<u64> {
    reg.is_id_group3()
        .then(|| idreg::visible(reg, sysreg::read_id_register(reg.crm(), reg.op2()), vcpu.vm.offer))
}

/// What is not in [`short`], or is more there than a few instructions.
fn read(vcpu: &mut VCpu, reg: SysReg) -> Option<u64> {
    let now = timer::now;
    Some(match reg {
        SysReg::CNTHP_TVAL_EL2 => CNTP_TVAL_EL0.get(),
        SysReg::CNTHV_TVAL_EL2 => CNTV_TVAL_EL0.get(),
        SysReg::CNTP_TVAL_EL02 => timer::guest_physical(vcpu).read_tval(now()),
        SysReg::CNTV_TVAL_EL02 => timer::guest_virtual(vcpu).read_tval(timer::guest_virtual_now(vcpu)),
        SysReg::ICC_SRE_EL1 => ICC_SRE_EL1,
        SysReg::ICH_MISR_EL2 => ich::misr(&L1Interface(&vcpu.vncr), vcpu.vm.lr_count),
        SysReg::ICH_EISR_EL2 => ich::eisr(&L1Interface(&vcpu.vncr), vcpu.vm.lr_count),
        SysReg::ICH_ELRSR_EL2 => ich::elrsr(&L1Interface(&vcpu.vncr), vcpu.vm.lr_count),
        // Nothing implementation defined: RES0.
        SysReg::ACTLR_EL2 | SysReg::HACR_EL2 => 0,
        // Reset is gnomon's business.
        SysReg::RVBAR_EL2 | SysReg::RMR_EL2 => 0,
        _ => return in_page_or_id(vcpu, reg),
    })
}

/// The same for writing.
fn write(vcpu: &mut VCpu, reg: SysReg, value: u64) -> Option<()> {
    match reg {
        SysReg::MDCR_EL2 => pmu::write_mdcr(vcpu, value),
        SysReg::CNTHP_TVAL_EL2 => CNTP_TVAL_EL0.set(value),
        SysReg::CNTHV_TVAL_EL2 => CNTV_TVAL_EL0.set(value),
        SysReg::CNTP_CTL_EL02
        | SysReg::CNTP_CVAL_EL02
        | SysReg::CNTP_TVAL_EL02
        | SysReg::CNTV_CTL_EL02
        | SysReg::CNTV_CVAL_EL02
        | SysReg::CNTV_TVAL_EL02 => {
            if timer::write_guest_timer(vcpu, reg, value) {
                interrupts::timers_changed(vcpu);
            }
        }
        SysReg::ICC_SRE_EL1 | SysReg::ACTLR_EL2 | SysReg::HACR_EL2 | SysReg::RMR_EL2 => {}
        _ => return write_interrupt(vcpu, reg, value).or_else(|| write_to_page(vcpu, reg, value)),
    }
    Some(())
}

/// What is written to L1's interrupts. The registers that generate SGIs trap at every level below EL2, because physical
/// interrupts are EL2's. Where L1 leaves interrupts to what runs below it, that is one more way to send and to end them.
#[inline(never)]
fn write_interrupt(vcpu: &mut VCpu, reg: SysReg, value: u64) -> Option<()> {
    let register = match reg {
        SysReg::ICC_SGI1R_EL1 => SgiRegister::Sgi1,
        SysReg::ICC_SGI0R_EL1 => SgiRegister::Sgi0,
        SysReg::ICC_ASGI1R_EL1 => SgiRegister::Asgi1,
        // Where its guest has an interface of its own, it traps for L1's sake.
        SysReg::ICC_DIR_EL1 if !vcpu.is_nested_vif_loaded => {
            interrupts::deactivate(vcpu, value);
            return Some(());
        }
        _ => return None,
    };
    interrupts::send_sgi(vcpu, register, value);
    Some(())
}
