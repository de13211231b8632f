//! The physical GICv3 (IHI 0069): distributor, redistributors and CPU interface.
//!
//! One security state, affinity routing on, everything in group 1. Acknowledging an interrupt drops its priority and
//! leaves it active (`EOImode` 1): an interrupt forwarded to L1 is deactivated by L1's own end of interrupt, through
//! a list register linked to it.
//!
//! All accesses are single loads and stores of registers that are written with ones where it matters
//! (`GICD_ISENABLER`, ..), so CPUs need no lock between them.

use core::ops::Range;

use tock_registers::register_structs;

use super::mmio::{ReadOnly, ReadWrite};
use crate::{
    arch::{
        barrier,
        sysreg::{self, Readable},
    },
    layout::CPU_COUNT_MAX,
};

register_structs! {
    Distributor {
        (0x0000 => ctlr: ReadWrite<u32>),
        (0x0004 => typer: ReadOnly<u32>),
        (0x0008 => _reserved0),
        (0x0080 => igroupr: [ReadWrite<u32>; 32]),
        (0x0100 => isenabler: [ReadWrite<u32>; 32]),
        (0x0180 => icenabler: [ReadWrite<u32>; 32]),
        (0x0200 => ispendr: [ReadWrite<u32>; 32]),
        (0x0280 => icpendr: [ReadWrite<u32>; 32]),
        (0x0300 => isactiver: [ReadWrite<u32>; 32]),
        (0x0380 => icactiver: [ReadWrite<u32>; 32]),
        (0x0400 => ipriorityr: [ReadWrite<u8>; 1024]),
        (0x0800 => _reserved1),
        (0x0c00 => icfgr: [ReadWrite<u32>; 64]),
        (0x0d00 => _reserved2),
        (0x6000 => irouter: [ReadWrite<u64>; 1024]),
        (0x8000 => @END),
    },
    Redistributor {
        (0x00000 => _ctlr: ReadWrite<u32>),
        (0x00004 => _iidr: ReadOnly<u32>),
        (0x00008 => typer: ReadOnly<u64>),
        (0x00010 => _reserved0),
        (0x00014 => waker: ReadWrite<u32>),
        (0x00018 => _reserved1),
        (0x10000 => private: PrivateFrame),
        (0x20000 => @END),
    },
    PrivateFrame {
        (0x0000 => _reserved0),
        (0x0080 => igroupr: ReadWrite<u32>),
        (0x0084 => _reserved2),
        (0x0100 => isenabler: ReadWrite<u32>),
        (0x0104 => _reserved3),
        (0x0180 => icenabler: ReadWrite<u32>),
        (0x0184 => _reserved4),
        (0x0200 => ispendr: ReadWrite<u32>),
        (0x0204 => _reserved9),
        (0x0280 => icpendr: ReadWrite<u32>),
        (0x0284 => _reserved5),
        (0x0300 => isactiver: ReadWrite<u32>),
        (0x0304 => _reserved6),
        (0x0380 => icactiver: ReadWrite<u32>),
        (0x0384 => _reserved7),
        (0x0400 => ipriorityr: [ReadWrite<u8>; 32]),
        (0x0420 => _reserved8),
        (0x10000 => @END),
    }
}

/// Bytes of one redistributor: two frames of 64 KiB.
pub const REDISTRIBUTOR_BYTES: u64 = 0x2_0000;
/// First shared peripheral interrupt.
const FIRST_SPI: u32 = 32;
/// First INTID that is not an ordinary interrupt; 1023 means "none pending".
const FIRST_SPECIAL: u32 = 1020;
/// Every interrupt gnomon enables has this priority: it never preempts itself.
const PRIORITY: u8 = 0xa0;

const CTLR_ENABLE_GROUP1: u32 = 1 << 1;
const CTLR_ARE: u32 = 1 << 4;
const WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
const WAKER_CHILDREN_ASLEEP: u32 = 1 << 2;
const ICC_CTLR_EOIMODE: u64 = 1 << 1;
/// ICC_SRE_EL2: system registers, no bypass, EL1 may use them too.
const ICC_SRE_ENABLE: u64 = 0xf;
/// The affinity bits of GICD_IROUTER: Aff3 and Aff2 to Aff0.
const AFFINITY: u64 = 0xff_00ff_ffff;

