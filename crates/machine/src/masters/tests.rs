use std::{string::String, vec, vec::Vec};

use dtoolkit::{Node, model::DeviceTree};
use proptest::{collection::vec as many, prelude::*};

use super::*;
use crate::{
    Machine, l1_tree, ranges,
    testing::{self, PCI_HOST, SMMU_PHANDLE},
};

const PCI_RANGES: [Range<u64>; 2] = [0x40_1000_0000..0x40_2000_0000, 0x1000_0000..0x3eff_0000];
const FW_CFG: Range<u64> = 0x902_0000..0x902_1000;
const VIRTIO: Range<u64> = 0xa00_0000..0xa00_1000;
const SMMU: Range<u64> = 0x905_0000..0x907_0000;

/// The board with an SMMU, changed by `edit`.
fn smmu(edit: impl FnOnce(&mut DeviceTree)) -> Result<Smmu, Unconfined> {
    let machine = testing::machine(|tree| {
        testing::add_smmu(tree);
        edit(tree);
    });
    machine.unwrap().smmu
}

fn map(rows: &[[u32; 4]]) -> Result<Smmu, Unconfined> {
    smmu(|tree| testing::set_iommu_map(tree, rows))
}

fn is_l1s(machine: &Machine, range: &Range<u64>) -> bool {
    machine.l1_devices().iter().any(|device| ranges::overlap(device, range))
}

fn nodes_of_l1(machine: &Machine) -> Vec<String> {
    let tree = testing::model(&l1_tree::for_l1(machine, &[], "", None));
    testing::children(&tree.root)
}

#[test]
fn the_smmu_of_the_board_has_every_pci_device_behind_it() {
    let smmu = smmu(|_| ()).unwrap();
    assert_eq!((&smmu.registers, smmu.events, smmu.errors), (&SMMU, 106, 109));
    assert_eq!(smmu.last_stream(), 0xffff);
    assert_eq!(smmu.requester(0x10), Some(0x10));
    assert_eq!(smmu.requester(0x1_0000), None);
}

#[test]
fn without_an_smmu_the_reason_is_that() {
    assert_eq!(testing::machine(|_| ()).unwrap().smmu, Err(Unconfined::NoSmmu));
}

#[test]
fn an_smmu_is_used_only_if_it_is_whole_and_the_only_one() {
    let edited =
        |name, value: &[u32]| smmu(|tree| testing::cells(tree.root.child_mut("smmuv3@9050000").unwrap(), name, value));
    assert_eq!(edited("interrupts", &[0, 74, 1]), Err(Unconfined::Incomplete));
    assert_eq!(edited("interrupts", &[]), Err(Unconfined::Incomplete));
    assert_eq!(edited("reg", &[0, 0x905_0000, 0, 0x1000]), Err(Unconfined::Incomplete));
    assert_eq!(edited("phandle", &[]), Err(Unconfined::NotMapped));
    let two = smmu(|tree| {
        let second = testing::device("smmuv3", 0x909_0000, 0x2_0000, "arm,smmu-v3");
        tree.root.add_child(second);
    });
    assert_eq!(two, Err(Unconfined::Several));
}

#[test]
fn a_map_must_lead_every_device_to_the_smmu() {
    const P: u32 = SMMU_PHANDLE;
    for bad in [
        &[][..],
        &[[0, P, 0, 0xffff]],
        &[[1, P, 0, 0xffff]],
        &[[0, P + 1, 0, 0x1_0000]],
        &[[0, P, 0, 0]],
        &[[0, P, u32::MAX, 0x1_0000]],
        &[[0, P, 0, 0x100], [0x200, P, 0x200, 0xfe00]],
    ] {
        assert_eq!(map(bad), Err(Unconfined::NotMapped), "{bad:x?}");
    }
    let moved = map(&[[0x8000, P, 0x100, 0x8000], [0, P, 0x9000, 0x8000]]).unwrap();
    assert_eq!(moved.requester(0x9010), Some(0x10));
    assert_eq!(moved.requester(0x110), Some(0x8010));
    assert_eq!(moved.last_stream(), 0x1_0fff);
    let masked = smmu(|tree| testing::cells(tree.root.child_mut(PCI_HOST).unwrap(), "iommu-map-mask", &[0xff00]));
    assert_eq!(masked, Err(Unconfined::NotMapped));
    let odd = smmu(|tree| {
        testing::cells(
            tree.root.child_mut(PCI_HOST).unwrap(),
            "iommu-map",
            &[0, P, 0, 0x1_0000, 7],
        )
    });
    assert_eq!(odd, Err(Unconfined::NotMapped));
}

