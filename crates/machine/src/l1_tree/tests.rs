use std::{string::String, vec};

use dtoolkit::model::{DeviceTree, DeviceTreeNode};

use super::*;
use crate::testing::{self, MIB};

const RAM: [Range<u64>; 2] = [0x4500_0000..0x1_4000_0000, 0x2_0000_0000..0x2_2000_0000];
const RAMDISK: Range<u64> = 0x4c00_0000..0x4c20_0123;

fn l1s(edit: impl FnOnce(&mut DeviceTree)) -> DeviceTree {
    let machine = testing::machine(edit).unwrap();
    testing::model(&for_l1(&machine, &RAM, testing::BOOTARGS, Some(&RAMDISK)))
}

fn value(node: &DeviceTreeNode, property: &str) -> Option<Vec<u8>> {
    node.property(property).map(|property| property.value().to_vec())
}

#[test]
fn memory_is_what_l1_has() {
    let tree = l1s(|tree| tree.root.add_child(testing::memory(0x2_0000_0000, 1024 * MIB)));
    let memory: Vec<_> = testing::children(&tree.root)
        .into_iter()
        .filter(|name| name.starts_with("memory"))
        .collect();
    assert_eq!(memory, ["memory@45000000", "memory@200000000"]);
    let bank = tree.root.child("memory@45000000").unwrap();
    let reg = [0x4500_0000_u64.to_be_bytes(), 0xfb00_0000_u64.to_be_bytes()].concat();
    assert_eq!(value(bank, "reg"), Some(reg));
    assert_eq!(value(bank, "device_type"), Some(b"memory\0".to_vec()));
}

#[test]
fn the_debug_uart_is_gone_and_l1s_is_not() {
    let tree = l1s(|_| ());
    assert!(tree.root.child("pl011@9000000").is_some());
    assert!(tree.root.child("pl011@9040000").is_none());
    let swapped = l1s(|tree| testing::text(tree.root.child_mut("chosen").unwrap(), "stdout-path", "/pl011@9040000"));
    assert!(swapped.root.child("pl011@9000000").is_none());
}

#[test]
fn there_is_a_gic_without_its_and_no_msis() {
    let tree = l1s(|tree| testing::cells(tree.root.child_mut("pcie@4010000000").unwrap(), "msi-parent", &[0x8004]));
    let gic = tree.root.child("intc@8000000").unwrap();
    assert_eq!(testing::children(gic), Vec::<String>::new());
    let bridge = tree.root.child("pcie@4010000000").unwrap();
    assert_eq!((value(bridge, "msi-map"), value(bridge, "msi-parent")), (None, None));
    assert!(value(bridge, "ranges").is_some());
}

#[test]
fn chosen_speaks_to_l1_alone() {
    let tree = l1s(|tree| testing::text(tree.root.child_mut("chosen").unwrap(), "other", "kept from L1"));
    let chosen = tree.root.child("chosen").unwrap();
    assert_eq!(testing::children(chosen), Vec::<String>::new());
    let properties: Vec<_> = chosen
        .properties()
        .map(|property| (String::from(property.name()), property.value().to_vec()))
        .collect();
    let wanted = vec![
        ("stdout-path".into(), b"/pl011@9000000\0".to_vec()),
        ("kaslr-seed".into(), 0x0123_4567_89ab_cdef_u64.to_be_bytes().to_vec()),
        ("bootargs".into(), b"console=ttyAMA0\0".to_vec()),
        ("linux,initrd-start".into(), RAMDISK.start.to_be_bytes().to_vec()),
        ("linux,initrd-end".into(), RAMDISK.end.to_be_bytes().to_vec()),
    ];
    assert_eq!(properties, wanted);
}

#[test]
fn without_a_ramdisk_there_is_no_initrd() {
    let machine = testing::machine(|tree| drop(tree.root.remove_child("chosen"))).unwrap();
    let tree = testing::model(&for_l1(&machine, &RAM, "", None));
    let chosen = tree.root.child("chosen").unwrap();
    let names: Vec<_> = chosen
        .properties()
        .map(|property| String::from(property.name()))
        .collect();
    assert_eq!(names, ["bootargs"]);
}

#[test]
fn modules_behind_another_kernel_are_l1s_to_find() {
    let tree = l1s(|tree| {
        let chosen = tree.root.child_mut("chosen").unwrap();
        let mut kernel = testing::module(0x5020_0000, 0x1000, "kernel");
        testing::text(&mut kernel, "bootargs", "console=ttyAMA1");
        chosen.add_child(kernel);
        chosen.add_child(testing::module(0x5400_0000, 0x1000, "ramdisk"));
    });
    let below = testing::parse(&tree.to_dtb()).unwrap();
    let kernel = below.kernel.unwrap();
    assert_eq!(
        (kernel.range, kernel.bootargs.as_str()),
        (0x5020_0000..0x5020_1000, "console=ttyAMA1")
    );
    assert_eq!(below.ramdisk.unwrap().range, 0x5400_0000..0x5400_1000);
    assert_eq!(below.passed_on, []);
    // The console's UART is not there any more, which is the other's to be told.
    assert_eq!(below.debug_uart, None);
}

#[test]
fn everything_else_stays() {
    let before = testing::board();
    let after = l1s(|_| ());
    for name in ["cpus", "virtio_mmio@a000000", "pl011@9000000"] {
        assert_eq!(after.root.child(name), before.root.child(name));
    }
}
