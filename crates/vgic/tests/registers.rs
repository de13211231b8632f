//! The distributor and redistributors as L1 reads and writes them.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod machine;

use machine::*;
use proptest::prelude::*;
use vgic::{ConfigError, Vgic};

fn read(machine: &Machine, offset: u64, bytes: u8) -> u64 {
    machine.vgic.read_distributor(offset, bytes, &machine.hw)
}

fn read_frame(machine: &Machine, cpu: usize, offset: u64, bytes: u8) -> u64 {
    machine.vgic.read_redistributor(cpu, offset, bytes, &machine.hw)
}

#[test]
fn typer_describes_spis_ids_and_no_optional_feature() {
    let machine = Machine::new(2, 4);
    let typer = read(&machine, 4, 4);
    assert_eq!(typer & 0x1f, u64::from(SPIS) / 32, "ITLinesNumber");
    assert_eq!(typer >> 19 & 0x1f, 15, "IDbits is one less than the bits");
    assert_eq!(typer >> 24 & 3, 3, "A3V, No1N");
    assert_eq!(typer & 0x0407_ff00, 0, "no ESPI, security, LPI, MBIS, RSS");
    assert_eq!(read(&machine, 0xc, 4), 0, "TYPER2");
    assert_eq!(read(&machine, 0xffe8, 4), 0x3b, "PIDR2");
    assert_eq!(read(&machine, 8, 4) & 0xfff, 0x43b, "IIDR");
}

#[test]
fn ctlr_keeps_only_the_group_enables() {
    let mut machine = Machine::new(1, 4);
    machine.gicd(0, 0, u32::MAX);
    assert_eq!(read(&machine, 0, 4), 0x53);
    machine.gicd(0, 0, 0);
    assert_eq!(read(&machine, 0, 4), 0x50);
}

#[test]
fn redistributor_typer_has_affinity_number_and_last() {
    let machine = Machine::new(3, 4);
    assert_eq!(
        read_frame(&machine, 1, 8, 8),
        1 << 32 | 1 << 8,
        "the second of its cluster"
    );
    assert_eq!(read_frame(&machine, 2, 8, 8), 0x100 << 32 | 2 << 8 | 1 << 4, "the last");
    assert_eq!(read_frame(&machine, 2, 0xc, 4), 0x100, "in halves");
    assert_eq!(read_frame(&machine, 2, 8, 4), 2 << 8 | 1 << 4);
    assert_eq!(read_frame(&machine, 0, 0xffe8, 4), 0x3b);
    assert_eq!(read_frame(&machine, 3, 0xffe8, 4), 0, "no such vCPU");
}

#[test]
fn waker_wakes_when_asked() {
    let mut machine = Machine::new(1, 4);
    assert_eq!(read_frame(&machine, 0, 0x14, 4), 6, "asleep out of reset");
    machine.vgic.write_redistributor(0, 0x14, 4, 0, &mut machine.hw);
    assert_eq!(read_frame(&machine, 0, 0x14, 4), 0);
    machine.vgic.write_redistributor(0, 0x14, 4, 2, &mut machine.hw);
    assert_eq!(read_frame(&machine, 0, 0x14, 4), 6);
}

#[test]
fn private_interrupts_are_not_in_the_distributor() {
    let mut machine = Machine::new(1, 4);
    for register in [IGROUPR, ISENABLER, ISPENDR, ISACTIVER, IPRIORITYR, ICFGR] {
        machine.gicd(0, register, u32::MAX);
        assert_eq!(read(&machine, register, 4), 0);
    }
    assert_eq!(machine.read_gicr(0, ISENABLER), 0);
}

#[test]
fn private_interrupts_belong_to_one_vcpu() {
    let mut machine = Machine::new(2, 4);
    machine.enable(1, 27);
    assert_eq!(machine.read_gicr(0, ISENABLER), 0);
    assert_eq!(machine.read_gicr(1, ICENABLER), 1 << 27);
    machine.bit(1, ICENABLER, 27);
    assert_eq!(machine.read_gicr(1, ISENABLER), 0);
}

