//! Writing a register of a vCPU from the console.
//!
//! A write has the effect that the same write by its owner would have: what L1 and its guest may set to any value can be
//! set to any value here, and nothing else can. The processor state is checked as an ERET of L1's is. What L1 writes for
//! its guest takes effect when it enters the guest, here as there.

use core::fmt;

use hyp::{
    arch::sysreg::*,
    interrupts,
    nested::pmu,
    vcpu::{
        Context, VCpu,
        context::{El1Registers, GuestFrame},
    },
};
use syndrome::{
    SysReg,
    exception::{self, IllegalReturn},
    register::{self, Home, Register},
    regs::pstate,
    vncr,
};
use vtimer::WRITABLE;

/// Bits of the processor state that exist for L1 and its guest.
const PSTATE: u64 = pstate::NZCV
    | pstate::DIT
    | pstate::UAO
    | pstate::PAN
    | pstate::SS
    | pstate::IL
    | pstate::SSBS
    | pstate::BTYPE
    | pstate::DAIF
    | pstate::nRW
    | pstate::M;

/// Why a register was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignError {
    /// The vCPU has no such register, or not one that can be written here.
    NotWritable,
    /// The processor state cannot be.
    Illegal(IllegalReturn),
    /// The processor state belongs to the other context.
    OtherContext,
}

impl fmt::Display for AssignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWritable => f.write_str("this register cannot be written here"),
            Self::Illegal(illegal) => write!(f, "no such processor state: {illegal}"),
            Self::OtherContext => {
                f.write_str("this processor state belongs to the other context: only L1's ERET and an exception switch")
            }
        }
    }
}

impl core::error::Error for AssignError {}

/// Writes `register`. To be called on the vCPU's own CPU.
pub fn assign(vcpu: &mut VCpu, frame: &mut GuestFrame, register: Register, value: u64) -> Result<(), AssignError> {
    match register {
        Register::X(index) => frame.set(index, value),
        Register::Pc => frame.elr = value,
        Register::Pstate => assign_pstate(vcpu, frame, value)?,
        Register::Sys(reg) => assign_system(vcpu, reg, value).ok_or(AssignError::NotWritable)?,
        Register::Hardware(_) => return Err(AssignError::NotWritable),
    }
    Ok(())
}

fn assign_pstate(vcpu: &VCpu, frame: &mut GuestFrame, value: u64) -> Result<(), AssignError> {
    let value = value & PSTATE;
    let hcr = match vcpu.context {
        Context::Host => vcpu.vncr.get(vncr::HCR_EL2),
        // What its guest was entered with, whatever has been written there since.
        Context::Nested => HCR_EL2.get(),
    };
    let target = exception::check_eret(value, hcr, vcpu.vm.is_e2h0).map_err(AssignError::Illegal)?;
    if target.is_host_context() != (vcpu.context == Context::Host) {
        return Err(AssignError::OtherContext);
    }
    frame.spsr = match vcpu.context {
        Context::Host => exception::to_physical(value),
        Context::Nested => value,
    };
    Ok(())
}

fn assign_system(vcpu: &mut VCpu, reg: SysReg, value: u64) -> Option<()> {
    let is_host = vcpu.context == Context::Host;
    match register::home(reg)? {
        Home::Shared => return assign_shared(reg, value),
        Home::Vel2(offset) if is_host => assign_running(offset, value)?,
        Home::Vel2(offset) => *vcpu.vel2.at_mut(offset)? = value,
        Home::Guest(offset) if is_host => vcpu.vncr.set(offset, value),
        Home::Guest(offset) => assign_running(offset, value)?,
        Home::Page(offset) => vcpu.vncr.set(offset, value),
        Home::Emulated => assign_emulated(vcpu, reg, value)?,
        Home::L1Timer => assign_l1_timer(vcpu, reg, value)?,
        Home::GuestTimer(offset) if is_host => vcpu.vncr.set(offset, writable_of_timer(reg, value)),
        Home::GuestTimer(_) => assign_hardware_timer(reg, value)?,
        // L1's guest may be using it, and L1 would not notice.
        Home::Interface(_) => return None,
    }
    interrupts::timers_changed(vcpu);
    Some(())
}

