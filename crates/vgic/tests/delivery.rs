//! What L1 is offered, on which vCPU, and in which order.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod machine;

use machine::*;
use vgic::lr::State;
use vgic::{SgiRegister, Signal, hcr, vmcr};

fn sgi(target_list: u64, intid: u64) -> u64 {
    intid << 24 | target_list
}

#[test]
fn nothing_pending_means_nothing_to_load() {
    let mut machine = Machine::new(2, 4);
    assert!(!machine.vgic.needs_load(0));
    assert!(!machine.vgic.has_deliverable(0, &machine.vif[0]));
    machine.save(0);
    assert!(!machine.vgic.needs_load(0), "an empty save changes nothing");
    assert_eq!(machine.vif[0].hcr & 0xff, hcr::EN);
}

#[test]
fn pending_enabled_and_group_enabled_are_all_needed() {
    let mut machine = Machine::new(1, 4);
    machine.drive(40, true);
    assert_eq!(machine.list_registers(0), [], "not enabled");
    machine.gicd(0, 0, 0);
    machine.enable(0, 40);
    assert_eq!(machine.list_registers(0), [], "group not enabled");
    machine.gicd(0, 0, 2);
    let lr = machine.list_register(0, 40).unwrap();
    assert_eq!(lr.state(), State::Pending);
    assert_eq!(lr.priority(), 0xa0);
    assert!(lr.is_group1());
    machine.bit(0, ICENABLER, 40);
    assert_eq!(machine.list_registers(0), [], "disabled again");
}

#[test]
fn a_group_0_interrupt_needs_the_group_0_enable() {
    let mut machine = Machine::new(1, 4);
    machine.gicr(0, IGROUPR, !(1 << 27));
    machine.enable(0, 27);
    machine.drive_timer(0, true);
    assert_eq!(machine.list_registers(0), []);
    machine.gicd(0, 0, 3);
    assert!(!machine.list_register(0, 27).unwrap().is_group1());
}