#[test]
fn priorities_have_five_bits_and_byte_access() {
    let mut machine = Machine::new(1, 4);
    machine.set_priority(0, 33, 0xff);
    assert_eq!(read(&machine, IPRIORITYR + 33, 1), 0xf8);
    assert_eq!(read(&machine, IPRIORITYR + 32, 4), 0xa0a0_f8a0);
    assert_eq!(read(&machine, IPRIORITYR + 32, 2), 0, "no halfword access");
    machine.set_priority(0, 27, 0x47);
    assert_eq!(
        machine.read_gicr(0, IPRIORITYR + 24),
        u32::from_le_bytes([0xa0, 0xa0, 0xa0, 0x40])
    );
    assert_eq!(read(&machine, IPRIORITYR + 32 + 64, 1), 0, "no such SPI");
}

#[test]
fn sgis_are_edge_triggered_and_ppis_configurable() {
    let mut machine = Machine::new(1, 4);
    machine.gicr(0, ICFGR, 0);
    assert_eq!(machine.read_gicr(0, ICFGR), 0xaaaa_aaaa);
    machine.gicr(0, ICFGR + 4, 0xffff_ffff);
    assert_eq!(machine.read_gicr(0, ICFGR + 4), 0xaaaa_aaaa);
}

#[test]
fn spi_settings_reach_the_physical_gic() {
    let mut machine = Machine::new(2, 4);
    machine.enable(0, 40);
    machine.set_edge(40, true);
    machine.route(40, mpidr(1));
    assert!(machine.hw.spis[40].enabled && machine.hw.spis[40].edge);
    assert_eq!(machine.hw.spis[40].route, 1);
    assert!(!machine.hw.spis[39].enabled && !machine.hw.spis[39].edge);
    machine.bit(0, ICENABLER, 40);
    machine.set_edge(40, false);
    assert!(!machine.hw.spis[40].enabled && !machine.hw.spis[40].edge);
}

#[test]
fn routes_are_read_and_written_whole_or_in_halves() {
    let mut machine = Machine::new(2, 4);
    let register = IROUTER + 8 * 40;
    machine
        .vgic
        .write_distributor(0, register, 8, u64::MAX, &mut machine.hw);
    assert_eq!(read(&machine, register, 8), 0xff_00ff_ffff, "no routing mode bit");
    machine.gicd(0, register + 4, 0);
    machine.gicd(0, register, 1);
    assert_eq!(read(&machine, register, 8), 1);
    assert_eq!(machine.vgic.interrupt(0, 40).unwrap().target, Some(1));
    machine.gicd(0, register + 4, 7);
    assert_eq!(read(&machine, register, 8), 7 << 32 | 1);
    assert_eq!(machine.vgic.interrupt(0, 40).unwrap().target, None, "nobody's affinity");
}

#[test]
fn a_withheld_spi_reads_as_zero_and_ignores_writes() {
    let mut machine = Machine::new(1, 4);
    machine.vgic.withhold_spi(40);
    machine.gicd(0, ISENABLER + 4, u32::MAX);
    machine.gicd(0, ICFGR + 8, u32::MAX);
    machine.set_priority(0, 40, 0x10);
    machine.route(40, mpidr(0));
    assert_eq!(machine.read_gicd(0, ISENABLER + 4), !(1 << 8));
    assert!(!machine.hw.spis[40].enabled && !machine.hw.spis[40].edge);
    assert!(machine.hw.spis[41].enabled);
    assert_eq!(read(&machine, IROUTER + 8 * 40, 8), 0);
    assert_eq!(machine.vgic.interrupt(0, 40), None);
}

#[test]
fn pending_spis_that_were_not_forwarded_read_as_pending() {
    let mut machine = Machine::new(1, 4);
    machine.drive(40, true);
    assert!(machine.has_bit(0, ISPENDR, 40), "the line, though it is disabled");
    machine.set_edge(41, true);
    machine.pulse(41);
    assert!(machine.has_bit(0, ISPENDR, 41));
    machine.bit(0, ICPENDR, 41);
    assert!(!machine.has_bit(0, ISPENDR, 41));
}

#[test]
fn reset_gives_the_physical_gic_back_as_it_was() {
    let mut machine = Machine::new(2, 4);
    machine.set_edge(40, true);
    machine.route(40, mpidr(1));
    machine.enable(0, 40);
    machine.enable(0, 27);
    machine.pulse(40);
    machine.drive_timer(0, true);
    assert!(machine.hw.spis[40].active && machine.hw.ppis[0][27].active);
    machine.vgic.reset(&mut machine.hw);
    let line = &machine.hw.spis[40];
    assert!(!line.enabled && !line.edge && !line.active);
    assert_eq!(line.route, 0);
    assert!(!machine.hw.ppis[0][27].active);
    assert_eq!(read(&machine, 0, 4), 0x50);
}