/// The interrupt controller.
pub struct Gic {
    distributor: &'static Distributor,
    /// Each CPU's own, in gnomon's numbering.
    redistributors: [Option<&'static Redistributor>; CPU_COUNT_MAX],
    /// The frame of those that is about SGIs and PPIs.
    private: [Option<&'static PrivateFrame>; CPU_COUNT_MAX],
    affinities: [u64; CPU_COUNT_MAX],
}

// SAFETY: device registers have no owner thread; concurrent single accesses are what the GIC is made for.
unsafe impl Send for Gic {}
// SAFETY: as above.
unsafe impl Sync for Gic {}

impl Gic {
    /// Takes the controller over and sets the distributor up: everything in group 1, disabled.
    ///
    /// # Safety
    ///
    /// The ranges are a GICv3's distributor and redistributors, mapped as Device memory and driven by nobody else.
    pub unsafe fn new(gicd: &Range<u64>, gicr: &Range<u64>, affinities: &[u64]) -> Self {
        // SAFETY: the caller vouches for the address.
        let distributor = unsafe { &*(gicd.start as *const Distributor) };
        let mut gic = Self {
            distributor,
            redistributors: [None; CPU_COUNT_MAX],
            private: [None; CPU_COUNT_MAX],
            affinities: [0; CPU_COUNT_MAX],
        };
        for (slot, affinity) in gic.affinities.iter_mut().zip(affinities) {
            *slot = affinity & AFFINITY;
        }
        let mut base = gicr.start;
        while base + REDISTRIBUTOR_BYTES <= gicr.end {
            // SAFETY: the caller vouches for the range; the last redistributor ends the search.
            let redistributor = unsafe { &*(base as *const Redistributor) };
            let typer = redistributor.typer.get();
            if let Some(cpu) = gic.cpu_of_typer(typer) {
                gic.redistributors[cpu] = Some(redistributor);
                gic.private[cpu] = Some(&redistributor.private);
            }
            const LAST: u64 = 1 << 4;
            if typer & LAST != 0 {
                break;
            }
            base += REDISTRIBUTOR_BYTES;
        }
        gic.reset_distributor(affinities.len());
        gic
    }

    fn cpu_of_typer(&self, typer: u64) -> Option<usize> {
        let packed = typer >> 32;
        let affinity = (packed & 0xff_ffff) | (packed >> 24 << 32);
        self.affinities.iter().position(|candidate| *candidate == affinity)
    }

    fn reset_distributor(&self, cpu_count: usize) {
        debug_assert!(cpu_count <= CPU_COUNT_MAX);
        self.distributor.ctlr.set(0);
        for word in 1..self.spi_words() {
            self.distributor.icenabler[word].set(u32::MAX);
            self.distributor.icpendr[word].set(u32::MAX);
            self.distributor.icactiver[word].set(u32::MAX);
            self.distributor.igroupr[word].set(u32::MAX);
        }
        for intid in 32..self.spi_words() * 32 {
            self.distributor.ipriorityr[intid].set(PRIORITY);
        }
        self.distributor.ctlr.set(CTLR_ARE | CTLR_ENABLE_GROUP1);
    }

    /// Words of 32 interrupts the distributor has, SGIs and PPIs included.
    fn spi_words(&self) -> usize {
        (self.distributor.typer.get() as usize & 0x1f) + 1
    }

    /// Shared peripheral interrupts the distributor has: a multiple of 32.
    pub fn spi_count(&self) -> u32 {
        (self.spi_words() as u32 - 1) * 32
    }

    /// Sets up this CPU's redistributor and CPU interface: SGIs and `ppis` (a mask) on.
    pub fn init_cpu(&self, cpu: usize, ppis: u32) {
        const SGIS: u32 = 0xffff;
        if let Some(redistributor) = self.redistributor(cpu) {
            let waker = redistributor.waker.get();
            redistributor.waker.set(waker & !WAKER_PROCESSOR_SLEEP);
            while redistributor.waker.get() & WAKER_CHILDREN_ASLEEP != 0 {
                core::hint::spin_loop();
            }
            let private = &redistributor.private;
            private.icenabler.set(u32::MAX);
            private.icpendr.set(u32::MAX);
            private.icactiver.set(u32::MAX);
            private.igroupr.set(u32::MAX);
            for priority in &private.ipriorityr {
                priority.set(PRIORITY);
            }
            private.isenabler.set(SGIS | ppis);
        }
        sysreg::ICC_SRE.set(ICC_SRE_ENABLE);
        barrier::isb();
        sysreg::ICC_PMR_EL1.set(0xff);
        sysreg::ICC_BPR1_EL1.set(0);
        sysreg::ICC_CTLR.set(ICC_CTLR_EOIMODE);
        sysreg::ICC_IGRPEN1_EL1.set(1);
        barrier::isb();
    }

    fn redistributor(&self, cpu: usize) -> Option<&'static Redistributor> {
        self.redistributors.get(cpu).copied().flatten()
    }

    fn private(&self, cpu: usize) -> Option<&'static PrivateFrame> {
        self.private.get(cpu).copied().flatten()
    }

    /// Whether CPU `cpu` has a redistributor.
    pub fn has_cpu(&self, cpu: usize) -> bool {
        self.redistributor(cpu).is_some()
    }

