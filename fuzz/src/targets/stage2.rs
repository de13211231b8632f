//! A guest's stage 2.

use vmsa::{
    Addr, AddressField, Enter, Fault, Found, Granule, Ipa, L1, L2, Level, ReadTable,
    ptdump::RangeDumper,
    stage2::{Stage2Config, Stage2Limits, survey, visit, walk, walk_steps},
    testing::vtcr,
};

use super::tables::Pages;
use crate::Input;

/// Sizes of the input address that have a start level: granule, bits, level.
const SHAPES: [(Granule, u32, i8); 12] = [
    (Granule::K4, 48, 0),
    (Granule::K4, 43, 1),
    (Granule::K4, 40, 1),
    (Granule::K4, 34, 2),
    (Granule::K4, 30, 2),
    (Granule::K4, 52, -1),
    (Granule::K16, 48, 1),
    (Granule::K16, 40, 2),
    (Granule::K16, 28, 3),
    (Granule::K64, 48, 1),
    (Granule::K64, 42, 2),
    (Granule::K64, 52, 1),
];

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let limits = limits(&mut input);
    let (granule, ipa_bits, start) = input.pick(&SHAPES);
    let ds = u64::from(start < 0 || input.below(4) == 0) << 32;
    let vtcr = (vtcr(granule, ipa_bits, start) | ds) ^ (if input.bit() { input.word() } else { 0 });
    let vttbr = if input.bit() { input.word() } else { 0 };
    let from_registers = Stage2Config::from_registers(vtcr, vttbr, &limits);
    match Stage2Config::diagnose(vtcr, vttbr, &limits) {
        Ok(config) => {
            assert_eq!(from_registers, Ok(config));
            check(&config, &mut input);
        }
        Err(why) => {
            assert_eq!(from_registers, Err(why.fault()));
            let _ = why.to_string();
        }
    }
}

pub(super) fn limits(input: &mut Input<'_>) -> Stage2Limits {
    let bits = input.byte();
    Stage2Limits {
        pa_bits: input.pick(&[48, 52, 48, 52, 48, 44, 40, 36, 32, 64]),
        has_lpa2: bits & 1 != 0,
        big_endian: bits & 0b110 == 0b110,
        fwb: bits & 8 != 0,
        has_4k: bits & 0x70 != 0x70,
        has_16k: bits & 0x30 != 0x30,
        has_64k: bits & 0xc0 != 0xc0,
    }
}

fn check(config: &Stage2Config, input: &mut Input<'_>) {
    assert!(config.root >> config.oa_bits == 0 && config.ipa_bits <= 52 && config.levels() <= 5);
    let memory = Pages::take(input);
    for _ in 0..4 {
        check_walk(config, &memory, input.word());
    }
    let from = input.word();
    check_visit(config, &memory, from % config.ipa_end());
    check_visit(config, &memory, from);
}

fn check_walk(config: &Stage2Config, memory: &Pages, ia: u64) {
    let mapping = walk::<L2, L1>(config, Ipa::new(ia), memory);
    let mut steps = 0;
    let stepped = walk_steps::<L2, L1>(config, Ipa::new(ia), memory, &mut |step| {
        assert!(
            step.table.bits() >> config.oa_bits == 0,
            "a table beyond the output size"
        );
        steps += 1;
    });
    assert_eq!(mapping, stepped);
    assert!(steps <= config.levels());
    let result = mapping.map(|mapping| (mapping.output.bits(), mapping.level, mapping.size));
    assert_eq!(result, naive(config, ia, memory), "{ia:#x} by {config:x?}");
}

/// The walk with nothing shared with the walker (pseudocode `AArch64.S2Walk`).
fn naive(config: &Stage2Config, ia: u64, memory: &Pages) -> Result<(u64, Level, u64), Fault> {
    let level_of = |level: i8| Level::new(level).expect("a level");
    if ia >> config.ipa_bits != 0 {
        return Err(Fault::Translation(level_of(0)));
    }
    let page_bits: u32 = match config.granule {
        Granule::K4 => 12,
        Granule::K16 => 14,
        Granule::K64 => 16,
    };
    let index_bits = page_bits - 3;
    let blocks: &[i8] = match (config.granule, config.field) {
        (Granule::K4, AddressField::Lpa2) => &[0, 1, 2],
        (Granule::K4, _) | (Granule::K16, AddressField::Lpa2) | (Granule::K64, AddressField::Lpa) => &[1, 2],
        _ => &[2],
    };
    let mut table = config.root;
    let mut level = config.start_level.get();
    loop {
        let shift = page_bits + (3 - level) as u32 * index_bits;
        let index = if level == config.start_level.get() {
            ia >> shift
        } else {
            ia >> shift & ((1 << index_bits) - 1)
        };
        let stored = ReadTable::<L1>::read(memory, Addr::new(table + 8 * index));
        let stored = stored.map_err(|_| Fault::ExternalAbortOnWalk(level_of(level)))?;
        let desc = if config.big_endian { stored.swap_bytes() } else { stored };
        let is_leaf = match desc & 3 {
            0b11 => level == 3,
            0b01 if blocks.contains(&level) => true,
            _ => return Err(Fault::Translation(level_of(level))),
        };
        let bits = |low: u32, high: u32| desc >> low & ((1 << (high - low + 1)) - 1);
        let address = match config.field {
            AddressField::Bits48 => bits(page_bits, 47) << page_bits,
            AddressField::Lpa => bits(16, 47) << 16 | bits(12, 15) << 48,
            AddressField::Lpa2 => bits(page_bits, 49) << page_bits | bits(8, 9) << 50,
        };
        let base = if is_leaf { address >> shift << shift } else { address };
        if base >> config.oa_bits != 0 {
            return Err(Fault::AddressSize(level_of(level)));
        }
        if is_leaf {
            return Ok((base | ia & ((1 << shift) - 1), level_of(level), 1 << shift));
        }
        table = base;
        level += 1;
    }
}

fn check_visit(config: &Stage2Config, memory: &Pages, from: u64) {
    const BUDGET: usize = 40;
    let (mut entries, mut text) = (Vec::new(), String::new());
    let mut dumper = RangeDumper::stage2();
    let mut next = Some(from);
    for _ in 0..3 {
        let Some(at) = next else { break };
        next = visit::<L1>(config, memory, at, BUDGET, &mut |entry| {
            let walked = naive(config, entry.ia.max(from), memory);
            let level = walked.map_or_else(Fault::level, |(_, level, _)| level);
            assert_eq!(
                (walked.is_ok(), level),
                (entry.kind == vmsa::EntryKind::Leaf, entry.level)
            );
            dumper.note_entry(&entry, &mut text).expect("text has room");
            entries.push(entry);
        });
        assert!(next.is_none_or(|next| next > at), "the visit goes on");
    }
    dumper.finish(config.ipa_end(), &mut text).expect("text has room");
    let mut surveyed = Vec::new();
    survey::<L1>(config, memory, from, entries.len(), &mut |found| {
        if let Found::Entry { entry, .. } = found {
            surveyed.push(entry);
        }
        Enter::Yes
    });
    assert_eq!(surveyed, entries);
    survey::<L1>(config, memory, from, BUDGET, &mut |_| Enter::No);
}