#[test]
fn an_sgi_reaches_the_addressed_vcpus_only() {
    let mut machine = Machine::new(4, 4);
    for cpu in 0..4 {
        machine.gicr(cpu, ISENABLER, 0xffff);
    }
    let to_second_cluster = 1 << 16 | sgi(0b11, 5);
    machine
        .vgic
        .send_sgi(0, SgiRegister::Sgi1, to_second_cluster, &mut machine.hw);
    machine.settle();
    let holders = |machine: &Machine| {
        (0..4)
            .filter(|&cpu| machine.list_register(cpu, 5).is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(holders(&machine), [2, 3]);
    assert_eq!(machine.handle(2), Some(5));
    assert_eq!(machine.handle(3), Some(5));
    machine
        .vgic
        .send_sgi(1, SgiRegister::Sgi1, 1 << 40 | 5 << 24, &mut machine.hw);
    machine.settle();
    assert_eq!(holders(&machine), [0, 2, 3], "all but the sender");
    machine
        .vgic
        .send_sgi(1, SgiRegister::Sgi1, 1 << 44 | sgi(2, 6), &mut machine.hw);
    machine.settle();
    assert_eq!(machine.list_register(1, 6), None, "Aff0 16 to 31");
}

#[test]
fn sgi0r_does_not_reach_group_1() {
    let mut machine = Machine::new(1, 4);
    machine.gicd(0, 0, 3);
    machine.gicr(0, ISENABLER, 0xffff);
    for register in [SgiRegister::Sgi0, SgiRegister::Asgi1] {
        machine.vgic.send_sgi(0, register, sgi(1, 3), &mut machine.hw);
        machine.settle();
        assert_eq!(machine.list_registers(0), []);
    }
    machine.gicr(0, IGROUPR, !8);
    machine.vgic.send_sgi(0, SgiRegister::Sgi0, sgi(1, 3), &mut machine.hw);
    machine.settle();
    assert!(machine.list_register(0, 3).is_some());
}

#[test]
fn an_sgi_sent_while_it_is_active_comes_again() {
    let mut machine = Machine::new(1, 4);
    machine.gicr(0, ISENABLER, 0xffff);
    machine.vgic.send_sgi(0, SgiRegister::Sgi1, sgi(1, 3), &mut machine.hw);
    machine.settle();
    assert_eq!(machine.acknowledge(0), Some(3));
    machine.vgic.send_sgi(0, SgiRegister::Sgi1, sgi(1, 3), &mut machine.hw);
    machine.settle();
    assert_eq!(machine.list_register(0, 3).unwrap().state(), State::PendingActive);
    machine.end(0, 3);
    machine.deactivate(0, 3);
    assert_eq!(machine.handle(0), Some(3));
    assert_eq!(machine.handle(0), None);
    assert_eq!(machine.maintenance, 0, "edges need no maintenance");
}

#[test]
fn an_spi_is_delivered_where_it_is_routed() {
    let mut machine = Machine::new(2, 4);
    machine.enable(0, 40);
    machine.route(40, mpidr(1));
    machine.drive(40, true);
    assert_eq!(machine.list_registers(0), []);
    assert!(machine.list_register(1, 40).is_some());
}

#[test]
fn a_pending_spi_follows_its_route() {
    let mut machine = Machine::new(2, 4);
    machine.enable(0, 40);
    machine.drive(40, true);
    assert!(machine.list_register(0, 40).is_some());
    machine.route(40, mpidr(1));
    assert_eq!(machine.list_registers(0), []);
    assert!(machine.list_register(1, 40).is_some());
}

#[test]
fn an_active_spi_stays_where_it_was_acknowledged() {
    let mut machine = Machine::new(2, 4);
    machine.enable(0, 40);
    machine.drive(40, true);
    machine.acknowledge(0);
    machine.route(40, mpidr(1));
    machine.exit(0);
    assert_eq!(machine.list_register(0, 40).unwrap().state(), State::Active);
    machine.end(0, 40);
    machine.deactivate(0, 40);
    machine.exit(0);
    assert!(machine.list_register(1, 40).is_some(), "the line is still high");
}

#[test]
fn an_spi_routed_to_nobody_goes_nowhere_until_routed_anew() {
    let mut machine = Machine::new(2, 4);
    machine.enable(0, 40);
    machine.route(40, 0x77);
    machine.drive(40, true);
    assert_eq!(machine.list_registers(0), []);
    machine.route(40, mpidr(0));
    assert!(machine.list_register(0, 40).is_some());
}

#[test]
fn an_emulated_level_asks_again_when_it_is_still_high_at_its_end() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 25);
    machine.vgic.set_level(0, 25, true, &mut machine.hw);
    machine.settle();
    assert!(machine.list_register(0, 25).unwrap().has_eoi());
    assert_eq!(machine.handle(0), Some(25));
    assert_eq!(machine.maintenance, 1);
    assert_eq!(machine.acknowledge(0), Some(25));
    machine.vgic.set_level(0, 25, false, &mut machine.hw);
    machine.settle();
    machine.end(0, 25);
    machine.deactivate(0, 25);
    assert_eq!(machine.acknowledge(0), None);
}

#[test]
fn an_emulated_level_that_drops_is_withdrawn() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 25);
    machine.vgic.set_level(0, 25, true, &mut machine.hw);
    machine.settle();
    machine.vgic.set_level(0, 25, false, &mut machine.hw);
    machine.settle();
    assert_eq!(machine.list_registers(0), []);
}

#[test]
fn a_latch_set_by_ispendr_lasts_until_acknowledged() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 25);
    machine.bit(0, ISPENDR, 25);
    assert!(machine.has_bit(0, ISPENDR, 25));
    machine.exit(0);
    assert_eq!(machine.acknowledge(0), Some(25), "level-sensitive, latched");
    assert!(!machine.has_bit(0, ISPENDR, 25));
    assert!(machine.has_bit(0, ISACTIVER, 25));
    machine.bit(0, ISPENDR, 25);
    machine.end(0, 25);
    machine.deactivate(0, 25);
    assert_eq!(machine.handle(0), Some(25), "set again while active");
    assert_eq!(machine.acknowledge(0), None);
}

#[test]
fn icpendr_clears_a_latch_but_not_a_level() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 25);
    machine.bit(0, ISPENDR, 25);
    machine.bit(0, ICPENDR, 25);
    assert_eq!(machine.list_registers(0), []);
    machine.vgic.set_level(0, 25, true, &mut machine.hw);
    machine.settle();
    machine.bit(0, ICPENDR, 25);
    assert!(machine.list_register(0, 25).is_some());
}

