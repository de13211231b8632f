//! A device tree like the one of QEMU's virt board, with what matters here in the board's own shape.

use std::{string::String, vec::Vec};

use dtoolkit::{
    Node,
    model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty},
};

use crate::{Machine, MachineError, Tree};

/// Where the image starts on the board.
pub(crate) const IMAGE_START: u64 = 0x4020_0000;
/// CPUs the tests' image serves.
pub(crate) const CPU_COUNT_MAX: usize = 8;
/// One mebibyte.
pub(crate) const MIB: u64 = 1 << 20;
/// The kernel's command line.
pub(crate) const BOOTARGS: &str = "console=ttyAMA0";

/// Two CPUs, 4 GiB of RAM, `GICv3` with ITS, two UARTs, PCI, virtio slots, `fw_cfg`, kernel and ramdisk.
pub(crate) fn board() -> DeviceTree {
    let mut tree = DeviceTree::new();
    let root = &mut tree.root;
    cells(root, "interrupt-parent", &[0x8003]);
    cells(root, "#size-cells", &[2]);
    cells(root, "#address-cells", &[2]);
    text(root, "compatible", "linux,dummy-virt");
    root.add_child(memory(0x4000_0000, 4096 * MIB));
    for slot in 0..8 {
        root.add_child(device("virtio_mmio", 0xa00_0000 + slot * 0x200, 0x200, "virtio,mmio"));
    }
    root.add_child(pcie());
    root.add_child(device("fw-cfg", 0x902_0000, 0x18, "qemu,fw-cfg-mmio"));
    for (at, interrupt) in [(0x900_0000, 1), (0x904_0000, 8)] {
        root.add_child(uart(at, interrupt));
    }
    root.add_child(gic());
    root.add_child(cpus(2));
    root.add_child(chosen());
    tree
}

/// What the board of `edit` is to gnomon.
pub(crate) fn machine(edit: impl FnOnce(&mut DeviceTree)) -> Result<Machine, MachineError> {
    let mut tree = board();
    edit(&mut tree);
    parse(&tree.to_dtb())
}

/// What `blob` is to gnomon.
pub(crate) fn parse(blob: &[u8]) -> Result<Machine, MachineError> {
    Machine::parse(blob, IMAGE_START, CPU_COUNT_MAX)
}

/// A blob as a tree to look at.
pub(crate) fn model(blob: &[u8]) -> DeviceTree {
    DeviceTree::from_fdt(&Tree::check(blob).expect("a valid tree").source())
}

/// The names of `node`'s children.
pub(crate) fn children(node: &DeviceTreeNode) -> Vec<String> {
    node.children().map(|child| String::from(child.name())).collect()
}

/// `blob` with zeros up to `bytes`, as QEMU leaves it.
pub(crate) fn padded(blob: &[u8], bytes: u32) -> Vec<u8> {
    let mut padded = blob.to_vec();
    padded.resize(bytes as usize, 0);
    padded[4..8].copy_from_slice(&bytes.to_be_bytes());
    padded
}

/// Sets a property of 32-bit cells.
pub(crate) fn cells(node: &mut DeviceTreeNode, name: &str, values: &[u32]) {
    node.add_property(DeviceTreeProperty::new_unchecked(name, values));
}

/// Sets a property of 64-bit numbers.
pub(crate) fn doubles(node: &mut DeviceTreeNode, name: &str, values: &[u64]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
    node.add_property(DeviceTreeProperty::new_unchecked(name, bytes));
}

/// Sets a property of text; NUL separates entries of a list.
pub(crate) fn text(node: &mut DeviceTreeNode, name: &str, value: &str) {
    node.add_property(DeviceTreeProperty::new_unchecked(name, value));
}

/// Node `name@at` with a `reg` of one region.
pub(crate) fn device(name: &str, at: u64, bytes: u64, compatible: &str) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked(std::format!("{name}@{at:x}"));
    doubles(&mut node, "reg", &[at, bytes]);
    text(&mut node, "compatible", compatible);
    node
}

/// A bank of RAM.
pub(crate) fn memory(at: u64, bytes: u64) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked(std::format!("memory@{at:x}"));
    doubles(&mut node, "reg", &[at, bytes]);
    text(&mut node, "device_type", "memory");
    node
}

