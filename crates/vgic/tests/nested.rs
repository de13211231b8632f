//! Registers computed from L1's VNCR page, and the way of list registers into hardware and back.

use proptest::prelude::*;
use vgic::nested::Ended;
use vgic::{ListRegister, VirtualInterface, hcr, ich, nested, vmcr};

const PENDING: u64 = 1 << 62;
const ACTIVE: u64 = 2 << 62;
const HW: u64 = 1 << 61;
const EOI: u64 = 1 << 41;

fn page(hcr: u64, vmcr: u64, lrs: &[u64]) -> VirtualInterface {
    let mut page = VirtualInterface {
        hcr,
        vmcr,
        ..VirtualInterface::EMPTY
    };
    page.lr[..lrs.len()].copy_from_slice(lrs);
    page
}

fn loaded(page: &VirtualInterface, lr_count: usize, physical: impl Fn(u32) -> Option<u32>) -> (VirtualInterface, u16) {
    let mut hardware = VirtualInterface::EMPTY;
    let valid = nested::load(page, &mut hardware, lr_count, physical);
    (hardware, valid)
}

#[test]
fn vtr_is_the_machines_with_the_list_registers_given() {
    assert_eq!(ich::vtr(4), 0x90b8_0003);
    assert_eq!(ich::vtr(0), 0x90b8_0000);
    assert_eq!(ich::vtr(100), 0x90b8_000f);
}

#[test]
fn eisr_wants_an_ended_interrupt_that_asked_and_is_not_linked() {
    let page = page(0, 0, &[EOI, EOI | PENDING, EOI | HW, 0]);
    assert_eq!(ich::eisr(&page, 4), 0b0001);
    assert_eq!(ich::elrsr(&page, 4), 0b1100, "EISR's is not free");
    assert_eq!(ich::misr(&page, 4), ich::MISR_EOI);
}

#[test]
fn list_registers_beyond_the_machines_do_not_count() {
    let page = page(hcr::UIE, 0, &[PENDING, EOI, PENDING, PENDING]);
    assert_eq!(ich::eisr(&page, 1), 0);
    assert_eq!(ich::elrsr(&page, 1), 0);
    assert_eq!(ich::misr(&page, 1), ich::MISR_U);
}

#[test]
fn underflow_is_at_most_one_valid() {
    for (lrs, expected) in [
        (&[][..], ich::MISR_U),
        (&[ACTIVE], ich::MISR_U),
        (&[ACTIVE, PENDING], 0),
    ] {
        assert_eq!(ich::misr(&page(hcr::UIE, 0, lrs), 4), expected);
    }
}

#[test]
fn no_pending_does_not_count_pending_and_active_as_pending() {
    let np = |lr| ich::misr(&page(hcr::NPIE, 0, &[lr]), 4);
    assert_eq!(np(PENDING), 0);
    assert_eq!(np(PENDING | ACTIVE), ich::MISR_NP);
    assert_eq!(np(ACTIVE), ich::MISR_NP);
}

#[test]
fn eoi_count_asks_only_when_enabled() {
    let counted = 1 << hcr::EOICOUNT_SHIFT;
    assert_eq!(ich::misr(&page(counted, 0, &[]), 4), 0);
    let asked = page(counted | hcr::LRENPIE, 0, &[]);
    assert_eq!(ich::misr(&asked, 4), ich::MISR_LRENP);
}

#[test]
fn group_interrupts_follow_their_own_enable() {
    let all = hcr::VGRP0EIE | hcr::VGRP0DIE | hcr::VGRP1EIE | hcr::VGRP1DIE;
    let misr = |vmcr| ich::misr(&page(all, vmcr, &[]), 4);
    assert_eq!(misr(0), ich::MISR_VGRP0D | ich::MISR_VGRP1D);
    assert_eq!(misr(vmcr::VENG0), ich::MISR_VGRP0E | ich::MISR_VGRP1D);
    assert_eq!(misr(vmcr::VENG1), ich::MISR_VGRP0D | ich::MISR_VGRP1E);
}