/// The EL1 register in the hardware that has this slot in the VNCR page.
fn assign_running(offset: usize, value: u64) -> Option<()> {
    let mut running = El1Registers::default();
    running.save();
    *running.at_mut(offset)? = value;
    running.load();
    Some(())
}

fn assign_shared(reg: SysReg, value: u64) -> Option<()> {
    match reg {
        SysReg::SP_EL0 => SP_EL0.set(value),
        SysReg::TPIDR_EL0 => TPIDR_EL0.set(value),
        SysReg::TPIDRRO_EL0 => TPIDRRO_EL0.set(value),
        SysReg::TPIDR_EL1 => TPIDR_EL1.set(value),
        SysReg::PAR_EL1 => PAR_EL1.set(value),
        _ => return None,
    }
    Some(())
}

fn assign_emulated(vcpu: &mut VCpu, reg: SysReg, value: u64) -> Option<()> {
    match (reg, vcpu.context) {
        (SysReg::MDCR_EL2, _) => pmu::write_mdcr(vcpu, value),
        (SysReg::HPFAR_EL2, _) => vcpu.emulated.hpfar = value,
        (SysReg::CNTHCTL_EL2, Context::Host) => vcpu.emulated.set_cnthctl(value),
        (SysReg::CNTHCTL_EL2, Context::Nested) => vcpu.emulated.cnthctl = value,
        (SysReg::CNTKCTL_EL1, Context::Host) => vcpu.emulated.cntkctl_el12 = value,
        (SysReg::CNTKCTL_EL1, Context::Nested) => CNTKCTL_EL1.set(value),
        _ => return None,
    }
    Some(())
}

/// What of `value` software can write to a timer's register.
fn writable_of_timer(reg: SysReg, value: u64) -> u64 {
    match reg {
        SysReg::CNTHP_CTL_EL2 | SysReg::CNTHV_CTL_EL2 | SysReg::CNTP_CTL_EL0 | SysReg::CNTV_CTL_EL0 => value & WRITABLE,
        _ => value,
    }
}

fn assign_l1_timer(vcpu: &mut VCpu, reg: SysReg, value: u64) -> Option<()> {
    let timers = &mut vcpu.timers;
    let value = writable_of_timer(reg, value);
    match (vcpu.context, reg) {
        (Context::Nested, SysReg::CNTHP_CTL_EL2) => timers.hyp_physical.ctl = value,
        (Context::Nested, SysReg::CNTHP_CVAL_EL2) => timers.hyp_physical.cval = value,
        (Context::Nested, SysReg::CNTHV_CTL_EL2) => timers.hyp_virtual.ctl = value,
        (Context::Nested, SysReg::CNTHV_CVAL_EL2) => timers.hyp_virtual.cval = value,
        (Context::Nested, _) => return None,
        (Context::Host, _) => return assign_hardware_timer(reg, value),
    }
    Some(())
}

/// A timer that is in the hardware.
fn assign_hardware_timer(reg: SysReg, value: u64) -> Option<()> {
    let value = writable_of_timer(reg, value);
    match reg {
        SysReg::CNTHP_CTL_EL2 | SysReg::CNTP_CTL_EL0 => CNTP_CTL_EL0.set(value),
        SysReg::CNTHP_CVAL_EL2 | SysReg::CNTP_CVAL_EL0 => CNTP_CVAL_EL0.set(value),
        SysReg::CNTHV_CTL_EL2 | SysReg::CNTV_CTL_EL0 => CNTV_CTL_EL0.set(value),
        SysReg::CNTHV_CVAL_EL2 | SysReg::CNTV_CVAL_EL0 => CNTV_CVAL_EL0.set(value),
        _ => return None,
    }
    Some(())
}