#[test]
fn l1_has_neither_fw_cfg_nor_the_smmu_and_does_not_hear_of_them() {
    let machine = testing::machine(testing::add_smmu).unwrap();
    assert!(!is_l1s(&machine, &FW_CFG) && !is_l1s(&machine, &SMMU));
    assert!(is_l1s(&machine, &VIRTIO) && PCI_RANGES.iter().all(|range| is_l1s(&machine, range)));
    let nodes = nodes_of_l1(&machine);
    assert!(
        !nodes
            .iter()
            .any(|name| name.starts_with("fw-cfg") || name.starts_with("smmu"))
    );
    let tree = testing::model(&l1_tree::for_l1(&machine, &[], "", None));
    assert!(tree.root.child(PCI_HOST).unwrap().property("iommu-map").is_none());
}

#[test]
fn an_smmu_that_is_not_used_is_hidden_too() {
    let machine = testing::machine(|tree| {
        testing::add_smmu(tree);
        testing::set_iommu_map(tree, &[]);
    });
    assert!(!is_l1s(&machine.unwrap(), &SMMU));
}

#[test]
fn refused_is_whatever_is_not_confined() {
    for is_confined in [false, true] {
        let mut machine = testing::machine(|tree| {
            testing::add_smmu(tree);
            let mut odd = testing::device("odd", 0xb00_0000, 0x1000, "odd");
            testing::cells(&mut odd, "dma-coherent", &[]);
            tree.root.add_child(odd);
        })
        .unwrap();
        assert_eq!(
            machine.l1_masters().count(),
            10,
            "eight virtio slots, PCI, and one more"
        );
        machine.refuse_dma(is_confined);
        for range in &PCI_RANGES {
            assert_eq!(is_l1s(&machine, range), is_confined);
        }
        assert!(!is_l1s(&machine, &VIRTIO) && !is_l1s(&machine, &(0xb00_0000..0xb00_1000)));
        let nodes = nodes_of_l1(&machine);
        assert_eq!(nodes.contains(&PCI_HOST.into()), is_confined);
        assert!(
            !nodes
                .iter()
                .any(|name| name.starts_with("virtio") || name.starts_with("odd"))
        );
        assert!(nodes.contains(&"pl011@9000000".into()));
        let left: Vec<_> = machine.l1_masters().map(|master| master.kind).collect();
        assert_eq!(left, if is_confined { vec![MasterKind::PciHost] } else { vec![] });
    }
}

proptest! {
    #[test]
    fn a_map_is_taken_only_if_each_device_has_a_stream(
        rows in many((0_u32..4, 0_u32..5, 0_u32..4), 0..6),
    ) {
        const PART: u32 = 0x4000;
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(at, parts, stream)| [at * PART, SMMU_PHANDLE, stream * PART, parts * PART])
            .collect();
        let covers = |part: u32| {
            rows.iter().any(|[at, _, _, count]| (*at..at + count).contains(&(part * PART)))
        };
        let is_whole = rows.iter().all(|[_, _, _, count]| *count != 0) && (0..4).all(covers);
        let found = map(&rows);
        prop_assert_eq!(found.is_ok(), is_whole);
        if let Ok(smmu) = found {
            for requester in (0..4).map(|part| part * PART + 7) {
                let streams: Vec<u32> = rows
                    .iter()
                    .filter(|[at, _, _, count]| (*at..at + count).contains(&requester))
                    .map(|[at, _, stream, _]| requester - at + stream)
                    .collect();
                prop_assert!(!streams.is_empty());
                for stream in streams {
                    prop_assert!(smmu.requester(stream).is_some());
                    prop_assert!(stream <= smmu.last_stream());
                }
            }
        }
    }
}
