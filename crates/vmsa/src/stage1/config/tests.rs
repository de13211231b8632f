//! Every combination of register fields gives a range or a fault, as the architecture says.

use super::*;
use crate::testing::{STAGE1_LIMITS, WIDE_STAGE1_LIMITS};

const NO_WALK: Result<Stage1Range, Fault> = Err(Fault::Translation(Level::ZERO));
const ON: u64 = SCTLR_M;

/// `TCR_EL1` with 48-bit outputs.
fn tcr(t0sz: u64, tg0: u64, t1sz: u64, tg1: u64) -> u64 {
    t0sz | tg0 << 14 | t1sz << 16 | tg1 << 30 | 0b101 << 32
}

fn config(regime: Regime, tcr: u64, limits: &Stage1Limits) -> Stage1Config {
    let registers = Stage1Registers {
        tcr,
        ttbr0: 0x4000_0000,
        ttbr1: 0x5000_0000,
        sctlr: ON,
        ..Stage1Registers::default()
    };
    Stage1Config::from_registers(regime, &registers, limits)
}

#[test]
fn the_start_level_follows_size_and_granule() {
    let lower = |tg0, ia_bits: u64, ds: u64| {
        let tcr = tcr(64 - ia_bits, tg0, 16, 0b10) | ds << 59;
        let range = config(Regime::El1And0, tcr, &WIDE_STAGE1_LIMITS).lower.unwrap();
        range.start_level.get()
    };
    for (tg0, ia_bits, ds, level) in [
        (0b00, 25, 0, 2),
        (0b00, 30, 0, 2),
        (0b00, 31, 0, 1),
        (0b00, 39, 0, 1),
        (0b00, 40, 0, 0),
        (0b00, 48, 0, 0),
        (0b00, 49, 1, -1),
        (0b00, 52, 1, -1),
        (0b10, 25, 0, 3),
        (0b10, 26, 0, 2),
        (0b10, 36, 0, 2),
        (0b10, 47, 0, 1),
        (0b10, 48, 0, 0),
        (0b10, 52, 1, 0),
        (0b01, 29, 0, 3),
        (0b01, 42, 0, 2),
        (0b01, 43, 0, 1),
        (0b01, 52, 0, 1),
        (0b00, 16, 0, 3),
    ] {
        assert_eq!(lower(tg0, ia_bits, ds), level, "TG0 {tg0:#b}, {ia_bits} bits");
    }
}

#[test]
fn a_size_that_does_not_exist_is_a_translation_fault_at_level_0() {
    for (tcr, limits) in [
        (tcr(15, 0, 16, 0b10), &STAGE1_LIMITS),
        (tcr(40, 0, 16, 0b10), &STAGE1_LIMITS),
        (tcr(12, 0b01, 16, 0b10), &STAGE1_LIMITS),
        (tcr(12, 0, 16, 0b10), &WIDE_STAGE1_LIMITS),
        (tcr(11, 0, 16, 0b10) | 1 << 59, &WIDE_STAGE1_LIMITS),
        (tcr(48, 0b01, 16, 0b10), &WIDE_STAGE1_LIMITS),
    ] {
        let config = config(Regime::El1And0, tcr, limits);
        assert_eq!(config.lower, NO_WALK, "{tcr:#x}");
        assert!(config.upper.is_ok());
    }
}

#[test]
fn a_half_that_is_switched_off_is_a_translation_fault_at_level_0() {
    let both = tcr(16, 0, 16, 0b10);
    let config = |tcr| config(Regime::El2And0, tcr, &STAGE1_LIMITS);
    assert!(config(both).lower.is_ok() && config(both).upper.is_ok());
    assert_eq!(config(both | 1 << 7).lower, NO_WALK);
    assert_eq!(config(both | 1 << 23).upper, NO_WALK);
}

