//! All registers of a vCPU at one moment.
//!
//! A register of L1's or of its guest's is in one of three places, and which one depends on what runs: in the hardware, in
//! the VNCR page, or parked in the [`VCpu`]. A snapshot has them by what they are: [`Snapshot::vel2`] are L1's EL2
//! registers and [`Snapshot::guest`] its guest's EL1 registers, whoever runs. [`Snapshot::page`] is the VNCR page as it
//! lies in memory, where the guest's registers are out of date while the guest runs.

use hyp::{
    arch::sysreg::*,
    interrupts,
    nested::{
        fine,
        timer::{self, Timers},
    },
    vcpu::{
        Context, EmulatedRegisters, VCpu,
        context::{El1Registers, GuestFrame},
    },
};
use shadow::{ShadowKey, SlotId};
use syndrome::{
    SysReg, exception,
    fgt::FineControls,
    register::{self, Home, Register},
    vncr,
};
use vgic::VirtualInterface;
use vtimer::Timer;

/// All registers of a vCPU, taken on its CPU while the guest did not run.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The vCPU's number.
    pub cpu: usize,
    /// Who was running.
    pub context: Context,
    /// General-purpose registers, program counter and processor state of who was running. The processor state is the
    /// hardware's: EL1 where L1 believes to be at EL2.
    pub frame: GuestFrame,
    /// Registers of which there is one set for both contexts.
    pub shared: Shared,
    /// L1's EL2 registers that have an EL1 counterpart, with the layout of `E2H` = 1: `vel2.sctlr` is its `SCTLR_EL2`.
    pub vel2: El1Registers,
    /// Its guest's EL1 registers: `guest.sctlr` is `SCTLR_EL1` of L2.
    pub guest: El1Registers,
    /// L1's EL2 registers that exist nowhere but here; `CNTHCTL_EL2` complete.
    pub emulated: EmulatedRegisters,
    /// The VNCR page, a value for each of [`vncr::slots`], in their order.
    pub page: [u64; vncr::SLOT_COUNT],
    /// The physical EL2 registers that governed who was running.
    pub hardware: Hardware,
    /// The timers.
    pub timers: AllTimers,
    /// The hardware's virtual interrupt interface.
    pub interface: VirtualInterface,
    /// L1's interface as it was last saved: current while [`Snapshot::is_guest_interface`].
    pub l1_interface: VirtualInterface,
    /// Whether the hardware's interface was loaded from L1's `ICH_*` registers, for its guest.
    pub is_guest_interface: bool,
    /// Whether the hardware's maintenance interrupt is active on behalf of L1's guest.
    pub is_maintenance_active: bool,
    /// The shadow in use, in the nested context.
    pub shadow: Option<SlotId>,
    /// List registers that there are, of the hardware and of L1.
    pub lr_count: usize,
    /// What L1's registers said of stage 2 when its guest was last entered.
    pub guest_stage2: Option<ShadowKey>,
}

/// Registers that a switch of contexts leaves alone, or whose value in the hardware is all there is.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// `SP_EL0`
    pub sp_el0: u64,
    /// `TPIDR_EL0`
    pub tpidr_el0: u64,
    /// `TPIDRRO_EL0`
    pub tpidrro_el0: u64,
    /// `TPIDR_EL1`
    pub tpidr_el1: u64,
    /// `PAR_EL1`
    pub par_el1: u64,
    /// `MDSCR_EL1` in force.
    pub mdscr_el1: u64,
}

/// Physical EL2 registers. `CPTR_EL2` and `CNTHCTL_EL2` have the layout of `E2H` = 0 here.
#[derive(Clone, Copy, Debug)]
pub struct Hardware {
    /// `HCR_EL2`
    pub hcr: u64,
    /// `HCRX_EL2`
    pub hcrx: u64,
    /// The fine-grained traps.
    pub fine: FineControls,
    /// `VTTBR_EL2`
    pub vttbr: u64,
    /// `VTCR_EL2`
    pub vtcr: u64,
    /// `MDCR_EL2`
    pub mdcr: u64,
    /// `CPTR_EL2`
    pub cptr: u64,
    /// `CNTHCTL_EL2`
    pub cnthctl: u64,
    /// `CNTVOFF_EL2`
    pub cntvoff: u64,
    /// `VNCR_EL2`
    pub vncr: u64,
    /// `VPIDR_EL2`
    pub vpidr: u64,
    /// `VMPIDR_EL2`
    pub vmpidr: u64,
    /// `ICH_MISR_EL2`
    pub misr: u64,
}

