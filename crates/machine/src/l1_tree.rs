//! L1's device tree: the machine's, without what L1 does not have.
//!
//! Kept are the CPUs, timers, PSCI by SMC, the GIC and all devices. Gone are the carve-out from memory, the debug
//! UART, the masters of the bus that are hidden, the interrupt translation service (the emulated GIC has none), L1's own
//! boot modules, and what `chosen` said to gnomon.

use alloc::{format, vec::Vec};
use core::ops::Range;

use dtoolkit::{Node, Property, fdt::FdtNode};

use crate::{Machine, Master, writer::Writer};

/// Writes the tree for an L1 that has `ram`, is told `bootargs`, and finds its ramdisk at `ramdisk`.
#[must_use]
#[inline(never)]
pub fn for_l1(machine: &Machine, ram: &[Range<u64>], bootargs: &str, ramdisk: Option<&Range<u64>>) -> Vec<u8> {
    let source = machine.device_tree.source();
    let root = source.root();
    let mut tree = Writer::with_reservations_of(&source);
    tree.begin("");
    for property in root.properties() {
        tree.property(property.name(), property.value());
    }
    for child in root.children().filter(|child| is_kept(machine, child)) {
        write_child(&mut tree, &child);
    }
    write_memory(&mut tree, ram);
    write_chosen(&mut tree, machine, root.child("chosen"), bootargs, ramdisk);
    tree.end();
    tree.finish()
}

/// Whether L1 has this child of the root, if not quite as it is.
fn is_kept(machine: &Machine, child: &FdtNode<'_>) -> bool {
    let debug_uart = machine.debug_uart.as_ref();
    let is_debug_uart = debug_uart.is_some_and(|uart| child.name() == uart.node.trim_start_matches('/'));
    let is_hidden = |master: &Master| master.is_hidden && master.node == child.name();
    !is_debug_uart
        && !machine.masters.iter().any(is_hidden)
        && child.name() != "chosen"
        && !has_text(child, "device_type", "memory")
}

/// A child of the root, without what belongs to message-signalled interrupts or to the SMMU: to L1, DMA is by physical
/// address.
fn write_child(tree: &mut Writer, child: &FdtNode<'_>) {
    let is_gic = has_text(child, "compatible", "arm,gic-v3");
    let is_bridge = has_text(child, "device_type", "pci");
    tree.begin(child.name());
    for property in child.properties() {
        if !(is_bridge && ["msi-map", "msi-parent", "iommu-map", "iommu-map-mask"].contains(&property.name())) {
            tree.property(property.name(), property.value());
        }
    }
    for grandchild in child.children() {
        if !(is_gic && has_text(&grandchild, "compatible", "arm,gic-v3-its")) {
            tree.node(&grandchild);
        }
    }
    tree.end();
}

fn write_memory(tree: &mut Writer, ram: &[Range<u64>]) {
    for bank in ram {
        tree.begin(&format!("memory@{:x}", bank.start));
        tree.property("device_type", &text("memory"));
        // Two cells each: `Machine::parse` accepts no other root.
        let cells = [bank.start.to_be_bytes(), (bank.end - bank.start).to_be_bytes()];
        tree.property("reg", cells.as_flattened());
        tree.end();
    }
}

fn write_chosen(
    tree: &mut Writer,
    machine: &Machine,
    old: Option<FdtNode<'_>>,
    bootargs: &str,
    ramdisk: Option<&Range<u64>>,
) {
    tree.begin("chosen");
    for kept in ["stdout-path", "rng-seed", "kaslr-seed"] {
        if let Some(property) = old.as_ref().and_then(|node| node.property(kept)) {
            tree.property(kept, property.value());
        }
    }
    tree.property("bootargs", &text(bootargs));
    if let Some(ramdisk) = ramdisk {
        tree.property("linux,initrd-start", &ramdisk.start.to_be_bytes());
        tree.property("linux,initrd-end", &ramdisk.end.to_be_bytes());
    }
    let is_passed_on = |node: &FdtNode<'_>| machine.passed_on.iter().any(|module| module.node == node.name());
    for module in old.iter().flat_map(|old| old.children()).filter(is_passed_on) {
        tree.node(&module);
    }
    tree.end();
}

fn text(value: &str) -> Vec<u8> {
    [value.as_bytes(), &[0]].concat()
}

fn has_text(node: &FdtNode<'_>, property: &str, wanted: &str) -> bool {
    node.property(property).is_some_and(|property| {
        property
            .value()
            .split(|byte| *byte == 0)
            .any(|part| part == wanted.as_bytes())
    })
}

#[cfg(test)]
mod tests;