#[test]
fn each_half_has_a_register_a_size_and_a_granule() {
    let config = config(Regime::El1And0, tcr(16, 0b00, 25, 0b11), &STAGE1_LIMITS);
    let (lower, upper) = (config.lower.unwrap(), config.upper.unwrap());
    assert_eq!(
        (lower.root, lower.ia_bits, lower.format.granule),
        (0x4000_0000, 48, Granule::K4)
    );
    assert_eq!(
        (upper.root, upper.ia_bits, upper.format.granule),
        (0x5000_0000, 39, Granule::K64)
    );
    assert_eq!((lower.base(), upper.base()), (0, !0 << 39));
}

#[test]
fn the_single_range_regime_has_no_upper_half() {
    let config = config(Regime::El2, 16 | 0b101 << 16, &STAGE1_LIMITS);
    assert_eq!(config.upper, NO_WALK);
    assert_eq!(config.lower.unwrap().ia_bits, 48);
    let upper = config.range_of(GuestVa::new(!0), false);
    assert_eq!(upper, Err(Fault::Translation(Level::ZERO)));
}

#[test]
fn an_address_beyond_its_half_is_in_none() {
    let config = config(Regime::El1And0, tcr(25, 0, 25, 0b10), &STAGE1_LIMITS);
    let offset = |va: u64| {
        config
            .range_of(GuestVa::new(va), false)
            .map(|(range, offset)| (range.half, offset))
    };
    let outside = Err(Fault::Translation(Level::ZERO));
    assert_eq!(offset((1 << 39) - 1), Ok((Half::Lower, (1 << 39) - 1)));
    assert_eq!(offset(1 << 39), outside);
    assert_eq!(offset(!0 << 39), Ok((Half::Upper, 0)));
    assert_eq!(offset((!0 << 39) - 1), outside);
    assert_eq!(offset(0xab << 56), outside);
    assert_eq!(offset(1 << 55), outside);
}

#[test]
fn the_top_byte_is_ignored_where_tbi_says_so() {
    let tcr = tcr(25, 0, 25, 0b10);
    let with = |bits| config(Regime::El1And0, tcr | bits, &STAGE1_LIMITS);
    let half = |config: &Stage1Config, va: u64, is_fetch| {
        let found = config.range_of(GuestVa::new(va), is_fetch);
        found.ok().map(|(range, offset)| (range.half, offset))
    };
    let (low, high) = (0xab << 56 | 5, 0x12ff_ff80_0000_0005);
    let tbi = with(0b11 << 37);
    assert_eq!(half(&tbi, low, false), Some((Half::Lower, 5)));
    assert_eq!(half(&tbi, low, true), Some((Half::Lower, 5)));
    assert_eq!(half(&tbi, high, false), Some((Half::Upper, 5)));
    let data_only = with(0b11 << 37 | 0b11 << 51);
    assert_eq!(half(&data_only, low, false), Some((Half::Lower, 5)));
    assert_eq!(half(&data_only, low, true), None);
    let lower_only = with(1 << 37);
    assert_eq!(half(&lower_only, high, false), None);
}

#[test]
fn ips_bounds_the_output_and_the_root() {
    let with_ips = |ips: u64, limits| {
        let tcr = tcr(16, 0, 16, 0b10) & !(0b111 << 32) | ips << 32;
        config(Regime::El1And0, tcr, limits).lower.map(|range| range.oa_bits)
    };
    let sizes: std::vec::Vec<_> = (0..8).map(|ips| with_ips(ips, &STAGE1_LIMITS)).collect();
    assert_eq!(sizes, [32, 36, 40, 42, 44, 48, 48, 48].map(Ok));
    let small = Stage1Limits {
        pa_bits: 40,
        ..STAGE1_LIMITS
    };
    assert_eq!(with_ips(0b101, &small), Ok(40));
    let registers = Stage1Registers {
        tcr: 16,
        ttbr0: 1 << 32,
        ..Stage1Registers::default()
    };
    let config = Stage1Config::from_registers(Regime::El1And0, &registers, &STAGE1_LIMITS);
    assert_eq!(config.lower, Err(Fault::AddressSize(Level::ZERO)));
}