#[test]
fn the_maintenance_line_needs_the_interface_enabled() {
    assert!(!ich::maintenance_level(&page(hcr::UIE, 0, &[]), 4));
    assert!(ich::maintenance_level(&page(hcr::UIE | hcr::EN, 0, &[]), 4));
    assert!(!ich::maintenance_level(&page(hcr::EN, 0, &[]), 4));
}

/// The reasons for the maintenance interrupt, one after the other (IHI 0069, "ICH_MISR_EL2").
fn reasons(page: &VirtualInterface, lr_count: usize) -> u64 {
    let lrs: Vec<ListRegister> = page.lr[..lr_count].iter().copied().map(ListRegister).collect();
    let asks = |bit| page.hcr & bit != 0;
    let has = |bit| page.vmcr & bit != 0;
    let pending = |lr: &ListRegister| lr.state() == vgic::lr::State::Pending;
    [
        (lrs.iter().any(|lr| !lr.is_valid() && lr.has_eoi()), ich::MISR_EOI),
        (
            asks(hcr::UIE) && lrs.iter().filter(|lr| lr.is_valid()).count() <= 1,
            ich::MISR_U,
        ),
        (asks(hcr::LRENPIE) && page.hcr & hcr::EOICOUNT != 0, ich::MISR_LRENP),
        (asks(hcr::NPIE) && !lrs.iter().any(pending), ich::MISR_NP),
        (asks(hcr::VGRP0EIE) && has(vmcr::VENG0), ich::MISR_VGRP0E),
        (asks(hcr::VGRP0DIE) && !has(vmcr::VENG0), ich::MISR_VGRP0D),
        (asks(hcr::VGRP1EIE) && has(vmcr::VENG1), ich::MISR_VGRP1E),
        (asks(hcr::VGRP1DIE) && !has(vmcr::VENG1), ich::MISR_VGRP1D),
    ]
    .into_iter()
    .filter_map(|(is_so, reason)| is_so.then_some(reason))
    .sum()
}

proptest! {
    /// With and without a look at each list register; those that a machine lacks are 0.
    #[test]
    fn the_short_way_to_the_reasons_and_the_long_one_agree(
        hcr in prop_oneof![Just(hcr::EN), 0..0x100_u64, any::<u64>()],
        vmcr: u64,
        lrs in prop::collection::vec(
            (0..16_u64, prop_oneof![Just(0_u64), Just(EOI), any::<u64>()]).prop_map(|(state, low)| state << 60 | low >> 4),
            0..=8,
        ),
    ) {
        let (page, count) = (page(hcr, vmcr, &lrs), lrs.len());
        prop_assert_eq!(ich::misr(&page, count), reasons(&page, count));
        if let Some(at_once) = ich::misr_at_once(&page, count) {
            prop_assert_eq!(at_once, reasons(&page, count));
        }
        let free = |number: &usize| ich::is_free(page.lr[*number]);
        let bits: u64 = (0..count).filter(free).map(|number| 1 << number).sum();
        prop_assert_eq!(ich::elrsr(&page, count), bits);
    }

    /// However many there are, loaded are those that have an interrupt.
    #[test]
    fn valid_list_registers_are_the_ones_that_are_loaded(states in prop::collection::vec(0..4_u64, 0..=8)) {
        let lrs: Vec<u64> = states.iter().map(|state| state << 62 | 7).collect();
        let (hardware, valid) = loaded(&page(1, 0, &lrs), lrs.len(), |_| None);
        for (number, lr) in lrs.iter().enumerate() {
            prop_assert_eq!(valid >> number & 1 != 0, lr >> 62 != 0);
            prop_assert!(lr >> 62 == 0 || hardware.lr[number] == *lr);
        }
    }
}

#[test]
fn reserved_bits_are_dropped() {
    assert_eq!(ich::sanitise_hcr(u64::MAX), 0xf800_5cff);
    assert_eq!(ich::sanitise_lr(!HW), 0xd0f8_0200_00ff_ffff);
    assert_eq!(ich::sanitise_lr(u64::MAX), 0xf0f8_1fff_00ff_ffff);
    assert_eq!(ich::sanitise_vmcr(u64::MAX), 0xfffc_021b);
    assert_eq!(ich::sanitise_vmcr(0), 0x004c_0008, "least binary points");
}

