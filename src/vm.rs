//! The one virtual machine: everything its vCPUs share.

use alloc::boxed::Box;

use machine::{Machine, Options};
use power::CpuPower;
use spin::Once;
use syndrome::idreg::Offer;
use vgic::{Vgic, VgicConfig};

use crate::{
    arch::{features, sysreg::*},
    dev::{gicv3::Gic, smmu::Smmu},
    interrupts,
    layout::CPU_COUNT_MAX,
    lock::Mutex,
    nested::controls,
    shadow_mmu::Mmu,
};

/// L1's machine.
///
/// Locks, in the order they are taken when several are: those of `mmu`, then the frame allocator's own; `vgic` is taken
/// with none of them held. Each is held for a bounded time, with interrupts masked as always at EL2.
pub struct Vm {
    /// What the hardware is.
    pub machine: Machine,
    /// The physical interrupt controller.
    pub gic: Gic,
    /// What confines the PCI devices, if something does.
    pub smmu: Option<Smmu>,
    /// L1's distributor and redistributors.
    pub vgic: Mutex<Box<Vgic>>,
    /// Host stage 2 and shadows.
    pub mmu: Mmu,
    /// Which vCPUs are on.
    pub power: [CpuPower; CPU_COUNT_MAX],
    /// VTTBR_EL2 of the host context.
    pub host_vttbr: u64,
    /// VTCR_EL2 of all contexts, but for guests with addresses of more than 48 bits.
    pub vtcr: u64,
    /// MIDR_EL1 as L1 sees it.
    pub midr: u64,
    /// MDCR_EL2.HPMN as reset left it: how many event counters there are.
    pub mdcr_hpmn: u64,
    /// Whether L1 is without VHE.
    pub is_e2h0: bool,
    /// Whether L1 runs on FEAT_NV alone.
    pub is_plain_nv: bool,
    /// What L1 is shown of the machine's features.
    pub offer: Offer,
    /// `HCR_EL2` of the host context.
    pub hcr_host: u64,
    /// What of L1's `HCR_EL2` counts for its guest.
    pub hcr_of_l1: u64,
    /// `CPTR_EL2` of the host context.
    pub cptr_host: u64,
    /// `CNTHCTL_EL2` of the host context.
    pub cnthctl_host: u64,
    /// List registers of the hardware, and of L1.
    pub lr_count: usize,
}

static VM: Once<Vm> = Once::new();

impl Vm {
    /// Puts the machine together, on the boot CPU.
    pub fn create(machine: Machine, gic: Gic, smmu: Option<Smmu>, mut mmu: Mmu, options: &Options) -> &'static Self {
        VM.call_once(|| {
            let lr_count = interrupts::lr_count();
            let offer = Offer {
                e2h0: options.e2h0,
                fgt: options.fgt && features::has_fgt(),
                lpa2: options.lpa2 && features::has_lpa2(),
            };
            if offer.lpa2 {
                mmu.shadows.offer_lpa2();
            }
            let mut mpidr = [0; CPU_COUNT_MAX];
            for (slot, affinity) in mpidr.iter_mut().zip(&machine.cpus) {
                *slot = *affinity;
            }
            let config = VgicConfig {
                cpus: machine.cpus.len(),
                mpidr,
                spi_count: gic.spi_count(),
                lr_count,
                id_bits: 10,
            };
            // On the heap from the start: it is too large to be handed from stack frame to stack frame.
            let mut vgic = Box::new(Vgic::unconfigured());
            if let Err(error) = vgic.configure(&config) {
                panic!("the GIC of this machine cannot be emulated: {error}");
            }
            if let Some(uart) = &machine.debug_uart {
                vgic.withhold_spi(uart.intid);
            }
            if let Ok(smmu) = &machine.smmu {
                vgic.withhold_spi(smmu.events);
                vgic.withhold_spi(smmu.errors);
            }
            Self {
                host_vttbr: mmu.host_vttbr(),
                vtcr: mmu.vtcr(),
                midr: MIDR_EL1.get(),
                mdcr_hpmn: MDCR_EL2.get() & 0x1f,
                is_e2h0: options.e2h0,
                is_plain_nv: options.plain_nv,
                offer,
                hcr_host: controls::hcr_host(options),
                hcr_of_l1: controls::hcr_of_l1(options),
                cptr_host: controls::cptr_host(options.e2h0),
                cnthctl_host: controls::cnthctl_host(options.e2h0),
                lr_count,
                machine,
                gic,
                smmu,
                vgic: Mutex::new(vgic),
                mmu,
                power: [const { CpuPower::new() }; CPU_COUNT_MAX],
            }
        })
    }

    /// The machine, once it exists.
    pub fn get() -> Option<&'static Self> {
        VM.get()
    }
}
