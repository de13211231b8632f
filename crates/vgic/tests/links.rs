//! Physical interrupts passed on: active on behalf of a virtual one, and given back exactly once.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod machine;

use machine::*;
use vgic::lr::State;
use vgic::{VirtualInterface, nested};

#[test]
fn a_forwarded_spi_is_deactivated_by_hardware() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 40);
    machine.drive(40, true);
    let lr = machine.list_register(0, 40).unwrap();
    assert!(lr.is_hw());
    assert_eq!(lr.pintid(), 40);
    assert_eq!(machine.acknowledge(0), Some(40));
    machine.drive(40, false);
    machine.end(0, 40);
    assert!(machine.hw.spis[40].active, "split: not before deactivation");
    machine.deactivate(0, 40);
    assert!(!machine.hw.spis[40].active);
    machine.check_links();
    assert_eq!(machine.handle(0), None);
}

#[test]
fn a_level_still_high_at_its_end_interrupts_again() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 40);
    machine.drive(40, true);
    for _ in 0..3 {
        assert_eq!(machine.handle(0), Some(40));
        machine.check_links();
    }
    machine.drive(40, false);
    machine.exit(0);
    assert_eq!(machine.handle(0), None);
}

#[test]
fn an_interrupt_that_comes_again_before_the_save_keeps_its_new_link() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 27);
    machine.drive_timer(0, true);
    machine.acknowledge(0);
    machine.end(0, 27);
    machine.deactivate(0, 27); // and the timer fires at once, before any save
    let lr = machine.list_register(0, 27).unwrap();
    assert_eq!((lr.state(), lr.is_hw()), (State::Pending, true));
    machine.check_links();
    assert!(machine.hw.ppis[0][27].active);
}

#[test]
fn an_edge_while_active_waits_in_the_physical_gic() {
    let mut machine = Machine::new(1, 4);
    machine.set_edge(40, true);
    machine.enable(0, 40);
    machine.pulse(40);
    machine.acknowledge(0);
    machine.pulse(40);
    machine.exit(0);
    assert_eq!(machine.list_register(0, 40).unwrap().state(), State::Active);
    machine.end(0, 40);
    machine.deactivate(0, 40);
    assert_eq!(machine.handle(0), Some(40));
    assert_eq!(machine.handle(0), None);
    machine.check_links();
}

#[test]
fn a_disabled_spi_is_given_back() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 40);
    machine.drive(40, true);
    machine.bit(0, ICENABLER, 40);
    assert!(!machine.hw.spis[40].active && !machine.hw.spis[40].enabled);
    machine.drive(40, false);
    machine.enable(0, 40);
    assert_eq!(machine.handle(0), None, "the line has dropped");
}

#[test]
fn an_edge_of_a_disabled_spi_is_kept() {
    let mut machine = Machine::new(1, 4);
    machine.set_edge(40, true);
    machine.enable(0, 40);
    machine.pulse(40);
    machine.bit(0, ICENABLER, 40);
    assert!(!machine.hw.spis[40].active);
    machine.enable(0, 40);
    assert!(!machine.list_register(0, 40).unwrap().is_hw());
    assert_eq!(machine.handle(0), Some(40));
    machine.check_links();
}

#[test]
fn an_spi_in_flight_when_it_is_disabled_is_given_back() {
    let mut machine = Machine::new(1, 4);
    machine.set_edge(40, true);
    machine.hw.spis[40].active = true; // acknowledged by L0 just before L1 disabled it
    machine.vgic.forward_spi(40, &mut machine.hw);
    assert!(!machine.hw.spis[40].active);
    machine.enable(0, 40);
    assert_eq!(machine.handle(0), Some(40), "and the edge is not lost");
}

#[test]
fn a_disabled_ppi_stays_linked_so_that_it_cannot_storm() {
    let mut machine = Machine::new(1, 4);
    machine.drive_timer(0, true);
    assert!(machine.hw.ppis[0][27].active);
    assert_eq!(machine.vgic.link(0, 27), Some(27));
    machine.drive_timer(0, false);
    machine.enable(0, 27);
    assert!(!machine.hw.ppis[0][27].active, "asked again when it is enabled");
    assert_eq!(machine.handle(0), None);
}

#[test]
fn icpendr_gives_back_the_link_of_a_disabled_ppi() {
    let mut machine = Machine::new(1, 4);
    machine.drive_timer(0, true);
    machine.drive_timer(0, false);
    assert!(machine.hw.ppis[0][27].active);
    machine.bit(0, ICPENDR, 27);
    assert!(!machine.hw.ppis[0][27].active);
    machine.check_links();
}

