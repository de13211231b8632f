//! L1's device tree: the machine's, without what L1 does not have.
//!
//! Kept are the CPUs, timers, PSCI by SMC, the GIC and all devices. Gone are the carve-out from memory, the debug
//! UART, the interrupt translation service (the emulated GIC has none), the boot modules, and what `chosen` said to
//! gnomon.

use alloc::{format, string::String, vec::Vec};
use core::ops::Range;

use dtoolkit::{
    Node, Property,
    model::{DeviceTreeNode, DeviceTreeProperty},
};

use crate::Machine;

/// Writes the tree for an L1 that has `ram`, is told `bootargs`, and finds its ramdisk at `ramdisk`.
#[must_use]
pub fn for_l1(machine: &Machine, ram: &[Range<u64>], bootargs: &str, ramdisk: Option<&Range<u64>>) -> Vec<u8> {
    let mut tree = machine.device_tree.model();
    let root = &mut tree.root;
    root.remove_child(machine.debug_uart.node.trim_start_matches('/'));
    replace_memory(root, ram);
    remove_its(root);
    replace_chosen(root, bootargs, ramdisk);
    tree.to_dtb()
}

fn set(node: &mut DeviceTreeNode, name: &str, value: Vec<u8>) {
    node.remove_property(name);
    node.add_property(DeviceTreeProperty::new_unchecked(name, value));
}

fn text(value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn names_of_children(node: &DeviceTreeNode, is_wanted: impl Fn(&DeviceTreeNode) -> bool) -> Vec<String> {
    node.children()
        .filter(|child| is_wanted(child))
        .map(|child| String::from(child.name()))
        .collect()
}

fn has_text(node: &DeviceTreeNode, property: &str, wanted: &str) -> bool {
    node.property(property).is_some_and(|property| {
        property
            .value()
            .split(|byte| *byte == 0)
            .any(|part| part == wanted.as_bytes())
    })
}

fn replace_memory(root: &mut DeviceTreeNode, ram: &[Range<u64>]) {
    for name in names_of_children(root, |node| has_text(node, "device_type", "memory")) {
        root.remove_child(&name);
    }
    for bank in ram {
        let mut memory = DeviceTreeNode::new_unchecked(format!("memory@{:x}", bank.start));
        set(&mut memory, "device_type", text("memory"));
        // Two cells each: `Machine::parse` accepts no other root.
        let cells = [bank.start.to_be_bytes(), (bank.end - bank.start).to_be_bytes()].concat();
        set(&mut memory, "reg", cells);
        root.add_child(memory);
    }
}

fn remove_its(root: &mut DeviceTreeNode) {
    for gic in root
        .children_mut()
        .filter(|node| has_text(node, "compatible", "arm,gic-v3"))
    {
        for its in names_of_children(gic, |node| has_text(node, "compatible", "arm,gic-v3-its")) {
            gic.remove_child(&its);
        }
    }
    for bridge in root.children_mut().filter(|node| has_text(node, "device_type", "pci")) {
        bridge.remove_property("msi-map");
        bridge.remove_property("msi-parent");
    }
}

fn replace_chosen(root: &mut DeviceTreeNode, bootargs: &str, ramdisk: Option<&Range<u64>>) {
    let old = root.remove_child("chosen");
    let mut chosen = DeviceTreeNode::new_unchecked("chosen");
    for kept in ["stdout-path", "rng-seed", "kaslr-seed"] {
        if let Some(property) = old.as_ref().and_then(|node| node.property(kept)) {
            set(&mut chosen, kept, property.value().to_vec());
        }
    }
    set(&mut chosen, "bootargs", text(bootargs));
    if let Some(ramdisk) = ramdisk {
        set(&mut chosen, "linux,initrd-start", ramdisk.start.to_be_bytes().to_vec());
        set(&mut chosen, "linux,initrd-end", ramdisk.end.to_be_bytes().to_vec());
    }
    root.add_child(chosen);
}

#[cfg(test)]
mod tests;
