//! DMA, at boot: what confines L1's devices, what L1 does without, and what is left unconfined.
//!
//! PCI devices are confined by an SMMU, if there is one that can. virtio-mmio devices are never behind one. With
//! `dma=refuse` L1 gets nothing that is not confined; otherwise the log says what that is.

use alloc::vec::Vec;
use core::{fmt, ops::Range};

use machine::{Machine, MasterKind, Unconfined};
use smmu::Unfit;

use hyp::dev::smmu::{Smmu, SmmuError};

/// The boot map has devices up to here.
const BOOT_DEVICES_END: u64 = 1 << 30;

/// The registers of virtio transports that have a device. To be called while the boot map is in force.
pub fn virtio_devices(machine: &Machine) -> Vec<u64> {
    let transports = machine
        .masters
        .iter()
        .filter(|master| master.kind == MasterKind::Virtio);
    let addresses = transports.map(|transport| transport.address());
    addresses.filter(|address| has_device(*address)).collect()
}

/// Whether the virtio transport with registers at `at` has a device. One that cannot be asked counts as having one.
fn has_device(at: u64) -> bool {
    /// `DeviceID`; 0 is a placeholder (virtio, "MMIO Device Register Layout").
    const DEVICE_ID: u64 = 8;
    let register = at.saturating_add(DEVICE_ID);
    if register >= BOOT_DEVICES_END || !register.is_multiple_of(4) {
        return true;
    }
    // SAFETY: the boot map has it as a device; by the device tree it is a virtio transport, and the register may be read
    // at any time.
    unsafe { (register as *const u32).read_volatile() != 0 }
}

/// Why boot cannot go on.
pub enum DmaError {
    /// The SMMU does not do what it is told.
    Silent,
    /// There is no memory for its tables.
    NoMemory,
}

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "the SMMU does not answer: do without iommu=smmuv3",
            Self::NoMemory => "no memory for the SMMU: raise QEMU's -m",
        })
    }
}

/// Why PCI devices are not confined.
enum Why {
    Tree(Unconfined),
    Hardware(Unfit),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(why) => why.fmt(f),
            Self::Hardware(why) => why.fmt(f),
        }
    }
}

/// Confines L1's devices to `ram` as far as that is possible, takes from L1 what is to be refused, and says in the log
/// what is what. `virtio` is what [`virtio_devices`] found.
#[inline(never)]
pub fn confine(
    machine: &mut Machine,
    ram: &[Range<u64>],
    refuse: bool,
    virtio: &[u64],
) -> Result<Option<Smmu>, DmaError> {
    let smmu = smmu(machine, ram)?;
    if refuse {
        machine.refuse_dma(smmu.is_ok());
    }
    let confined = smmu.as_ref().map(|smmu| smmu.features().minor);
    machine::tell(machine, confined.map_err(|why| why as &dyn fmt::Display), virtio);
    Ok(smmu.ok())
}

/// The SMMU in front of the PCI devices, or why there is none.
fn smmu(machine: &Machine, ram: &[Range<u64>]) -> Result<Result<Smmu, Why>, DmaError> {
    let node = match &machine.smmu {
        Ok(node) => node,
        Err(why) => return Ok(Err(Why::Tree(*why))),
    };
    // SAFETY: the device tree says what it is, the final map has it, and L1 never gets it.
    match unsafe { Smmu::new(&node.registers, node.last_stream(), ram) } {
        Ok(smmu) => Ok(Ok(smmu)),
        Err(SmmuError::Unfit(why)) => Ok(Err(Why::Hardware(why))),
        Err(SmmuError::Silent) => Err(DmaError::Silent),
        Err(SmmuError::NoMemory) => Err(DmaError::NoMemory),
    }
}
