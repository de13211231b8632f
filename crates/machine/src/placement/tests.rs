use std::{
    string::{String, ToString},
    vec::Vec,
};

use proptest::prelude::*;

use super::*;
use crate::testing::{self, MIB};

const RAM: Range<u64> = 0x4500_0000..0x8000_0000;
const TREE_BYTES: u64 = 8000;

fn module(range: Range<u64>) -> Module {
    Module {
        range,
        bootargs: String::new(),
        node: String::new(),
    }
}

fn header(text_offset: u64, mib: u64) -> ImageHeader {
    ImageHeader {
        text_offset,
        image_bytes: mib * MIB,
    }
}

fn plan(kernel: Range<u64>, ramdisk: Option<Range<u64>>, header: &ImageHeader) -> Result<Plan, LoadError> {
    let (kernel, ramdisk) = (module(kernel), ramdisk.map(module));
    let payload = Payload {
        kernel: &kernel,
        ramdisk: ramdisk.as_ref(),
        passed_on: &[],
    };
    Plan::make(&payload, header, &[RAM], TREE_BYTES)
}

/// Where the board's modules are when they are moved there.
fn find(kernel: Range<u64>, ramdisk: Range<u64>) -> Result<(), LoadError> {
    let mut machine = testing::machine(|_| ()).unwrap();
    machine.kernel = Some(module(kernel));
    machine.ramdisk = Some(module(ramdisk));
    Payload::find(&machine, &[RAM]).map(|_| ())
}

