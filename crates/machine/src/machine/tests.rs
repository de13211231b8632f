#![expect(clippy::single_range_in_vec_init, reason = "one bank of RAM is a list of one range")]

use std::{string::String, vec, vec::Vec};

use dtoolkit::{Node, model::DeviceTree};
use proptest::{collection::vec as many, prelude::*};

use super::*;
use crate::{ImageHeader, Payload, Plan, l1_tree, testing, testing::MIB};

fn root_cells(value: &'static [u8]) -> impl FnOnce(&mut DeviceTree) {
    move |tree| {
        tree.root.property_mut("#address-cells").unwrap().set_value(value);
    }
}

fn malformed(edit: impl FnOnce(&mut DeviceTree)) -> String {
    match testing::machine(edit) {
        Err(MachineError::Malformed(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_board_is_read() {
    let machine = testing::machine(|_| ()).unwrap();
    assert_eq!(machine.ram, vec![0x4000_0000..0x1_4000_0000]);
    assert_eq!(machine.home_bank(), Some(0x4000_0000..0x1_4000_0000));
    assert_eq!(machine.cpus, vec![0, 1]);
    assert_eq!(
        (machine.gicd, machine.gicr),
        (0x800_0000..0x801_0000, 0x80a_0000..0x900_0000)
    );
    assert_eq!(machine.options, "log=debug");
    let kernel = machine.kernel.unwrap();
    assert_eq!(
        (kernel.range, kernel.bootargs.as_str()),
        (0x4820_0000..0x483f_0000, testing::BOOTARGS)
    );
    let ramdisk = machine.ramdisk.unwrap();
    assert_eq!(
        (ramdisk.range, ramdisk.bootargs.as_str()),
        (0x4c00_0000..0x4c20_0123, "")
    );
}

#[test]
fn numa_banks_are_merged_and_sorted() {
    let machine = testing::machine(|tree| {
        tree.root.add_child(testing::memory(0x2_0000_0000, 512 * MIB));
        tree.root.add_child(testing::memory(0x1_8000_0000, 512 * MIB));
        tree.root.add_child(testing::memory(0x1_4000_0000, 512 * MIB));
    });
    let wanted = vec![
        0x4000_0000..0x1_6000_0000,
        0x1_8000_0000..0x1_a000_0000,
        0x2_0000_0000..0x2_2000_0000,
    ];
    assert_eq!(machine.unwrap().ram, wanted);
}

#[test]
fn ram_of_half_a_page_is_malformed() {
    let why = malformed(|tree| tree.root.add_child(testing::memory(0x1_8000_0800, MIB)));
    assert_eq!(why, "RAM at 0x180000800-0x180100800 is not made of whole pages");
}

#[test]
fn devices_are_whole_pages_with_the_pci_windows() {
    let wanted = vec![
        0x800_0000..0x801_0000,
        // Redistributors and the UART behind them.
        0x80a_0000..0x900_1000,
        // fw_cfg.
        0x902_0000..0x902_1000,
        0x904_0000..0x904_1000,
        // Eight virtio slots.
        0xa00_0000..0xa00_1000,
        0x1000_0000..0x3f00_0000,
        0x40_1000_0000..0x40_2000_0000,
        0x80_0000_0000..0x100_0000_0000,
    ];
    assert_eq!(testing::machine(|_| ()).unwrap().devices, wanted);
}

#[test]
fn l1_gets_neither_the_gic_nor_the_debug_uart() {
    let devices = testing::machine(|_| ()).unwrap().l1_devices();
    assert_eq!(devices.first(), Some(&(0x900_0000..0x900_1000)));
    assert_eq!(devices.get(1), Some(&(0xa00_0000..0xa00_1000)));
}

#[test]
fn l1_does_not_get_the_rest_of_a_page_with_the_debug_uart() {
    let machine = testing::machine(|tree| {
        let uart = tree.root.child_mut("pl011@9040000").unwrap();
        testing::doubles(uart, "reg", &[0x904_0000, 0x48]);
        tree.root
            .add_child(testing::device("pl031", 0x904_0800, 0x100, "arm,pl031"));
    });
    let page = 0x904_0000..0x904_1000;
    assert!(
        !machine
            .unwrap()
            .l1_devices()
            .iter()
            .any(|device| ranges::overlap(device, &page))
    );
}

#[test]
fn device_registers_in_ram_are_malformed() {
    let why = malformed(|tree| tree.root.add_child(testing::device("odd", 0x4100_0000, 1, "odd")));
    assert_eq!(why, "device registers at 0x41000000-0x41001000 overlap RAM");
}

#[test]
fn a_range_whose_end_overflows_is_malformed() {
    let device = malformed(|tree| tree.root.add_child(testing::device("odd", u64::MAX, 1, "odd")));
    assert_eq!(
        device,
        "odd@ffffffffffffffff: 0x1 bytes at 0xffffffffffffffff reach beyond 48 bits"
    );
    malformed(|tree| tree.root.add_child(testing::memory(0xffff_ffff_ffff_f000, 0x1000)));
    malformed(|tree| tree.root.add_child(testing::memory(1 << 48, 0x1000)));
    malformed(|tree| {
        let chosen = tree.root.child_mut("chosen").unwrap();
        testing::doubles(
            chosen.child_mut("module@0x4c000000").unwrap(),
            "reg",
            &[0x4c00_0000, u64::MAX],
        );
    });
    malformed(|tree| {
        let window = [0, 0, 0, 0x80, 0, u32::MAX, 0];
        testing::cells(tree.root.child_mut("pcie@4010000000").unwrap(), "ranges", &window);
    });
}

#[test]
fn a_root_without_two_cells_each_is_malformed() {
    for value in [&[0, 0, 0, 1][..], &[0, 0, 0, 3], &[], &[2], &[0, 0, 0, 2, 0, 0, 0, 2]] {
        assert_eq!(malformed(root_cells(value)), "#address-cells of the root is not 2");
    }
    let why = malformed(|tree| drop(tree.root.remove_property("#size-cells")));
    assert_eq!(why, "#size-cells of the root is not 2");
}

#[test]
fn the_uart_that_stdout_path_names_is_l1s() {
    for (stdout, l1, debug) in [
        ("/pl011@9000000", "/pl011@9000000", "/pl011@9040000"),
        ("/pl011@9040000", "/pl011@9040000", "/pl011@9000000"),
        ("/pl011@9040000:115200n8", "/pl011@9040000", "/pl011@9000000"),
        ("/elsewhere", "/pl011@9000000", "/pl011@9040000"),
    ] {
        let machine = testing::machine(|tree| {
            testing::text(tree.root.child_mut("chosen").unwrap(), "stdout-path", stdout);
        });
        let machine = machine.unwrap();
        assert_eq!(
            (
                machine.l1_uart.node.as_str(),
                machine.debug_uart.as_ref().unwrap().node.as_str()
            ),
            (l1, debug)
        );
    }
}

#[test]
fn an_spi_has_its_intid_above_the_private_interrupts() {
    let machine = testing::machine(|_| ()).unwrap();
    assert_eq!((machine.l1_uart.intid, machine.debug_uart.unwrap().intid), (33, 40));
}

#[test]
fn without_a_second_uart_there_is_no_console() {
    let mut one = testing::machine(|tree| drop(tree.root.remove_child("pl011@9040000"))).unwrap();
    assert_eq!(one.set_console(true), Err(MachineError::NoDebugUart));
    assert_eq!(one.set_console(false), Ok(()));
    let none = testing::machine(|tree| {
        tree.root.remove_child("pl011@9040000");
        tree.root.remove_child("pl011@9000000");
    });
    assert_eq!(none.err(), Some(MachineError::Missing("PL011 UART")));
}

#[test]
fn without_a_console_both_uarts_are_l1s() {
    let mut machine = testing::machine(|_| ()).unwrap();
    assert_eq!(machine.set_console(true), Ok(()));
    let page = 0x904_0000..0x904_1000;
    assert!(!machine.l1_devices().contains(&page));
    assert_eq!(machine.set_console(false), Ok(()));
    assert!(machine.l1_devices().contains(&page));
    let tree = testing::model(&l1_tree::for_l1(&machine, &machine.ram, "", None));
    assert!(tree.root.child("pl011@9040000").is_some());
}

#[test]
fn a_uart_without_registers_or_interrupt_does_not_count() {
    let empty = testing::machine(|tree| {
        testing::doubles(tree.root.child_mut("pl011@9040000").unwrap(), "reg", &[0x904_0000, 0]);
    });
    assert_eq!(empty.unwrap().debug_uart, None);
    for (kind, number) in [(1, 8), (0, u32::MAX)] {
        let machine = testing::machine(|tree| {
            let uart = tree.root.child_mut("pl011@9040000").unwrap();
            testing::cells(uart, "interrupts", &[kind, number, 4]);
        });
        assert_eq!(machine.unwrap().debug_uart, None);
    }
}

#[test]
fn a_machine_needs_a_gicv3_with_two_regions() {
    let none = testing::machine(|tree| drop(tree.root.remove_child("intc@8000000")));
    assert_eq!(none.err(), Some(MachineError::Missing("GICv3")));
    let one = testing::machine(|tree| {
        testing::doubles(
            tree.root.child_mut("intc@8000000").unwrap(),
            "reg",
            &[0x800_0000, 0x1_0000],
        );
    });
    assert_eq!(
        one.err(),
        Some(MachineError::Missing("GICv3 distributor and redistributors"))
    );
}

#[test]
fn the_count_of_cpus_is_limited() {
    let with = |count| testing::machine(|tree| tree.root.add_child(testing::cpus(count)));
    assert_eq!(with(8).unwrap().cpus.len(), 8);
    assert_eq!(with(9).err(), Some(MachineError::TooManyCpus { count: 9, max: 8 }));
    assert_eq!(with(0).err(), Some(MachineError::Missing("CPUs")));
}

#[test]
fn an_affinity_may_have_two_cells() {
    let machine = testing::machine(|tree| {
        let cpu = tree.root.child_mut("cpus").unwrap().child_mut("cpu@1").unwrap();
        testing::cells(cpu, "reg", &[1, 0x0203_0004]);
    });
    assert_eq!(machine.unwrap().cpus, vec![0, 0x1_0203_0004]);
}

#[test]
fn without_chosen_there_are_no_modules_and_no_options() {
    let machine = testing::machine(|tree| drop(tree.root.remove_child("chosen"))).unwrap();
    assert_eq!(
        (machine.kernel, machine.ramdisk, machine.options.as_str()),
        (None, None, "")
    );
}

#[test]
fn the_carve_out_is_not_l1s() {
    let machine = testing::machine(|tree| tree.root.add_child(testing::memory(0x2_0000_0000, 512 * MIB))).unwrap();
    let low = machine.l1_ram(&(0x4000_0000..0x4500_0000));
    assert_eq!(low, Ok(vec![0x4500_0000..0x1_4000_0000, 0x2_0000_0000..0x2_2000_0000]));
    let middle = machine.l1_ram(&(0x4400_0000..0x4500_0000)).unwrap();
    assert_eq!(middle[..2], [0x4000_0000..0x4400_0000, 0x4500_0000..0x1_4000_0000]);
}

#[test]
fn l1_needs_128_mib_beside_the_carve_out() {
    let with = |mib| {
        let machine = testing::machine(|tree| tree.root.add_child(testing::memory(0x4000_0000, mib * MIB)));
        machine.unwrap().l1_ram(&(0x4000_0000..0x4000_0000 + 64 * MIB))
    };
    assert_eq!(with(192), Ok(vec![0x4400_0000..0x4c00_0000]));
    assert_eq!(with(191), Err(MachineError::TooLittleMemory(191 * MIB, 192 * MIB)));
}

#[test]
fn there_must_be_ram_under_the_image() {
    let machine = testing::machine(|tree| {
        tree.root.remove_child("memory@40000000");
        tree.root.add_child(testing::memory(0x8000_0000, 4096 * MIB));
    });
    let ram = machine.unwrap().l1_ram(&(0x4000_0000..0x4400_0000));
    assert_eq!(ram, Err(MachineError::Missing("RAM under the image")));
}

#[test]
fn more_banks_than_are_kept_track_of_are_an_error() {
    let with = |extra: u64| {
        let machine = testing::machine(|tree| {
            for index in 0..extra {
                tree.root
                    .add_child(testing::memory(0x10_0000_0000 + index * 512 * MIB, 256 * MIB));
            }
        });
        machine
            .unwrap()
            .l1_ram(&(0x4000_0000..0x4400_0000))
            .map(|banks| banks.len())
    };
    assert_eq!(with(7), Ok(8));
    assert_eq!(with(8), Err(MachineError::TooManyBanks(9)));
}

/// Does with `blob` all that the boot does.
fn boot(blob: &[u8]) {
    let Ok(machine) = testing::parse(blob) else { return };
    let _ = machine.l1_devices();
    let Some(home) = machine.home_bank() else { return };
    let Ok(ram) = machine.l1_ram(&(home.start..home.start + 64 * MIB)) else {
        return;
    };
    let ramdisk = machine.ramdisk.as_ref().map(|module| &module.range);
    let tree = l1_tree::for_l1(&machine, &ram, testing::BOOTARGS, ramdisk);
    assert!(Tree::check(&tree).is_ok(), "L1's tree is valid");
    if let Ok(payload) = Payload::find(&machine, &ram) {
        let header = ImageHeader {
            text_offset: 0,
            image_bytes: 32 * MIB,
        };
        let _ = Plan::make(&payload, &header, &ram, tree.len() as u64);
    }
}

fn with_size(blob: &[u8]) -> Vec<u8> {
    let bytes = u32::try_from(blob.len()).unwrap();
    if blob.len() < 8 {
        blob.to_vec()
    } else {
        testing::padded(blob, bytes)
    }
}

#[test]
fn a_tree_cut_at_any_length_is_refused() {
    let blob = testing::board().to_dtb();
    for bytes in 0..blob.len() {
        assert!(testing::parse(&blob[..bytes]).is_err(), "{bytes} bytes");
        // The same with a header that admits to it.
        assert!(testing::parse(&with_size(&blob[..bytes])).is_err(), "{bytes} bytes");
    }
    boot(&blob);
}

#[test]
fn no_single_byte_can_make_the_boot_panic() {
    let blob = testing::board().to_dtb();
    let mut changed = blob.clone();
    for at in 0..blob.len() {
        for value in [0, 4, 0xff, blob[at] ^ 1] {
            changed[at] = value;
            if value != blob[at] {
                boot(&changed);
            }
        }
        changed[at] = blob[at];
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_few_bytes_can_make_the_boot_panic(changes in many((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut blob = testing::board().to_dtb();
        for (at, value) in changes {
            let at = at.index(blob.len());
            blob[at] = value;
        }
        boot(&blob);
    }

    #[test]
    fn no_few_words_can_make_the_boot_panic(
        changes in many((any::<prop::sample::Index>(), prop_oneof![0_u32..10, any::<u32>(), Just(u32::MAX)]), 1..4),
    ) {
        let mut blob = testing::board().to_dtb();
        for (at, value) in changes {
            let at = at.index(blob.len() / 4) * 4;
            blob[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        boot(&blob);
    }
}