#[test]
fn a_line_that_drops_before_acknowledgement_is_given_back_at_the_next_exit() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 27);
    machine.drive_timer(0, true);
    machine.drive_timer(0, false);
    machine.exit(0);
    assert_eq!(machine.list_registers(0), []);
    assert!(!machine.hw.ppis[0][27].active);
    machine.check_links();
}

#[test]
fn icpendr_gives_a_pending_link_back_and_the_line_asks_again() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 40);
    machine.drive(40, true);
    machine.bit(0, ICPENDR, 40);
    assert!(machine.list_register(0, 40).is_some(), "still high");
    machine.set_edge(41, true);
    machine.enable(0, 41);
    machine.pulse(41);
    machine.bit(0, ICPENDR, 41);
    assert_eq!(machine.list_register(0, 41), None);
    machine.check_links();
}

#[test]
fn icpendr_leaves_the_link_of_an_active_interrupt_alone() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 40);
    machine.drive(40, true);
    machine.acknowledge(0);
    machine.bit(0, ICPENDR, 40);
    assert!(machine.hw.spis[40].active);
    machine.check_links();
    machine.drive(40, false);
    machine.end(0, 40);
    machine.deactivate(0, 40);
    assert!(!machine.hw.spis[40].active);
}

#[test]
fn icactiver_ends_the_link_of_an_active_interrupt() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 40);
    machine.drive(40, true);
    machine.acknowledge(0);
    machine.drive(40, false);
    machine.bit(0, ICACTIVER, 40);
    assert!(!machine.hw.spis[40].active);
    assert_eq!(machine.list_registers(0), []);
}

#[test]
fn a_latch_behind_a_linked_active_level_is_delivered_after_it() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 40);
    machine.drive(40, true);
    machine.acknowledge(0);
    machine.drive(40, false);
    machine.bit(0, ISPENDR, 40);
    machine.exit(0);
    assert!(
        machine.list_register(0, 40).unwrap().has_eoi(),
        "its end must be noticed"
    );
    machine.end(0, 40);
    machine.deactivate(0, 40);
    assert!(!machine.hw.spis[40].active);
    assert_eq!(machine.handle(0), Some(40));
    assert_eq!(machine.handle(0), None);
    machine.check_links();
}

#[test]
fn a_latch_behind_a_linked_active_edge_ends_the_link_early() {
    let mut machine = Machine::new(1, 4);
    machine.set_edge(40, true);
    machine.enable(0, 40);
    machine.pulse(40);
    machine.acknowledge(0);
    machine.bit(0, ISPENDR, 40);
    let lr = machine.list_register(0, 40).unwrap();
    assert_eq!((lr.state(), lr.is_hw()), (State::PendingActive, false));
    assert!(!machine.hw.spis[40].active);
    machine.check_links();
}

/// L1's guest timer through one world switch after another, as the firmware does it.
mod timer {
    use super::*;

    const LISTS: usize = 4;

    /// L1 in vEL2: physical 27 is L1's own virtual timer, INTID 28.
    fn host() -> Machine {
        let mut machine = Machine::new(1, LISTS);
        machine.timer = (28, 27);
        machine.enable(0, 27);
        machine.enable(0, 28);
        for intid in [27, 28] {
            machine.vgic.name_ppi(0, intid, 27);
        }
        machine
    }

    /// What the firmware does on the way to the nested context.
    fn enter_nested(machine: &mut Machine) {
        machine.save(0);
        let active = machine.vgic.remap_ppis(0, 1 << 27, 1 << 28);
        machine.hw.ppis[0][27].active = active.in_use == 1 << 27;
    }

    /// And on the way back.
    fn leave_nested(machine: &mut Machine) {
        let active = machine.vgic.remap_ppis(0, 1 << 28, 1 << 27);
        machine.hw.ppis[0][27].active = active.in_use == 1 << 28;
    }

    /// L1's guest timer has fired in L2 and L1 has taken it, without deactivation.
    fn with_guest_timer_active() -> Machine {
        let mut machine = host();
        enter_nested(&mut machine);
        machine.hw.ppis[0][27].active = true;
        machine.vgic.forward_ppi(0, 27, 27, &mut machine.hw);
        assert!(machine.vgic.has_deliverable(0, &machine.vif[0]));
        leave_nested(&mut machine);
        assert!(
            !machine.hw.ppis[0][27].active,
            "28 is not pending: physical 27 is free to fire for it"
        );
        machine.load(0);
        let lr = machine.list_register(0, 27).unwrap();
        assert!(!lr.is_hw(), "nobody's hardware now");
        assert_eq!(machine.acknowledge(0), Some(27));
        machine.end(0, 27);
        machine
    }

