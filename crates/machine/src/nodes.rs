//! Reading single nodes and properties of a tree that passed the gate.
//!
//! Only children of the root are read with `reg`: their addresses are the CPU's, without `ranges` in between, and their
//! cell sizes are the root's, which [`bus`] has checked.

use alloc::{format, string::String, vec::Vec};
use core::ops::Range;

use fdt::{Fdt, node::FdtNode};

use crate::{MachineError, ranges};

/// A PL011 and its interrupt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uart {
    /// Its registers.
    pub registers: Range<u64>,
    /// Its INTID.
    pub intid: u32,
    /// Path of its node.
    pub node: String,
}

/// The root, whose children are the machine: with two cells of address and two of size, as everything here assumes.
pub(crate) fn bus<'b, 'a>(tree: &'b Fdt<'a>) -> Result<FdtNode<'b, 'a>, MachineError> {
    const TWO: [u8; 4] = 2_u32.to_be_bytes();
    let root = tree.find_node("/").ok_or(MachineError::Missing("root"))?;
    for cells in ["#address-cells", "#size-cells"] {
        if root.property(cells).is_none_or(|property| property.value != TWO) {
            return Err(MachineError::Malformed(format!("{cells} of the root is not 2")));
        }
    }
    Ok(root)
}

/// The first of `nodes` with this name.
pub(crate) fn named<'b, 'a>(nodes: &[FdtNode<'b, 'a>], name: &str) -> Option<FdtNode<'b, 'a>> {
    nodes.iter().find(|node| node.name == name).copied()
}

/// The text of a property of `node`.
pub(crate) fn text<'a>(node: FdtNode<'_, 'a>, property: &str) -> Option<&'a str> {
    node.property(property)?.as_str()
}

/// Whether `node` is of this `device_type`.
pub(crate) fn is_type(node: FdtNode<'_, '_>, kind: &str) -> bool {
    text(node, "device_type") == Some(kind)
}

/// Whether `name` is among what `node` is compatible with.
pub(crate) fn is_compatible(node: FdtNode<'_, '_>, name: &str) -> bool {
    node.compatible()
        .is_some_and(|names| names.all().any(|other| other == name))
}

/// `bytes` from `start` on, as `node` says.
pub(crate) fn checked_range(node: FdtNode<'_, '_>, start: u64, bytes: u64) -> Result<Range<u64>, MachineError> {
    ranges::sized(start, bytes).ok_or_else(|| {
        MachineError::Malformed(format!(
            "{}: {bytes:#x} bytes at {start:#x} reach beyond 48 bits",
            node.name
        ))
    })
}

/// The regions of a child of the bus that have a size.
pub(crate) fn regions(node: FdtNode<'_, '_>) -> Result<Vec<Range<u64>>, MachineError> {
    let regions = node.reg().into_iter().flatten();
    regions
        .filter_map(|region| Some((region.starting_address as u64, region.size? as u64)))
        .map(|(start, bytes)| checked_range(node, start, bytes))
        .collect()
}

/// The CPU's windows onto a PCI bridge.
pub(crate) fn pci_windows(bridge: FdtNode<'_, '_>) -> Result<Vec<Range<u64>>, MachineError> {
    /// Three cells of PCI address, two of CPU address, two of size.
    const WINDOW_BYTES: usize = 7 * 4;
    const CPU_ADDRESS_AT: usize = 3 * 4;
    const SIZE_AT: usize = 5 * 4;
    let cells = bridge.property("ranges").map_or(&[][..], |property| property.value);
    cells
        .chunks_exact(WINDOW_BYTES)
        .filter_map(|window| Some((double(window, CPU_ADDRESS_AT)?, double(window, SIZE_AT)?)))
        .map(|(start, bytes)| checked_range(bridge, start, bytes))
        .collect()
}

/// The INTID of a node's first interrupt, when it is a shared peripheral interrupt.
pub(crate) fn spi(node: FdtNode<'_, '_>) -> Option<u32> {
    spis(node).first().copied()
}

/// The INTIDs of a node's interrupts, up to the first that is no shared peripheral interrupt.
pub(crate) fn spis(node: FdtNode<'_, '_>) -> Vec<u32> {
    /// Kind, number, trigger.
    const INTERRUPT_BYTES: usize = 3 * 4;
    const KIND_SPI: u32 = 0;
    const FIRST_SPI: u32 = 32;
    let interrupts = node.property("interrupts").map_or(&[][..], |property| property.value);
    let intid = |interrupt: &[u8]| {
        let mut cells = cells(interrupt);
        let is_spi = cells.next()? == KIND_SPI;
        is_spi.then_some(cells.next()?.checked_add(FIRST_SPI)?)
    };
    interrupts.chunks_exact(INTERRUPT_BYTES).map_while(intid).collect()
}

/// The cells of a property, without a rest.
pub(crate) fn cells(value: &[u8]) -> impl Iterator<Item = u32> {
    let (cells, _) = value.as_chunks();
    cells.iter().map(|cell| u32::from_be_bytes(*cell))
}

/// The affinity that a CPU's `reg` says, of however many cells.
pub(crate) fn affinity(cpu: FdtNode<'_, '_>) -> Option<u64> {
    let cells = cpu.property("reg")?.value;
    Some(cells.iter().fold(0, |affinity, byte| affinity << 8 | u64::from(*byte)))
}

/// The PL011 that `node` is, if it is a usable one.
pub(crate) fn uart(node: FdtNode<'_, '_>) -> Result<Option<Uart>, MachineError> {
    if !is_compatible(node, "arm,pl011") {
        return Ok(None);
    }
    let registers = regions(node)?
        .into_iter()
        .next()
        .filter(|registers| !registers.is_empty());
    let uart = registers.zip(spi(node));
    Ok(uart.map(|(registers, intid)| Uart {
        registers,
        intid,
        node: format!("/{}", node.name),
    }))
}

/// The two cells from byte `at` on, as one number.
pub(crate) fn double(cells: &[u8], at: usize) -> Option<u64> {
    cells.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}
