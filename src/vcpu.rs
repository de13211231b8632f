//! One virtual CPU of L1, pinned to the physical CPU of the same number.
//!
//! A vCPU is in one of two contexts. In the *host context* L1 runs at virtual EL2 (or its own EL0 under
//! `{E2H,TGE}` = `{1,1}`), and the hardware's EL1 registers hold what L1 calls its EL2 registers. In the *nested
//! context* L1's guest runs, the hardware's EL1 registers are that guest's, and L1's are parked in [`VCpu::vel2`].
//! Registers that live in the VNCR page need no parking: L1 reads and writes them there without leaving the guest.

pub mod context;
pub mod inject;
pub mod vncr;

use shadow::{ShadowFault, ShadowKey, SlotId};
use syndrome::{
    forward::L1Controls,
    merge::LastMerged,
    regs::{cnthctl_el2, hcr_el2},
    vncr as offset,
};
use vgic::VirtualInterface;

use crate::{
    arch::sysreg::*,
    exits::{self, ExitCounters},
    nested::{controls, fine::LastFine, pmu::Monitors, timer::Timers},
    vm::Vm,
};
use context::El1Registers;
use vncr::VncrPage;

/// What the hardware's EL1 registers mean at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// L1 at virtual EL2, or its EL0 under `TGE`.
    Host,
    /// Anything below virtual EL2.
    Nested,
}

/// EL2 registers of L1 that are neither in the VNCR page nor in an EL1 register of the hardware.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmulatedRegisters {
    /// `MDCR_EL2`
    pub mdcr: u64,
    /// `HPFAR_EL2`
    pub hpfar: u64,
    /// `CNTHCTL_EL2`, except the bits that live in the hardware's `CNTKCTL_EL1` while L1 runs.
    pub cnthctl: u64,
    /// `CNTKCTL_EL1` of L1's guest, while L1 runs with VHE. Without VHE the register in the hardware is its guest's.
    pub cntkctl_el12: u64,
    /// `CPTR_EL2` without VHE, in the layout of VHE: the hardware's `CPACR_EL1` lacks some of it.
    pub cptr: u64,
}

impl EmulatedRegisters {
    /// Bits of `CNTHCTL_EL2` that, with `E2H` = 1, are laid out as in `CNTKCTL_EL1` and govern EL0 under `TGE`.
    pub const CNTHCTL_IN_CNTKCTL: u64 = 0x3ff | cnthctl_el2::EVNTIS;

    /// Takes L1's `CNTHCTL_EL2` bits back from the hardware, before its guest runs.
    pub fn save_cntkctl(&mut self) {
        self.cnthctl = self.cnthctl();
    }

    /// Puts them into the hardware, before L1 runs.
    pub fn load_cntkctl(&self) {
        CNTKCTL_EL1.set(self.cnthctl & Self::CNTHCTL_IN_CNTKCTL);
    }

    /// L1's `CNTHCTL_EL2`, in the host context.
    pub fn cnthctl(&self) -> u64 {
        self.cnthctl & !Self::CNTHCTL_IN_CNTKCTL | CNTKCTL_EL1.get() & Self::CNTHCTL_IN_CNTKCTL
    }

    /// Writes L1's `CNTHCTL_EL2`, in the host context.
    pub fn set_cnthctl(&mut self, value: u64) {
        self.cnthctl = value;
        self.load_cntkctl();
    }
}

/// `MPIDR_EL1` bit 31.
const MPIDR_RES1: u64 = 1 << 31;