/// The four timers that a vCPU has, and what goes with them.
#[derive(Clone, Copy, Debug)]
pub struct AllTimers {
    /// The physical counter when all this was read.
    pub now: u64,
    /// `CNTHP` and `CNTHV`: L1's own.
    pub l1: Timers,
    /// `CNTP` of its guest.
    pub guest_physical: Timer,
    /// `CNTV` of its guest, which counts `now` less `offset`.
    pub guest_virtual: Timer,
    /// L1's `CNTVOFF_EL2`.
    pub offset: u64,
    /// The EL2 timer that wakes this CPU for those that are not in the hardware.
    pub wake_up: Timer,
}

impl Snapshot {
    /// Takes everything down. To be called on the vCPU's own CPU.
    pub fn take(vcpu: &VCpu, frame: &GuestFrame) -> Self {
        let mut running = El1Registers::default();
        running.save();
        let (vel2, guest) = match vcpu.context {
            Context::Host => (running, El1Registers::from_vncr(vcpu.vncr)),
            Context::Nested => (vcpu.vel2, running),
        };
        let mut page = [0; vncr::SLOT_COUNT];
        for (value, slot) in page.iter_mut().zip(vncr::slots()) {
            *value = vcpu.vncr.get(slot.offset());
        }
        Self {
            cpu: vcpu.cpu,
            context: vcpu.context,
            frame: *frame,
            shared: Shared::read(),
            vel2,
            guest,
            emulated: vcpu.emulated(),
            page,
            hardware: Hardware::read(),
            timers: AllTimers::read(vcpu),
            interface: interrupts::hardware_interface(vcpu.vm.lr_count),
            l1_interface: vcpu.vif.clone(),
            is_guest_interface: vcpu.is_nested_vif_loaded,
            is_maintenance_active: vcpu.is_maintenance_active,
            shadow: vcpu.shadow,
            lr_count: vcpu.vm.lr_count,
            guest_stage2: vcpu.guest_stage2,
        }
    }

    /// The word at byte `offset` of the VNCR page, if a register lies there.
    pub fn at_offset(&self, offset: usize) -> Option<u64> {
        vncr::slots()
            .zip(self.page)
            .find(|(slot, _)| slot.offset() == offset)
            .map(|(_, value)| value)
    }

    /// The processor state of who was running, as they see it themselves: at EL2 for L1.
    pub fn pstate(&self) -> u64 {
        match self.context {
            Context::Host => exception::to_virtual(self.frame.spsr),
            Context::Nested => self.frame.spsr,
        }
    }

    /// The value of a register; `None` if the vCPU does not have it.
    pub fn get(&self, register: Register) -> Option<u64> {
        match register {
            Register::X(index) => self.frame.x.get(usize::from(index)).copied(),
            Register::Pc => Some(self.frame.elr),
            Register::Pstate => Some(self.pstate()),
            Register::Hardware(reg) => self.hardware(reg),
            Register::Sys(reg) => match register::home(reg)? {
                Home::Shared => self.shared.get(reg),
                Home::Vel2(offset) => self.vel2.at(offset),
                Home::Guest(offset) => self.guest.at(offset),
                Home::Page(offset) => self.at_offset(offset),
                Home::Interface(offset) if self.has_list_register(reg) => self.at_offset(offset),
                Home::Interface(_) => None,
                Home::Emulated => self.emulated(reg),
                Home::L1Timer | Home::GuestTimer(_) => self.timers.get(reg),
            },
        }
    }

    /// Whether `reg` is no list register that does not exist.
    fn has_list_register(&self, reg: SysReg) -> bool {
        list_register(reg).is_none_or(|index| index < self.lr_count)
    }

    fn emulated(&self, reg: SysReg) -> Option<u64> {
        Some(match reg {
            SysReg::MDCR_EL2 => self.emulated.mdcr,
            SysReg::HPFAR_EL2 => self.emulated.hpfar,
            SysReg::CNTHCTL_EL2 => self.emulated.cnthctl,
            SysReg::CNTKCTL_EL1 => self.emulated.cntkctl_el12,
            _ => return None,
        })
    }