#[test]
fn a_link_is_translated_or_cleared() {
    let lr = PENDING | HW | 27 << 32 | 5;
    let to_30 = ich::translate_for_hardware(lr, |intid| (intid == 27).then_some(30));
    assert_eq!(to_30, PENDING | HW | 30 << 32 | 5);
    assert_eq!(ich::translate_for_hardware(lr, |_| None), PENDING | 5);
    let soft = PENDING | EOI | 5;
    assert_eq!(ich::translate_for_hardware(soft, |_| Some(1)), soft);
}

#[test]
fn list_registers_without_an_interrupt_stay_out_of_hardware() {
    let (hardware, _) = loaded(&page(1, 0, &[EOI | 7, PENDING | 8]), 4, |_| None);
    assert_eq!(hardware.lr[..2], [0, PENDING | 8]);
}

#[test]
fn the_guests_progress_comes_back_and_the_rest_of_the_page_stays() {
    let mut page = page(
        hcr::EN | hcr::UIE,
        vmcr::VENG1,
        &[
            PENDING | EOI | 7,
            PENDING | HW | 27 << 32 | 8,
            PENDING | HW | 99 << 32 | 9,
            EOI | 10,
        ],
    );
    let (mut before, mut valid) = loaded(&page, 4, |intid| (intid == 27).then_some(27));
    let mut after = before.clone();
    after.hcr |= 2 << hcr::EOICOUNT_SHIFT;
    after.vmcr |= 0xf0 << vmcr::VPMR_SHIFT;
    (after.ap0r0, after.ap1r0) = (4, 1);
    after.lr[0] = ListRegister(after.lr[0]).with_state(vgic::lr::State::Active).0;
    after.lr[1] &= !(3 << 62);
    after.lr[2] &= !(3 << 62);
    let mut ended = Vec::new();
    nested::save(&mut before, &mut valid, &after, &mut page, |end| ended.push(end));
    assert_eq!(
        page.lr[..4],
        [ACTIVE | EOI | 7, HW | 27 << 32 | 8, HW | 99 << 32 | 9, EOI | 10]
    );
    assert_eq!(page.hcr, hcr::EN | hcr::UIE | 2 << hcr::EOICOUNT_SHIFT);
    assert_eq!((page.vmcr, page.ap0r0, page.ap1r0), (after.vmcr, 4, 1));
    let end = |intid, in_hardware| Ended { intid, in_hardware };
    assert_eq!(ended, [end(27, true), end(99, false)]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_page_panics_or_reaches_a_physical_interrupt_that_is_not_granted(
        hcr in any::<u64>(), vmcr in any::<u64>(), lr in any::<[u64; 16]>(),
        lr_count in 0..20_usize, states in any::<[u64; 16]>(),
    ) {
        let mut page = VirtualInterface { hcr, vmcr, ap0r0: hcr, ap1r0: vmcr, lr };
        let _ = ich::misr(&page, lr_count);
        let _ = ich::maintenance_level(&page, lr_count);
        prop_assert_eq!(ich::eisr(&page, lr_count) & ich::elrsr(&page, lr_count), 0);
        let (mut before, mut valid) = loaded(&page, lr_count, |intid| (intid == 27).then_some(30));
        for &lr in &before.lr {
            let lr = ListRegister(lr);
            prop_assert!(!lr.is_hw() || lr.pintid() == 30);
        }
        let mut after = before.clone();
        for (lr, state) in after.lr.iter_mut().zip(states) {
            *lr = *lr & !(3 << 62) | state & 3 << 62;
        }
        nested::save(&mut before, &mut valid, &after, &mut page, |_| {});
        for (n, (&now, &old)) in page.lr.iter().zip(&lr).enumerate() {
            if n >= lr_count || old >> 62 == 0 {
                prop_assert_eq!(now, old, "untouched");
            } else {
                prop_assert_eq!(now << 2, old << 2, "only the state changes");
            }
        }
    }
}