    /// The list register L1 makes for its guest: linked to its own 27.
    fn page() -> VirtualInterface {
        let mut page = VirtualInterface {
            hcr: 1,
            ..VirtualInterface::EMPTY
        };
        page.lr[2] = 0x70a0_001b_0000_001b;
        page
    }

    fn loaded(
        page: &VirtualInterface,
        lr_count: usize,
        physical: impl Fn(u32) -> Option<u32>,
    ) -> (VirtualInterface, u16) {
        let mut hardware = VirtualInterface::EMPTY;
        let valid = nested::load(page, &mut hardware, lr_count, physical);
        (hardware, valid)
    }

    #[test]
    fn a_guest_timer_is_linked_again_when_its_guest_runs() {
        let mut machine = with_guest_timer_active();
        enter_nested(&mut machine);
        assert!(machine.hw.ppis[0][27].active, "held until L2 is done with it");
        assert_eq!(machine.vgic.link(0, 27), Some(27));
        let (hardware, _) = loaded(&page(), LISTS, |intid| machine.vgic.link(0, intid));
        assert_eq!(hardware.lr[2], 0x70a0_001b_0000_001b);
    }

    #[test]
    fn the_end_in_the_guest_ends_it_in_l1() {
        let mut machine = with_guest_timer_active();
        enter_nested(&mut machine);
        let mut page = page();
        let (mut before, mut valid) = loaded(&page, LISTS, |intid| machine.vgic.link(0, intid));
        let mut after = before.clone();
        after.lr[2] &= !(3 << 62);
        machine.hw.ppis[0][27].active = false; // by the list register
        nested::save(&mut before, &mut valid, &after, &mut page, |ended| {
            assert!(ended.in_hardware);
            machine.vgic.deactivated(0, ended.intid, &mut machine.hw);
        });
        assert!(!machine.vgic.is_pending_or_active(0, 27));
        leave_nested(&mut machine);
        machine.load(0);
        assert_eq!(machine.list_registers(0), []);
    }

    #[test]
    fn a_guest_timer_that_fires_again_before_the_save_is_not_lost() {
        let mut machine = with_guest_timer_active();
        enter_nested(&mut machine);
        let mut page = page();
        let (mut before, mut valid) = loaded(&page, LISTS, |intid| machine.vgic.link(0, intid));
        let mut after = before.clone();
        after.lr[2] &= !(3 << 62);
        // Deactivated by the list register, fired again, acknowledged by L0: active.
        machine.vgic.forward_ppi(0, 27, 27, &mut machine.hw);
        nested::save(&mut before, &mut valid, &after, &mut page, |ended| {
            machine.vgic.deactivated(0, ended.intid, &mut machine.hw);
        });
        assert!(machine.vgic.has_deliverable(0, &machine.vif[0]));
        assert_eq!(machine.vgic.link(0, 27), Some(27));
    }

    #[test]
    fn an_emulated_host_timer_is_linked_when_its_hardware_comes_back() {
        let mut machine = host();
        enter_nested(&mut machine);
        machine.vgic.set_level(0, 28, true, &mut machine.hw);
        assert!(machine.vgic.has_deliverable(0, &machine.vif[0]));
        leave_nested(&mut machine);
        assert!(machine.hw.ppis[0][27].active, "it must not fire twice");
        machine.load(0);
        let lr = machine.list_register(0, 28).unwrap();
        assert_eq!((lr.is_hw(), lr.pintid()), (true, 27));
        assert_eq!(machine.handle(0), Some(28));
        assert!(!machine.hw.ppis[0][27].active);
        machine.exit(0);
        assert_eq!(machine.handle(0), None);
        machine.check_links();
    }

    #[test]
    fn the_page_of_an_unlinked_interrupt_gets_no_hardware_link() {
        let mut machine = host();
        enter_nested(&mut machine);
        let page = page();
        let (before, _) = loaded(&page, LISTS, |intid| machine.vgic.link(0, intid));
        assert_eq!(before.lr[2], 0x50a0_0000_0000_001b);
    }
}