    fn hardware(&self, reg: SysReg) -> Option<u64> {
        if let Some(index) = list_register(reg) {
            return self.interface.lr.get(..self.lr_count)?.get(index).copied();
        }
        let hardware = &self.hardware;
        Some(match reg {
            SysReg::HCR_EL2 => hardware.hcr,
            SysReg::HCRX_EL2 => hardware.hcrx,
            SysReg::VTTBR_EL2 => hardware.vttbr,
            SysReg::VTCR_EL2 => hardware.vtcr,
            SysReg::MDCR_EL2 => hardware.mdcr,
            SysReg::CPTR_EL2 => hardware.cptr,
            SysReg::CNTHCTL_EL2 => hardware.cnthctl,
            SysReg::CNTVOFF_EL2 => hardware.cntvoff,
            SysReg::VNCR_EL2 => hardware.vncr,
            SysReg::VPIDR_EL2 => hardware.vpidr,
            SysReg::VMPIDR_EL2 => hardware.vmpidr,
            SysReg::MDSCR_EL1 => self.shared.mdscr_el1,
            SysReg::ICH_HCR_EL2 => self.interface.hcr,
            SysReg::ICH_VMCR_EL2 => self.interface.vmcr,
            SysReg::ICH_AP0R0_EL2 => self.interface.ap0r0,
            SysReg::ICH_AP1R0_EL2 => self.interface.ap1r0,
            SysReg::ICH_MISR_EL2 => hardware.misr,
            _ => return hardware.fine.get(reg),
        })
    }
}

/// The number of a list register.
fn list_register(reg: SysReg) -> Option<usize> {
    reg.is_within(SysReg::ICH_LR0_EL2, SysReg::ICH_LR15_EL2)
        .then(|| usize::from(reg.bits() - SysReg::ICH_LR0_EL2.bits()))
}

impl Shared {
    fn get(&self, reg: SysReg) -> Option<u64> {
        Some(match reg {
            SysReg::SP_EL0 => self.sp_el0,
            SysReg::TPIDR_EL0 => self.tpidr_el0,
            SysReg::TPIDRRO_EL0 => self.tpidrro_el0,
            SysReg::TPIDR_EL1 => self.tpidr_el1,
            SysReg::PAR_EL1 => self.par_el1,
            _ => return None,
        })
    }

    fn read() -> Self {
        Self {
            sp_el0: SP_EL0.get(),
            tpidr_el0: TPIDR_EL0.get(),
            tpidrro_el0: TPIDRRO_EL0.get(),
            tpidr_el1: TPIDR_EL1.get(),
            par_el1: PAR_EL1.get(),
            mdscr_el1: MDSCR_EL1.get(),
        }
    }
}

impl Hardware {
    fn read() -> Self {
        Self {
            hcr: HCR_EL2.get(),
            hcrx: HCRX_EL2.get(),
            fine: fine::in_force(),
            vttbr: VTTBR_EL2.get(),
            vtcr: VTCR_EL2.get(),
            mdcr: MDCR_EL2.get(),
            cptr: CPTR_EL2.get(),
            cnthctl: CNTHCTL_EL2.get(),
            cntvoff: CNTVOFF_EL2.get(),
            vncr: VNCR_EL2.get(),
            vpidr: VPIDR_EL2.get(),
            vmpidr: VMPIDR_EL2.get(),
            misr: ICH_MISR_EL2.get(),
        }
    }
}

impl AllTimers {
    /// The virtual counter of L1's guest.
    pub fn guest_virtual_now(&self) -> u64 {
        self.now.wrapping_sub(self.offset)
    }

    /// A timer's register as it reads.
    fn get(&self, reg: SysReg) -> Option<u64> {
        Some(match reg {
            SysReg::CNTHP_CTL_EL2 => self.l1.hyp_physical.read_ctl(self.now),
            SysReg::CNTHP_CVAL_EL2 => self.l1.hyp_physical.cval,
            SysReg::CNTHV_CTL_EL2 => self.l1.hyp_virtual.read_ctl(self.now),
            SysReg::CNTHV_CVAL_EL2 => self.l1.hyp_virtual.cval,
            SysReg::CNTP_CTL_EL0 => self.guest_physical.read_ctl(self.now),
            SysReg::CNTP_CVAL_EL0 => self.guest_physical.cval,
            SysReg::CNTV_CTL_EL0 => self.guest_virtual.read_ctl(self.guest_virtual_now()),
            SysReg::CNTV_CVAL_EL0 => self.guest_virtual.cval,
            _ => return None,
        })
    }

    fn read(vcpu: &VCpu) -> Self {
        let running = Timers::of_hardware();
        let (l1, guest_physical, guest_virtual) = match vcpu.context {
            Context::Host => (running, timer::guest_physical(vcpu), timer::guest_virtual(vcpu)),
            Context::Nested => (vcpu.timers, running.hyp_physical, running.hyp_virtual),
        };
        Self {
            now: timer::now(),
            l1,
            guest_physical,
            guest_virtual,
            offset: vcpu.vncr.get(vncr::CNTVOFF_EL2),
            wake_up: Timer {
                ctl: CNTHP_CTL.get(),
                cval: CNTHP_CVAL_EL2.get(),
            },
        }
    }
}
