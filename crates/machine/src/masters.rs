//! What masters the bus: devices that reach RAM by themselves, past every table of the CPU.
//!
//! PCI devices do, behind their host, and an SMMU can stand in between. virtio-mmio devices do, `fw_cfg` does when it is
//! told to, and so does whatever else the tree calls `dma-coherent`; nothing stands in between for those.

use alloc::{string::String, vec::Vec};
use core::{fmt, ops::Range};

use fdt::node::FdtNode;

use crate::{
    Machine, MachineError,
    nodes::{self, cells},
    ranges,
};

/// What a master of the bus is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MasterKind {
    /// QEMU's `fw_cfg`, whose DMA interface copies from and to any address that it is told.
    FwCfg,
    /// An `SMMUv3`. It walks its own tables; whoever drives it decides what others reach.
    Smmu,
    /// A PCI host with all devices behind it.
    PciHost,
    /// A virtio transport, with or without a device.
    Virtio,
    /// Anything else that the tree says does DMA.
    Other,
}

/// A node of the bus that masters it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// What it is.
    pub kind: MasterKind,
    /// Its node.
    pub node: String,
    /// Its registers, and its windows if it is a PCI host.
    pub ranges: Vec<Range<u64>>,
    /// Whether L1 does without it.
    pub is_hidden: bool,
}

/// What of the bus masters it, and the SMMU that all PCI devices are behind.
#[inline(never)]
pub(crate) fn survey(bus: &[FdtNode<'_, '_>]) -> Result<(Vec<Master>, Result<Smmu, Unconfined>), MachineError> {
    let (mut masters, mut smmus, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    for node in bus.iter().copied() {
        let Some(kind) = kind(node) else { continue };
        match kind {
            MasterKind::Smmu => smmus.push(node),
            MasterKind::PciHost => hosts.push(node),
            _ => {}
        }
        masters.push(Master::new(node, kind)?);
    }
    Ok((masters, Smmu::find(&smmus, &hosts)))
}

impl Master {
    fn new(node: FdtNode<'_, '_>, kind: MasterKind) -> Result<Self, MachineError> {
        let mut ranges = nodes::regions(node)?;
        if kind == MasterKind::PciHost {
            ranges.extend(nodes::pci_windows(node)?);
        }
        Ok(Self {
            kind,
            node: node.name.into(),
            ranges,
            // One would let L1 write anywhere, the other decides who may.
            is_hidden: matches!(kind, MasterKind::FwCfg | MasterKind::Smmu),
        })
    }

    /// Where its registers are.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.ranges.first().map_or(0, |range| range.start)
    }
}

fn kind(node: FdtNode<'_, '_>) -> Option<MasterKind> {
    let known = |name| match name {
        "virtio,mmio" => Some(MasterKind::Virtio),
        "qemu,fw-cfg-mmio" => Some(MasterKind::FwCfg),
        "arm,smmu-v3" => Some(MasterKind::Smmu),
        _ => None,
    };
    if let Some(kind) = node.compatible().and_then(|names| names.all().find_map(known)) {
        return Some(kind);
    }
    if nodes::is_type(node, "pci") {
        return Some(MasterKind::PciHost);
    }
    node.property("dma-coherent").map(|_| MasterKind::Other)
}

/// Says in the log which devices of L1 are confined: PCI devices by an SMMU of this minor version, or not, and why; and of
/// virtio transports those at `virtio`, which have a device.
pub fn tell(machine: &Machine, confined: Result<u32, &dyn fmt::Display>, virtio: &[u64]) {
    let has_pci = machine.l1_masters().any(|master| master.kind == MasterKind::PciHost);
    match confined {
        Ok(minor) => log::info!("DMA of PCI devices is confined to L1's RAM by an SMMUv3.{minor}"),
        Err(why) if has_pci => log::info!("DMA of L1's devices is not confined: {why}"),
        Err(why) => log::info!("PCI is hidden from L1: {why}"),
    }
    for master in machine.l1_masters() {
        let is_unconfined = match master.kind {
            MasterKind::Virtio => virtio.contains(&master.address()),
            kind => kind == MasterKind::Other,
        };
        if is_unconfined {
            log::info!("DMA of {} is not confined", master.node);
        }
    }
}

/// Requester IDs of PCI: bus, device, function.
const REQUESTERS: u64 = 1 << 16;

/// An `SMMUv3` that all PCI devices are behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smmu {
    /// Its registers.
    pub registers: Range<u64>,
    /// The INTID of its event queue.
    pub events: u32,
    /// The INTID of its global errors.
    pub errors: u32,
    /// Which streams are whose.
    streams: Vec<Streams>,
}