/// A vCPU. Only its own CPU ever holds a reference to it.
pub struct VCpu {
    /// Its number, and its CPU's.
    pub cpu: usize,
    /// The machine it belongs to.
    pub vm: &'static Vm,
    /// Its `MPIDR_EL1` as L1 sees it: the CPU's own.
    pub mpidr: u64,
    /// Which registers the hardware holds.
    pub context: Context,
    /// Registers L1 reaches in memory.
    pub vncr: VncrPage,
    /// L1's EL2 registers, while the context is nested.
    pub vel2: El1Registers,
    /// L1's EL2 registers without a home in hardware.
    pub emulated: EmulatedRegisters,
    /// L1's virtual interrupts: image of the interface, current while the nested context uses the hardware's.
    pub vif: VirtualInterface,
    /// The interface of L1's guest as it was last moved to or from the hardware.
    pub nested_vif: VirtualInterface,
    /// Where it is read to, to be compared.
    pub nested_vif_now: VirtualInterface,
    /// The list registers of it that have an interrupt, one bit each.
    pub nested_lrs: u16,
    /// The list registers of the hardware that may not be 0, one bit each.
    pub lrs_in_hardware: u16,
    /// Whether the hardware's virtual interface is loaded from L1's `ICH_*` registers.
    pub is_nested_vif_loaded: bool,
    /// Whether that interface has not changed since it was written back and L1's maintenance interrupt computed.
    pub is_nested_vif_folded: bool,
    /// Whether the hardware's maintenance interrupt is active on behalf of L1's guest.
    pub is_maintenance_active: bool,
    /// Whether the hardware's `ZCR_ELx` are those of L1's guest and its limit.
    pub is_sve_nested: bool,
    /// L1's performance monitors.
    pub monitors: Monitors,
    /// Whether a switch exchanges more than every switch does: filters of `monitors`, fine-grained traps.
    pub has_exchanges: bool,
    /// The fine-grained traps that its guest was entered with.
    pub fine: LastFine,
    /// The controls that its guest was entered with.
    pub nested_controls: LastMerged,
    /// Timers of the context that does not run.
    pub timers: Timers,
    /// The last access of its guest that L1 has refused, with the instruction, until the guest goes on.
    pub refused: Option<(u64, ShadowFault)>,
    /// The shadow stage 2 in use, referenced so that nobody recycles it; only in the nested context.
    pub shadow: Option<SlotId>,
    /// The one that was in use last. It may be another guest's by now.
    pub last_shadow: Option<SlotId>,
    /// What L1's registers said of stage 2 when its guest was last entered. L1 changes them while it is a host.
    pub guest_stage2: Option<ShadowKey>,
    /// When this CPU sweeps the shadows next, in counter ticks; only CPU 0 does.
    pub next_sweep: u64,
    /// What made it leave the guest.
    pub exits: &'static ExitCounters,
}

impl VCpu {
    /// A vCPU that is off, with the registers that reset gives it.
    pub fn new(cpu: usize, vm: &'static Vm, vncr: VncrPage) -> Self {
        Self {
            cpu,
            vm,
            mpidr: vm.machine.cpus.get(cpu).copied().unwrap_or(0) | MPIDR_RES1,
            context: Context::Host,
            vncr,
            vel2: El1Registers::default(),
            emulated: EmulatedRegisters::default(),
            vif: VirtualInterface::EMPTY,
            nested_vif: VirtualInterface::EMPTY,
            nested_vif_now: VirtualInterface::EMPTY,
            nested_lrs: 0,
            lrs_in_hardware: 0,
            is_nested_vif_loaded: false,
            is_nested_vif_folded: false,
            is_maintenance_active: false,
            is_sve_nested: false,
            monitors: Monitors::default(),
            has_exchanges: vm.offer.has_exchanges(),
            fine: LastFine::default(),
            nested_controls: LastMerged::new(&controls::NESTED),
            timers: Timers::default(),
            refused: None,
            shadow: None,
            last_shadow: None,
            guest_stage2: None,
            next_sweep: 0,
            exits: exits::of(cpu),
        }
    }

    /// The registers without a home in hardware, complete.
    pub fn emulated(&self) -> EmulatedRegisters {
        let mut emulated = self.emulated;
        if self.context == Context::Host && !self.vm.is_e2h0 {
            emulated.save_cntkctl();
        } else {
            emulated.cntkctl_el12 = CNTKCTL_EL1.get();
        }
        emulated
    }

    /// What L1 traps of its guest, in the nested context.
    pub fn l1_controls(&self) -> L1Controls {
        L1Controls {
            hcr: self.vncr.get(offset::HCR_EL2),
            mdcr: self.emulated.mdcr,
            cptr: self.vel2.cpacr,
            cnthctl: self.emulated.cnthctl,
            ich_hcr: self.vncr.get(offset::ICH_HCR_EL2),
            hstr: self.vncr.get(offset::HSTR_EL2),
        }
    }

    /// Whether L1's guest is a hypervisor as well, at a virtual EL2 that is L1's work.
    #[inline(always)]
    pub fn is_guest_nesting(&self) -> bool {
        self.vncr.get(offset::HCR_EL2) & hcr_el2::NV != 0
    }

    /// Whether the guest that runs is an EL0 alone, all of whose exceptions are L1's: it was entered with `HCR_EL2.TGE` of an
    /// L1 without VHE, and the hardware could not return to an EL1. With VHE that would be a host.
    #[inline(always)]
    pub fn is_guest_el0_alone(&self) -> bool {
        self.context == Context::Nested && HCR_EL2.get() & hcr_el2::TGE != 0
    }

    /// The shadow that L1's registers name for its guest.
    pub fn shadow_key(&self) -> ShadowKey {
        ShadowKey::new(
            self.vncr.get(offset::VTTBR_EL2),
            self.vncr.get(offset::VTCR_EL2),
            self.vncr.get(offset::HCR_EL2) & (hcr_el2::VM | hcr_el2::DC) != 0,
        )
    }
}