#[test]
fn wide_roots_and_outputs_need_ds_or_64k() {
    let lower = |tg0: u64, ps: u64, ds: u64| {
        let registers = Stage1Registers {
            tcr: 16 | tg0 << 14 | 16 << 16 | ps << 32 | ds << 59,
            ttbr0: 0x4000_003c,
            ..Stage1Registers::default()
        };
        let config = Stage1Config::from_registers(Regime::El1And0, &registers, &WIDE_STAGE1_LIMITS);
        config.lower.map(|range| (range.root, range.oa_bits))
    };
    let (narrow, wide) = (0x4000_0000, 0xf << 48 | 0x4000_0000);
    assert_eq!(lower(0b00, 0b110, 1), Ok((wide, 52)));
    assert_eq!(lower(0b00, 0b110, 0), Ok((narrow, 48)));
    assert_eq!(lower(0b01, 0b110, 0), Ok((wide, 52)));
    assert_eq!(lower(0b01, 0b101, 0), Ok((narrow, 48)));
    assert_eq!(lower(0b00, 0b101, 1), Err(Fault::AddressSize(Level::ZERO)));
}

#[test]
fn absent_and_reserved_granules_fall_back_to_the_smallest() {
    let only_16k = Stage1Limits {
        has_4k: false,
        has_64k: false,
        ..STAGE1_LIMITS
    };
    let granules = |tcr, limits| {
        let config = config(Regime::El1And0, tcr, limits);
        (
            config.lower.unwrap().format.granule,
            config.upper.unwrap().format.granule,
        )
    };
    assert_eq!(
        granules(tcr(17, 0b11, 17, 0b00), &STAGE1_LIMITS),
        (Granule::K4, Granule::K4)
    );
    assert_eq!(
        granules(tcr(17, 0b01, 17, 0b11), &only_16k),
        (Granule::K16, Granule::K16)
    );
    assert_eq!(
        granules(tcr(17, 0b10, 17, 0b01), &STAGE1_LIMITS),
        (Granule::K16, Granule::K16)
    );
}

#[test]
fn the_stage_is_off_without_m_and_for_el1_with_dc_or_tge() {
    let is_on = |regime, sctlr, hcr| {
        let registers = Stage1Registers {
            sctlr,
            hcr,
            ..Stage1Registers::default()
        };
        Stage1Config::from_registers(regime, &registers, &STAGE1_LIMITS).is_on
    };
    assert!(is_on(Regime::El1And0, ON, 0));
    assert!(!is_on(Regime::El1And0, 0, 0));
    assert!(!is_on(Regime::El1And0, ON, HCR_DC));
    assert!(!is_on(Regime::El1And0, ON, HCR_TGE));
    assert!(is_on(Regime::El2And0, ON, HCR_DC | HCR_TGE));
}

#[test]
fn the_id_registers_say_what_there_is() {
    // PARange 52 bits, TGran16 = 2, TGran64 = 0, TGran4 = 1; VARange = 1, ST = 1.
    let max = Stage1Limits::from_id_registers(0x1020_0006, 0x1001_0000);
    assert_eq!(max, WIDE_STAGE1_LIMITS);
    assert_eq!(Stage1Limits::from_id_registers(0x0010_0005, 0), STAGE1_LIMITS);
    let none = Stage1Limits::from_id_registers(0xff00_0000, 0);
    assert!(!(none.has_4k || none.has_16k || none.has_64k || none.has_lpa2));
}

#[test]
fn any_register_value_is_a_config() {
    for seed in 0..20_000u64 {
        let value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let registers = Stage1Registers {
            tcr: value,
            ttbr0: value.rotate_left(17),
            ttbr1: value.rotate_left(31),
            mair: value,
            sctlr: value.rotate_left(7),
            hcr: value.rotate_left(43),
        };
        for regime in [Regime::El1And0, Regime::El2And0, Regime::El2] {
            for limits in [&STAGE1_LIMITS, &WIDE_STAGE1_LIMITS] {
                let config = Stage1Config::from_registers(regime, &registers, limits);
                let _ = config.range_of(GuestVa::new(value.rotate_left(11)), seed & 1 == 0);
            }
        }
    }
}