#[test]
fn icpendr_by_another_vcpu_reaches_the_list_register() {
    let mut machine = Machine::new(2, 4);
    machine.set_edge(40, true);
    machine.enable(0, 40);
    machine.route(40, mpidr(1));
    machine.pulse(40);
    assert!(machine.list_register(1, 40).is_some());
    machine.bit(0, ICPENDR, 40);
    assert_eq!(machine.list_registers(1), []);
    assert!(!machine.has_bit(0, ISPENDR, 40));
}

#[test]
fn active_bits_are_written_and_read() {
    let mut machine = Machine::new(1, 4);
    machine.bit(0, ISACTIVER, 27);
    assert!(machine.has_bit(0, ICACTIVER, 27));
    assert_eq!(
        machine.list_register(0, 27).unwrap().state(),
        State::Active,
        "for L1 to deactivate, though disabled"
    );
    machine.bit(0, ICACTIVER, 27);
    assert!(!machine.has_bit(0, ISACTIVER, 27));
    assert_eq!(machine.list_registers(0), []);
}

#[test]
fn icactiver_by_another_vcpu_reaches_the_list_register() {
    let mut machine = Machine::new(2, 4);
    machine.enable(0, 40);
    machine.drive(40, true);
    machine.acknowledge(0);
    machine.drive(40, false);
    machine.bit(1, ICACTIVER, 40);
    assert_eq!(machine.list_registers(0), []);
    assert!(!machine.hw.spis[40].active);
}

#[test]
fn list_registers_hold_the_most_urgent_when_they_are_full() {
    let mut machine = Machine::new(1, 2);
    machine.gicr(0, ISENABLER, 0xffff);
    for (intid, priority) in [(1, 0xc0), (2, 0xb0), (3, 0x40), (4, 0x50)] {
        machine.set_priority(0, intid, priority);
        machine.bit(0, ISPENDR, intid);
    }
    assert!(machine.list_register(0, 3).is_some());
    assert!(
        machine.list_register(0, 4).is_some(),
        "the less urgent ones were evicted"
    );
    assert_eq!(machine.vif[0].hcr & hcr::NPIE, hcr::NPIE);
    let order: Vec<_> = std::iter::from_fn(|| machine.handle(0)).collect();
    assert_eq!(order, [3, 4, 2, 1]);
    assert_eq!(machine.vif[0].hcr & 0xff, hcr::EN, "no overflow left");
}

#[test]
fn a_pending_interrupt_finds_room_among_active_ones() {
    let mut machine = Machine::new(1, 1);
    machine.gicr(0, ISENABLER, 0xffff);
    for (intid, priority) in [(1, 0xc0), (2, 0x80), (3, 0x40)] {
        machine.set_priority(0, intid, priority);
        machine.bit(0, ISPENDR, intid);
        assert_eq!(machine.acknowledge(0), Some(intid), "preempts");
    }
    assert_ne!(machine.vif[0].hcr & hcr::TDIR, 0);
    for intid in [3, 2, 1] {
        machine.end(0, intid);
        machine.deactivate(0, intid);
    }
    assert_eq!(machine.read_gicr(0, ISACTIVER), 0);
    assert_eq!(machine.vif[0].hcr & 0xffff, hcr::EN);
}

#[test]
fn without_split_the_end_of_one_left_out_is_counted_and_carried_out() {
    let mut machine = Machine::new(1, 1);
    machine.vif[0].vmcr &= !vmcr::VEOIM;
    machine.gicr(0, ISENABLER, 0xffff);
    for (intid, priority) in [(1, 0xc0), (2, 0x80)] {
        machine.set_priority(0, intid, priority);
        machine.bit(0, ISPENDR, intid);
        assert_eq!(machine.acknowledge(0), Some(intid));
    }
    machine.set_priority(0, 3, 0x40);
    machine.bit(0, ISPENDR, 3);
    assert_eq!(machine.acknowledge(0), Some(3));
    machine.maintenance = 0;
    machine.end(0, 3);
    assert_eq!(machine.maintenance, 0);
    machine.end(0, 2);
    assert_eq!(machine.maintenance, 1, "no list register had it");
    let active = [1, 2, 3].map(|intid| machine.vgic.is_pending_or_active(0, intid));
    assert_eq!(active, [true, false, false]);
    machine.end(0, 1);
    assert_eq!(machine.read_gicr(0, ISACTIVER), 0);
}