    /// Whether CPU `cpu` is the one that asks.
    pub fn is_this_cpu(&self, cpu: usize) -> bool {
        self.affinities.get(cpu) == Some(&(sysreg::MPIDR_EL1.get() & AFFINITY))
    }

    /// Takes this CPU's most urgent pending interrupt: it becomes active, and its priority is dropped at once.
    pub fn acknowledge(&self) -> Option<u32> {
        let intid = sysreg::ICC_IAR1_EL1.get() as u32;
        if intid >= FIRST_SPECIAL {
            return None;
        }
        sysreg::ICC_EOIR1_EL1.set(u64::from(intid));
        Some(intid)
    }

    /// Ends an interrupt that [`acknowledge`](Self::acknowledge) returned on this CPU.
    pub fn deactivate(&self, intid: u32) {
        sysreg::ICC_DIR_EL1.set(u64::from(intid));
    }

    /// Interrupts CPU `cpu` with SGI `sgi`.
    pub fn send_sgi(&self, cpu: usize, sgi: u8) {
        let affinity = self.affinities.get(cpu).copied().unwrap_or(0);
        let (aff0, aff1, aff2, aff3) = (
            affinity & 0xff,
            affinity >> 8 & 0xff,
            affinity >> 16 & 0xff,
            affinity >> 32 & 0xff,
        );
        let value = aff3 << 48 | (aff0 >> 4) << 44 | aff2 << 32 | u64::from(sgi) << 24 | aff1 << 16 | 1 << (aff0 & 0xf);
        // What the target is to find must be in memory before the interrupt is.
        barrier::dsb_ishst();
        sysreg::ICC_SGI1R_EL1.set(value);
        barrier::isb();
    }

    /// Enables or disables shared interrupt `intid`.
    pub fn set_enabled(&self, intid: u32, is_enabled: bool) {
        let (word, bit) = (intid as usize / 32, 1 << (intid % 32));
        let registers = if is_enabled {
            &self.distributor.isenabler
        } else {
            &self.distributor.icenabler
        };
        if let (true, Some(register)) = (intid >= FIRST_SPI, registers.get(word)) {
            register.set(bit);
        }
    }

    /// Makes shared interrupt `intid` edge-triggered or level-sensitive.
    pub fn set_edge(&self, intid: u32, is_edge: bool) {
        let shift = intid % 16 * 2 + 1;
        if let (true, Some(register)) = (intid >= FIRST_SPI, self.distributor.icfgr.get(intid as usize / 16)) {
            let others = register.get() & !(1 << shift);
            register.set(others | u32::from(is_edge) << shift);
        }
    }

    /// Sends shared interrupt `intid` to CPU `cpu`.
    pub fn set_route(&self, intid: u32, cpu: usize) {
        let affinity = self.affinities.get(cpu).copied();
        if let (true, Some(register), Some(affinity)) = (
            intid >= FIRST_SPI,
            self.distributor.irouter.get(intid as usize),
            affinity,
        ) {
            register.set(affinity);
        }
    }

    /// Sets or clears the active state of shared interrupt `intid`, or of private interrupt `intid` of CPU `cpu`.
    pub fn set_active(&self, cpu: usize, intid: u32, is_active: bool) {
        let bit = 1 << (intid % 32);
        let register = if intid < FIRST_SPI {
            self.private(cpu)
                .map(|frame| if is_active { &frame.isactiver } else { &frame.icactiver })
        } else {
            let registers = if is_active {
                &self.distributor.isactiver
            } else {
                &self.distributor.icactiver
            };
            registers.get(intid as usize / 32)
        };
        if let Some(register) = register {
            register.set(bit);
        }
    }

    /// Makes those of the private interrupts `ppis` of CPU `cpu` active that are in `active`, and the others inactive.
    pub fn set_active_ppis(&self, cpu: usize, ppis: u32, active: u32) {
        let Some(frame) = self.private(cpu) else { return };
        if active != 0 {
            frame.isactiver.set(active);
        }
        if active != ppis {
            frame.icactiver.set(ppis & !active);
        }
    }

    /// Sets or clears the pending latch of shared interrupt `intid`.
    pub fn set_pending(&self, intid: u32, is_pending: bool) {
        let registers = if is_pending {
            &self.distributor.ispendr
        } else {
            &self.distributor.icpendr
        };
        if let (true, Some(register)) = (intid >= FIRST_SPI, registers.get(intid as usize / 32)) {
            register.set(1 << (intid % 32));
        }
    }

    /// Whether an interrupt of CPU `cpu` is pending, by latch or by level.
    pub fn is_pending(&self, cpu: usize, intid: u32) -> bool {
        let register = if intid < FIRST_SPI {
            self.private(cpu).map(|frame| &frame.ispendr)
        } else {
            self.distributor.ispendr.get(intid as usize / 32)
        };
        register.is_some_and(|register| register.get() >> (intid % 32) & 1 != 0)
    }
}
