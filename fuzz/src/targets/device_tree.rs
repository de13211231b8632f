//! A device tree and the header of a kernel: from the blob to where everything goes.

use std::ops::Range;

use machine::{ImageHeader, Machine, Options, Payload, Plan, Tree, blob_bytes, l1_tree, ranges};

const IMAGE_START: u64 = 0x4020_0000;
const CPUS_MAX: usize = 8;
const CARVE_OUT_BYTES: u64 = 64 << 20;

/// The header of an Image at the front, then the blob.
pub(super) fn run(bytes: &[u8]) {
    let (header, blob) = bytes.split_at(bytes.len().min(ImageHeader::BYTES));
    let header = ImageHeader::parse(header, 20 << 20);
    let _ = blob_bytes(0x4000_0000, blob);
    let Ok(machine) = Machine::parse(blob, IMAGE_START, CPUS_MAX) else {
        return;
    };
    let _ = Options::parse(&machine.options);
    let Some(home) = machine.home_bank() else { return };
    let carve_out = home.start..home.start.saturating_add(CARVE_OUT_BYTES);
    let Ok(ram) = machine.l1_ram(&carve_out) else { return };
    check_ram(&machine, &ram, &carve_out);
    let ramdisk = machine.ramdisk.as_ref().map(|module| &module.range);
    let tree = l1_tree::for_l1(&machine, &ram, "console=ttyAMA0", ramdisk);
    assert!(Tree::check(&tree).is_ok(), "L1's tree is valid");
    if let (Ok(header), Ok(payload)) = (header, Payload::find(&machine, &ram)) {
        check_plan(&payload, &header, &ram, tree.len() as u64);
    }
}

/// What L1 is given is apart from what it is not.
fn check_ram(machine: &Machine, ram: &[Range<u64>], carve_out: &Range<u64>) {
    let is_apart = |from: &Range<u64>, of: &[Range<u64>]| of.iter().all(|other| !ranges::overlap(from, other));
    assert!(is_apart(carve_out, ram));
    let devices = machine.l1_devices();
    for device in &devices {
        assert!(device.start < device.end && is_apart(device, ram) && !ranges::overlap(device, carve_out));
    }
    let debug_uart = machine.debug_uart.iter().map(|uart| &uart.registers);
    for kept in [&machine.gicd, &machine.gicr].into_iter().chain(debug_uart) {
        assert!(is_apart(kept, &devices), "{kept:x?} is L1's");
    }
}

fn check_plan(payload: &Payload<'_>, header: &ImageHeader, ram: &[Range<u64>], tree_bytes: u64) {
    let Ok(plan) = Plan::make(payload, header, ram, tree_bytes) else {
        return;
    };
    let kernel = plan.kernel_at..plan.kernel_at + header.image_bytes;
    let tree = plan.device_tree_at..plan.device_tree_at + tree_bytes;
    assert!(ranges::hold(ram, &kernel) && ranges::hold(ram, &tree) && !ranges::overlap(&kernel, &tree));
    assert_eq!(kernel.start % ImageHeader::ALIGN, header.text_offset);
    for module in payload.ramdisk.into_iter().chain(payload.passed_on) {
        assert!(!ranges::overlap(&module.range, &kernel) && !ranges::overlap(&module.range, &tree));
    }
}