#[test]
fn every_message_says_what_to_do() {
    let cases = [
        (
            LoadError::NoKernel,
            "no kernel for L1: give QEMU -device guest-loader,addr=...,kernel=IMAGE, or use scripts/run",
        ),
        (
            LoadError::OutsideRam("ramdisk", 0x1000..0x2000),
            "the ramdisk at 0x1000-0x2000 is not in L1's RAM: load it elsewhere or raise QEMU's -m",
        ),
        (
            LoadError::Overlap(0x1000..0x3000, 0x2000..0x4000),
            "the kernel at 0x1000-0x3000 and the ramdisk at 0x2000-0x4000 overlap: load one of them elsewhere",
        ),
        (
            LoadError::NotAnImage,
            "L1's kernel is not an uncompressed arm64 Image: give --kernel an arch/arm64/boot/Image",
        ),
        (
            LoadError::BigEndian,
            "L1's kernel is big-endian, which is not supported: use a little-endian one",
        ),
        (
            LoadError::NoRoom(40 * MIB),
            "no room for L1's kernel of 40 MiB: raise QEMU's -m or load the modules elsewhere",
        ),
    ];
    for (error, message) in cases {
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn without_a_kernel_there_is_nothing_to_start() {
    let mut machine = testing::machine(|_| ()).unwrap();
    machine.kernel = None;
    assert_eq!(Payload::find(&machine, &[RAM]).err(), Some(LoadError::NoKernel));
}

#[test]
fn a_module_outside_l1s_ram_is_refused() {
    let inside = 0x5000_0000..0x5100_0000;
    for outside in [
        0x4400_0000..0x4480_0000,
        0x44ff_f000..0x4510_0000,
        0x7fff_f000..0x8000_1000,
    ] {
        let error = find(outside.clone(), inside.clone());
        assert_eq!(error, Err(LoadError::OutsideRam("kernel", outside.clone())));
        let error = find(inside.clone(), outside.clone());
        assert_eq!(error, Err(LoadError::OutsideRam("ramdisk", outside)));
    }
}

#[test]
fn an_empty_module_is_refused() {
    let empty = 0x5000_0000..0x5000_0000;
    assert_eq!(
        find(empty.clone(), 0x6000_0000..0x6100_0000),
        Err(LoadError::OutsideRam("kernel", empty))
    );
}

#[test]
fn modules_that_overlap_are_refused() {
    let kernel = 0x5000_0000..0x5100_0000;
    for ramdisk in [
        0x50ff_ffff..0x5200_0000,
        0x4f00_0000..0x5000_0001,
        kernel.clone(),
        0x4f00_0000..0x5200_0000,
    ] {
        assert_eq!(
            find(kernel.clone(), ramdisk.clone()),
            Err(LoadError::Overlap(kernel.clone(), ramdisk))
        );
    }
    assert_eq!(find(kernel, 0x5100_0000..0x5200_0000), Ok(()));
}

#[test]
fn an_aligned_kernel_stays_and_the_tree_goes_to_the_lowest_room() {
    let plan = plan(0x4820_0000..0x4a00_0000, Some(0x4c00_0000..0x4d00_0000), &header(0, 32)).unwrap();
    assert_eq!(
        plan,
        Plan {
            kernel_at: 0x4820_0000,
            copy_needed: false,
            device_tree_at: 0x4500_0000
        }
    );
}

#[test]
fn an_unaligned_kernel_is_moved() {
    let plan = plan(0x4830_0000..0x4a00_0000, None, &header(0, 32)).unwrap();
    assert_eq!((plan.kernel_at, plan.copy_needed), (0x4500_0000, true));
    assert_eq!(plan.device_tree_at, 0x4700_0000);
}

#[test]
fn a_kernel_keeps_its_text_offset() {
    let stays = plan(0x4828_0000..0x4a00_0000, None, &header(0x8_0000, 32)).unwrap();
    assert_eq!((stays.kernel_at, stays.copy_needed), (0x4828_0000, false));
    let moves = plan(0x4820_0000..0x4a00_0000, None, &header(0x8_0000, 32)).unwrap();
    assert_eq!((moves.kernel_at, moves.copy_needed), (0x4508_0000, true));
}

#[test]
fn a_kernel_whose_bss_would_lie_on_the_ramdisk_is_moved() {
    let plan = plan(0x4600_0000..0x4700_0000, Some(0x4700_0000..0x4800_0000), &header(0, 32)).unwrap();
    assert_eq!((plan.kernel_at, plan.copy_needed), (0x4500_0000, true));
}

#[test]
fn a_kernel_is_moved_behind_the_ramdisk_if_there_is_no_room_before() {
    let plan = plan(0x4708_0000..0x4718_0000, Some(0x4600_0000..0x4680_0001), &header(0, 32)).unwrap();
    assert_eq!(
        (plan.kernel_at, plan.copy_needed, plan.device_tree_at),
        (0x46a0_0000, true, 0x4500_0000)
    );
}

#[test]
fn a_kernel_whose_bss_would_leave_the_bank_is_moved() {
    let plan = plan(0x7f00_0000..0x8000_0000, None, &header(0, 32)).unwrap();
    assert_eq!((plan.kernel_at, plan.copy_needed), (0x4500_0000, true));
}

#[test]
fn a_kernel_larger_than_any_room_is_refused() {
    let kernel = 0x4600_0000..0x4700_0000;
    assert_eq!(
        plan(kernel.clone(), None, &header(0, 1024)),
        Err(LoadError::NoRoom(1024 * MIB))
    );
    let absurd = ImageHeader {
        text_offset: 0,
        image_bytes: u64::MAX,
    };
    assert_eq!(plan(kernel, None, &absurd), Err(LoadError::NoRoom(u64::MAX)));
}

#[test]
fn without_room_for_the_tree_the_kernel_is_too_large() {
    let all = ImageHeader {
        text_offset: 0,
        image_bytes: RAM.end - RAM.start,
    };
    assert_eq!(plan(RAM, None, &all), Err(LoadError::NoRoom(all.image_bytes)));
}

#[test]
fn room_may_be_in_a_higher_bank() {
    let kernel = module(0x4830_0000..0x4840_0000);
    let payload = Payload {
        kernel: &kernel,
        ramdisk: None,
        passed_on: &[],
    };
    let banks = [0x4800_0000..0x4900_0000, 0x10_0000_0000..0x10_4000_0000];
    let plan = Plan::make(&payload, &header(0, 32), &banks, TREE_BYTES).unwrap();
    assert_eq!((plan.kernel_at, plan.device_tree_at), (0x10_0000_0000, 0x4800_0000));
}

#[test]
fn what_is_passed_on_stays_where_it_is() {
    let kernel = module(0x4830_0000..0x4840_0000);
    let payload = Payload {
        kernel: &kernel,
        ramdisk: None,
        passed_on: &[module(0x4500_0000..0x4600_0000), module(0x4800_0000..0x4810_0000)],
    };
    let plan = Plan::make(&payload, &header(0, 32), &[RAM], TREE_BYTES).unwrap();
    assert_eq!((plan.kernel_at, plan.device_tree_at), (0x4600_0000, 0x4820_0000));
}

proptest! {
    #[test]
    fn what_is_placed_is_in_ram_and_apart(
        kernel_at in 0x4500_0000_u64..0x5000_0000,
        kernel_bytes in 1_u64..16 << 20,
        gap in 0_u64..8 << 20,
        ramdisk_bytes in 1_u64..64 << 20,
        text_offset in 0_u64..2 << 20,
        bss_bytes in 0_u64..64 << 20,
    ) {
        let kernel = kernel_at..kernel_at + kernel_bytes;
        let ramdisk = kernel.end + gap..kernel.end + gap + ramdisk_bytes;
        let header = ImageHeader { text_offset, image_bytes: kernel_bytes + bss_bytes };
        let plan = plan(kernel.clone(), Some(ramdisk.clone()), &header).unwrap();
        let placed = plan.kernel_at..plan.kernel_at + header.image_bytes;
        let tree = plan.device_tree_at..plan.device_tree_at + TREE_BYTES;
        let all: Vec<Range<u64>> = [placed, tree, ramdisk].to_vec();
        prop_assert!(all.iter().all(|range| ranges::hold(&[RAM], range)));
        prop_assert!((0..3).all(|a| (0..a).all(|b| !ranges::overlap(&all[a], &all[b]))));
        prop_assert_eq!(plan.kernel_at % ImageHeader::ALIGN, text_offset);
        prop_assert_eq!(plan.copy_needed, plan.kernel_at != kernel_at);
        prop_assert_eq!(plan.device_tree_at % ImageHeader::ALIGN, 0);
    }
}