#[test]
fn impossible_configurations_are_refused() {
    let of = |edit: fn(&mut vgic::VgicConfig)| {
        let mut config = config(1, 4);
        edit(&mut config);
        Vgic::new(&config).err()
    };
    assert_eq!(of(|c| c.cpus = 0), Some(ConfigError::Cpus(0)));
    assert_eq!(of(|c| c.cpus = 9), Some(ConfigError::Cpus(9)));
    assert_eq!(of(|c| c.spi_count = 33), Some(ConfigError::SpiCount(33)));
    assert_eq!(of(|c| c.spi_count = 1024), Some(ConfigError::SpiCount(1024)));
    assert_eq!(of(|c| c.lr_count = 0), Some(ConfigError::ListRegisters(0)));
    assert_eq!(of(|c| c.id_bits = 9), Some(ConfigError::IdBits(9)));
    assert_eq!(of(|c| c.spi_count = 992), None);
}

#[test]
fn the_last_word_of_spis_ends_before_the_special_numbers() {
    let mut config = config(1, 4);
    config.spi_count = 992;
    let mut machine = Machine::new(1, 4);
    machine.hw.spis.resize_with(1024, Default::default);
    machine.vgic = Vgic::new(&config).unwrap();
    machine.gicd(0, ISENABLER + 4 * 31, u32::MAX);
    assert_eq!(machine.read_gicd(0, ISENABLER + 4 * 31), 0x0fff_ffff);
    assert!(!machine.hw.spis[1020].enabled);
    assert_eq!(read(&machine, IPRIORITYR + 1020, 1), 0);
    assert_eq!(read(&machine, IROUTER + 8 * 1020, 8), 0);
}

fn any_offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..0x2_0000_u64,
        (0..0x8000_u64).prop_map(|word| word * 4),
        (0..0x300_u64).prop_map(|word| 0x1_0000 + word * 4),
        (0..0x400_u64).prop_map(|word| 0x6000 + word * 8),
        any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_access_panics_or_upsets_the_invariants(
        accesses in prop::collection::vec(
            (any_offset(), any::<u8>(), prop::sample::select(&[1_u8, 2, 4, 8, 3, 0][..]),
             any::<u64>(), 0..10_usize, any::<bool>()), 1..60),
    ) {
        let mut machine = Machine::new(2, 2);
        for (offset, kind, bytes, value, cpu, nested) in accesses {
            let hw = &mut machine.hw;
            match kind % 4 {
                0 => { let _ = machine.vgic.read_distributor(offset, bytes, hw); }
                1 => { let _ = machine.vgic.read_redistributor(cpu, offset, bytes, hw); }
                2 => machine.vgic.write_distributor(cpu % 2, offset, bytes, value, hw),
                _ => machine.vgic.write_redistributor(cpu, offset, bytes, value, hw),
            }
            if nested {
                machine.settle();
                machine.acknowledge(cpu % 2);
            }
        }
        machine.settle();
        machine.check_links();
    }

    #[test]
    fn no_call_panics_for_any_number(
        cpu in any::<usize>(), intid in any::<u32>(), pintid in any::<u32>(), value in any::<u64>(),
    ) {
        let mut machine = Machine::new(2, 4);
        let hw = &mut machine.hw;
        let registers = [
            vgic::SgiRegister::Sgi0, vgic::SgiRegister::Sgi1, vgic::SgiRegister::Asgi1,
        ];
        for register in registers {
            machine.vgic.send_sgi(cpu, register, value, hw);
        }
        machine.vgic.set_level(cpu, intid, true, hw);
        machine.vgic.set_level(cpu, intid, false, hw);
        machine.vgic.name_ppi(cpu, intid, pintid);
        let _ = machine.vgic.remap_ppis(cpu, intid, pintid);
        machine.vgic.deactivate(cpu, intid, hw);
        machine.vgic.deactivated(cpu, intid, hw);
        let _ = machine.vgic.link(cpu, intid);
        let _ = machine.vgic.is_pending_or_active(cpu, intid);
        let _ = machine.vgic.interrupt(cpu, intid);
        let mut vif = vgic::VirtualInterface { hcr: value, vmcr: value, ap1r0: value, ..Default::default() };
        machine.vgic.load(cpu, &mut vif, hw);
        machine.vgic.save(cpu, &mut vif, hw);
        let _ = machine.vgic.has_deliverable(cpu, &vif);
    }
}