/// A PL011 on SPI `interrupt`.
pub(crate) fn uart(at: u64, interrupt: u32) -> DeviceTreeNode {
    let mut node = device("pl011", at, 0x1000, "arm,pl011\0arm,primecell");
    cells(&mut node, "interrupts", &[0, interrupt, 4]);
    node
}

/// `/cpus` with `count` of them.
pub(crate) fn cpus(count: u32) -> DeviceTreeNode {
    let mut parent = DeviceTreeNode::new_unchecked("cpus");
    cells(&mut parent, "#size-cells", &[0]);
    cells(&mut parent, "#address-cells", &[1]);
    parent.add_child(DeviceTreeNode::new_unchecked("cpu-map"));
    for index in 0..count {
        let mut cpu = DeviceTreeNode::new_unchecked(std::format!("cpu@{index:x}"));
        cells(&mut cpu, "reg", &[index]);
        text(&mut cpu, "device_type", "cpu");
        parent.add_child(cpu);
    }
    parent
}

/// A boot module.
pub(crate) fn module(at: u64, bytes: u64, kind: &str) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked(std::format!("module@0x{at:x}"));
    text(
        &mut node,
        "compatible",
        &std::format!("multiboot,module\0multiboot,{kind}"),
    );
    doubles(&mut node, "reg", &[at, bytes]);
    node
}

/// Puts an SMMU between the PCI host of `tree` and RAM, as `iommu=smmuv3` does.
pub(crate) fn add_smmu(tree: &mut DeviceTree) {
    let mut node = device("smmuv3", 0x905_0000, 0x2_0000, "arm,smmu-v3");
    let interrupts: Vec<u32> = (74..78).flat_map(|number| [0, number, 1]).collect();
    cells(&mut node, "interrupts", &interrupts);
    text(&mut node, "interrupt-names", "eventq\0priq\0cmdq-sync\0gerror");
    cells(&mut node, "phandle", &[SMMU_PHANDLE]);
    tree.root.add_child(node);
    set_iommu_map(tree, &[[0, SMMU_PHANDLE, 0, 0x1_0000]]);
}

/// How the SMMU of [`add_smmu`] is referred to.
pub(crate) const SMMU_PHANDLE: u32 = 0x8005;

/// Sets the `iommu-map` of the PCI host of `tree`.
pub(crate) fn set_iommu_map(tree: &mut DeviceTree, rows: &[[u32; 4]]) {
    let host = tree.root.child_mut(PCI_HOST).expect("the board has a PCI host");
    cells(host, "iommu-map", rows.as_flattened());
}

/// The PCI host's node.
pub(crate) const PCI_HOST: &str = "pcie@4010000000";

fn pcie() -> DeviceTreeNode {
    let mut node = device("pcie", 0x40_1000_0000, 0x1000_0000, "pci-host-ecam-generic");
    text(&mut node, "device_type", "pci");
    cells(&mut node, "#address-cells", &[3]);
    cells(&mut node, "#size-cells", &[2]);
    cells(&mut node, "msi-map", &[0, 0x8004, 0, 0x1_0000]);
    let windows = [
        [0x0100_0000, 0, 0, 0, 0x3eff_0000, 0, 0x1_0000],
        [0x0200_0000, 0, 0x1000_0000, 0, 0x1000_0000, 0, 0x2eff_0000],
        [0x0300_0000, 0x80, 0, 0x80, 0, 0x80, 0],
    ];
    cells(&mut node, "ranges", windows.as_flattened());
    node
}

fn gic() -> DeviceTreeNode {
    let mut node = device("intc", 0x800_0000, 0x1_0000, "arm,gic-v3");
    doubles(&mut node, "reg", &[0x800_0000, 0x1_0000, 0x80a_0000, 0xf6_0000]);
    cells(&mut node, "#address-cells", &[2]);
    cells(&mut node, "#size-cells", &[2]);
    node.add_child(device("its", 0x808_0000, 0x2_0000, "arm,gic-v3-its"));
    node
}

fn chosen() -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked("chosen");
    text(&mut node, "bootargs", "log=debug");
    text(&mut node, "stdout-path", "/pl011@9000000");
    doubles(&mut node, "kaslr-seed", &[0x0123_4567_89ab_cdef]);
    node.add_child(module(0x4c00_0000, 0x20_0123, "ramdisk"));
    let mut kernel = module(0x4820_0000, 0x1f_0000, "kernel");
    text(&mut kernel, "bootargs", BOOTARGS);
    node.add_child(kernel);
    node
}