/// A row of `iommu-map`: requester IDs and the streams that they are to the SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Streams {
    requester: u32,
    stream: u32,
    count: u32,
}

/// Why no SMMU confines the PCI devices, as far as the tree says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unconfined {
    /// There is none.
    NoSmmu,
    /// There are several.
    Several,
    /// Its node has no two pages of registers, or its queue of events no interrupt.
    Incomplete,
    /// `iommu-map` does not lead every PCI device to it.
    NotMapped,
}

impl fmt::Display for Unconfined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSmmu => "no SMMU",
            Self::Several => "more than one SMMU",
            Self::Incomplete => "the SMMU has no registers or interrupts",
            Self::NotMapped => "iommu-map does not lead to the SMMU",
        })
    }
}

impl Smmu {
    /// The only one of `nodes`, if the devices of all `hosts` are behind it.
    fn find(nodes: &[FdtNode<'_, '_>], hosts: &[FdtNode<'_, '_>]) -> Result<Self, Unconfined> {
        let node = match *nodes {
            [] => return Err(Unconfined::NoSmmu),
            [node] => node,
            _ => return Err(Unconfined::Several),
        };
        let mut smmu = Self::read(node).ok_or(Unconfined::Incomplete)?;
        let phandle = node
            .property("phandle")
            .and_then(|property| cells(property.value).next());
        for host in hosts {
            let map = phandle.and_then(|phandle| streams(*host, phandle));
            smmu.streams = map.ok_or(Unconfined::NotMapped)?;
        }
        Ok(smmu)
    }

    fn read(node: FdtNode<'_, '_>) -> Option<Self> {
        /// The second page of 64 KiB has the indices of the event queue.
        const BYTES_MIN: u64 = 0x2_0000;
        let registers = nodes::regions(node).ok()?.into_iter().next()?;
        let names = nodes::text(node, "interrupt-names")?;
        let intids = nodes::spis(node);
        let intid = |wanted| {
            let index = names.split('\0').position(|name| name == wanted)?;
            intids.get(index).copied()
        };
        let is_whole =
            registers.end.saturating_sub(registers.start) >= BYTES_MIN && registers.start.is_multiple_of(BYTES_MIN / 2);
        is_whole.then_some(())?;
        Some(Self {
            events: intid("eventq")?,
            errors: intid("gerror")?,
            registers,
            streams: Vec::new(),
        })
    }

    /// The requester ID of the PCI device behind `stream`.
    #[must_use]
    pub fn requester(&self, stream: u32) -> Option<u16> {
        let map = |row: &Streams| {
            let offset = stream.checked_sub(row.stream).filter(|offset| *offset < row.count)?;
            u16::try_from(row.requester.checked_add(offset)?).ok()
        };
        self.streams.iter().find_map(map)
    }

    /// The highest stream of a PCI device.
    #[must_use]
    pub fn last_stream(&self) -> u32 {
        let last = |row: &Streams| row.stream.wrapping_add(row.count).wrapping_sub(1);
        self.streams.iter().map(last).max().unwrap_or(0)
    }
}

/// The rows of the `iommu-map` of `host`, which must give every requester ID to the SMMU `phandle`.
fn streams(host: FdtNode<'_, '_>, phandle: u32) -> Option<Vec<Streams>> {
    const ROW_BYTES: usize = 4 * 4;
    let map = host.property("iommu-map")?.value;
    if map.len() % ROW_BYTES != 0 || host.property("iommu-map-mask").is_some() {
        return None;
    }
    let mut rows = Vec::new();
    for row in map.chunks_exact(ROW_BYTES) {
        let mut cells = cells(row);
        let (requester, iommu, stream, count) = (cells.next()?, cells.next()?, cells.next()?, cells.next()?);
        // Neither empty nor beyond the end of either space.
        let last = count.checked_sub(1)?;
        stream.checked_add(last)?;
        requester.checked_add(last)?;
        if iommu != phandle {
            return None;
        }
        rows.push(Streams {
            requester,
            stream,
            count,
        });
    }
    let requesters = |row: &Streams| {
        let start = u64::from(row.requester);
        start..start.saturating_add(row.count.into())
    };
    let all = ranges::merge(rows.iter().map(requesters));
    matches!(&all[..], [whole] if whole.start == 0 && whole.end >= REQUESTERS).then_some(rows)
}

#[cfg(test)]
mod tests;