#[test]
fn an_edge_behind_an_active_instance_follows_the_route() {
    let mut machine = Machine::new(2, 4);
    machine.set_edge(40, true);
    machine.enable(0, 40);
    machine.bit(0, ISPENDR, 40);
    machine.acknowledge(0);
    machine.bit(0, ISPENDR, 40);
    machine.route(40, mpidr(1));
    machine.end(0, 40);
    machine.deactivate(0, 40);
    assert_eq!(machine.handle(0), None);
    assert_eq!(machine.handle(1), Some(40));
}

#[test]
fn an_interrupt_left_out_for_its_disabled_group_comes_when_the_group_is_enabled() {
    let mut machine = Machine::new(1, 1);
    machine.gicd(0, 0, 3);
    machine.gicr(0, ISENABLER, 0xffff);
    machine.gicr(0, IGROUPR, !2);
    machine.set_priority(0, 1, 0x10);
    machine.bit(0, ISPENDR, 1);
    machine.bit(0, ISPENDR, 2);
    assert!(
        machine.list_register(0, 2).is_some(),
        "what can be delivered comes first"
    );
    assert_ne!(machine.vif[0].hcr & hcr::VGRP0EIE, 0);
    machine.vif[0].vmcr |= vmcr::VENG0;
    machine.settle();
    assert!(machine.list_register(0, 1).is_some());
}

#[test]
fn a_priority_written_while_resident_counts_from_the_next_exit() {
    let mut machine = Machine::new(1, 4);
    machine.enable(0, 25);
    machine.vgic.set_level(0, 25, true, &mut machine.hw);
    machine.settle();
    machine.set_priority(0, 25, 0x20);
    machine.settle();
    assert_eq!(machine.list_register(0, 25).unwrap().priority(), 0x20);
}

#[test]
fn traps_of_the_caller_survive_a_load() {
    let mut machine = Machine::new(1, 4);
    machine.vif[0].hcr |= hcr::TALL0;
    machine.enable(0, 25);
    machine.vgic.set_level(0, 25, true, &mut machine.hw);
    machine.settle();
    assert_eq!(machine.vif[0].hcr, hcr::EN | hcr::TALL0);
}

#[test]
fn deliverable_asks_what_the_interface_would_signal() {
    let mut machine = Machine::new(1, 4);
    let mut vif = machine.vif[0].clone();
    machine.vgic.set_level(0, 25, true, &mut machine.hw);
    assert_eq!(machine.vgic.deliverable(0, &vif), None, "not enabled");
    machine
        .vgic
        .write_redistributor(0, SGI_FRAME + ISENABLER, 4, 1 << 25, &mut machine.hw);
    assert_eq!(machine.vgic.deliverable(0, &vif), Some(Signal::Irq));
    vif.ap1r0 = 1 << (0xa0 >> 3);
    assert_eq!(machine.vgic.deliverable(0, &vif), None, "one as urgent is active");
    vif.ap1r0 = 0;
    vif.vmcr &= !(0xff << vmcr::VPMR_SHIFT) | 0xa0 << vmcr::VPMR_SHIFT;
    assert!(!machine.vgic.has_deliverable(0, &vif), "masked");
    let fiq = !(1 << 25);
    machine
        .vgic
        .write_redistributor(0, SGI_FRAME + IGROUPR, 4, fiq, &mut machine.hw);
    vif.vmcr = vmcr::VENG0 | 0xff << vmcr::VPMR_SHIFT;
    assert_eq!(machine.vgic.deliverable(0, &vif), None, "GICD_CTLR");
    machine.vgic.write_distributor(0, 0, 4, 3, &mut machine.hw);
    assert_eq!(machine.vgic.deliverable(0, &vif), Some(Signal::Fiq));
}

#[test]
fn a_change_kicks_the_vcpu_it_concerns_and_no_other() {
    let mut machine = Machine::new(3, 4);
    machine.enable(0, 40);
    machine.route(40, mpidr(2));
    machine.vgic.forward_spi(40, &mut machine.hw);
    assert_eq!(machine.hw.kicked.iter().copied().collect::<Vec<_>>(), [2]);
    machine.hw.kicked.clear();
    machine.vgic.set_level(1, 25, true, &mut machine.hw);
    assert!(machine.hw.kicked.is_empty(), "disabled: nobody cares");
}
