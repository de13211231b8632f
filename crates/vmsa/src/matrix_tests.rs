//! The correctness matrix: every shape of table that the architecture knows, and every trap that another reader of page
//! tables has fallen into, one named row each.
//!
//! The rows of [`shapes`] are products: granule by stage by input size by start level by level of the leaf. Tables are
//! built by an encoder of the test's own, so that a mistake about where address bits go shows.

mod attributes;

use crate::{
    AddressField, Entry, EntryKind, Fault, Granule, GuestVa, Ipa, L1, L2, Level,
    stage1::{self, AccessKind, Regime, Stage1Config, Stage1Limits, Stage1Registers},
    stage2::{self, Stage2Config, Stage2Limits},
    testing::{LIMITS, STAGE1_LIMITS, WIDE_LIMITS, WIDE_STAGE1_LIMITS, Words, vtcr},
};
use std::{format, string::String, vec::Vec};

const GRANULES: [Granule; 3] = [Granule::K4, Granule::K16, Granule::K64];
const ROOT: u64 = 0x40_0000;
/// Where the next-level tables are, one after the other.
const TABLES: u64 = 0x80_0000;
/// Access flag, readable and writable at stage 2, EL0-accessible at stage 1.
const LEAF: u64 = 1 << 10 | 0b11 << 6 | 1;
const TABLE: u64 = 3;
const DS_STAGE1: u64 = 1 << 59;
const DS_STAGE2: u64 = 1 << 32;

/// How a set of tables is shaped.
#[derive(Clone, Copy, Debug)]
struct Shape {
    granule: Granule,
    ia_bits: u32,
    start: Level,
    field: AddressField,
}

impl Shape {
    /// `address` as a descriptor of this shape holds it.
    fn encode(self, address: u64) -> u64 {
        let low = address & 0xffff_ffff_ffff;
        match self.field {
            AddressField::Bits48 => low,
            AddressField::Lpa => low | (address >> 48) << 12,
            AddressField::Lpa2 => low | address & 0b11 << 48 | (address >> 50) << 8,
        }
    }

    /// Memory with tables that lead to `desc` for `offset` at `leaf`, and where that descriptor is. `big_endian` swaps.
    fn build(self, offset: u64, leaf: Level, desc: u64, big_endian: bool) -> (Words, u64) {
        let stored = |desc: u64| if big_endian { desc.swap_bytes() } else { desc };
        let mut mem = Words::default();
        mem.add(ROOT, 0x20_0000);
        mem.add(TABLES, 0x8_0000);
        let (mut table, mut next, mut level) = (ROOT, TABLES, self.start);
        loop {
            let index = offset >> self.granule.entry_shift(level);
            let index = if level == self.start {
                index
            } else {
                index % (self.granule.bytes() / 8)
            };
            if level == leaf {
                mem.set(table + index * 8, stored(desc));
                return (mem, table + index * 8);
            }
            mem.set(table + index * 8, stored(next | TABLE));
            table = next;
            next += self.granule.bytes();
            level = level.next().unwrap();
        }
    }

    fn has_leaf_at(self, level: Level) -> bool {
        let wide = self.field != AddressField::Bits48;
        let first = match self.granule {
            Granule::K4 => 1,
            Granule::K16 | Granule::K64 => 2,
        };
        level.get() >= first - i8::from(wide)
    }

    fn leaf(self, level: Level, output: u64) -> u64 {
        let page = if level == Level::THREE { 2 } else { 0 };
        self.encode(output) | LEAF | page
    }

    /// The highest output address for a leaf at `level`.
    fn top_output(self, level: Level) -> u64 {
        let bits = if self.field == AddressField::Bits48 { 48 } else { 52 };
        (1 << bits) - self.granule.entry_bytes(level)
    }

    fn levels(self) -> impl Iterator<Item = Level> {
        (self.start.get()..=3).filter_map(Level::new)
    }
}

/// Input sizes and start levels of a stage 1: the level follows from the size.
fn stage1_shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for granule in GRANULES {
        for wide in [false, true] {
            for ia_bits in [25, 30, 31, 36, 39, 40, 42, 43, 47, 48, 49, 52] {
                if ia_bits > 48 && !wide {
                    continue;
                }
                let levels = (ia_bits - granule.shift()).div_ceil(granule.stride());
                shapes.push(Shape {
                    granule,
                    ia_bits,
                    start: Level::new(4 - levels as i8).unwrap(),
                    field: field_of(granule, wide),
                });
            }
        }
    }
    shapes
}

fn field_of(granule: Granule, wide: bool) -> AddressField {
    match granule {
        _ if !wide => AddressField::Bits48,
        Granule::K64 => AddressField::Lpa,
        Granule::K4 | Granule::K16 => AddressField::Lpa2,
    }
}

/// Input sizes and start levels of a stage 2, with up to 16 concatenated tables.
fn stage2_shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for (granule, wide, start, smallest, largest) in [
        (Granule::K4, false, 2, 25, 34),
        (Granule::K4, false, 1, 31, 43),
        (Granule::K4, false, 0, 40, 48),
        (Granule::K4, true, 0, 40, 52),
        (Granule::K4, true, -1, 49, 52),
        (Granule::K16, false, 3, 25, 29),
        (Granule::K16, false, 2, 26, 40),
        (Granule::K16, false, 1, 37, 48),
        (Granule::K16, true, 1, 37, 51),
        (Granule::K16, true, 0, 48, 52),
        (Granule::K64, false, 3, 25, 33),
        (Granule::K64, false, 2, 30, 46),
        (Granule::K64, false, 1, 43, 48),
        (Granule::K64, true, 1, 43, 52),
    ] {
        shapes.extend((smallest..=largest).map(|ia_bits| Shape {
            granule,
            ia_bits,
            start: Level::new(start).unwrap(),
            field: field_of(granule, wide),
        }));
    }
    shapes
}

/// Input addresses at the corners of `ia_bits`.
fn corners(ia_bits: u32) -> [u64; 4] {
    let last = (1u64 << ia_bits) - 1;
    [0, 0x1234, last / 2 + 1, last]
}

fn stage1_registers(shape: Shape, half: stage1::Half, extra: u64) -> Stage1Registers {
    let (tg0, tg1) = match shape.granule {
        Granule::K4 => (0b00, 0b10u64),
        Granule::K16 => (0b10, 0b01),
        Granule::K64 => (0b01, 0b11),
    };
    let txsz = u64::from(64 - shape.ia_bits);
    let is_wide = shape.field != AddressField::Bits48;
    let ips = if is_wide { 0b110 } else { 0b101 };
    let ds = if shape.field == AddressField::Lpa2 {
        DS_STAGE1
    } else {
        0
    };
    let (tcr, ttbr0, ttbr1) = match half {
        stage1::Half::Lower => (txsz | tg0 << 14 | 16 << 16 | 0b10 << 30, ROOT, 0),
        stage1::Half::Upper => (16 | txsz << 16 | tg1 << 30, 0, ROOT),
    };
    Stage1Registers {
        tcr: tcr | ips << 32 | ds | extra,
        ttbr0,
        ttbr1,
        mair: 0xff,
        sctlr: 1,
        hcr: 0,
    }
}

fn stage1_config(shape: Shape, half: stage1::Half, extra: u64) -> Stage1Config {
    let is_wide = shape.field != AddressField::Bits48;
    let limits = if is_wide { &WIDE_STAGE1_LIMITS } else { &STAGE1_LIMITS };
    Stage1Config::from_registers(Regime::El1And0, &stage1_registers(shape, half, extra), limits)
}

fn stage2_config(shape: Shape) -> Result<Stage2Config, Fault> {
    let vtcr = vtcr(shape.granule, shape.ia_bits, shape.start.get());
    let (ps, ds, limits) = match shape.field {
        AddressField::Bits48 => (0b101, 0, &LIMITS),
        AddressField::Lpa => (0b110, 0, &WIDE_LIMITS),
        AddressField::Lpa2 => (0b110, DS_STAGE2, &WIDE_LIMITS),
    };
    Stage2Config::from_registers(vtcr & !(0b111 << 16) | ps << 16 | ds, ROOT, limits)
}

/// What a walk of either stage ends with: output, size and level, or the fault.
type Outcome = Result<(u64, u64, Level), Fault>;

fn translate(shape: Shape, half: Option<stage1::Half>, offset: u64, mem: &Words) -> Outcome {
    let Some(half) = half else {
        let mapping = stage2::walk::<L2, L1>(&stage2_config(shape)?, Ipa::new(offset), mem)?;
        return Ok((mapping.output.bits(), mapping.size, mapping.level));
    };
    let config = stage1_config(shape, half, 0);
    let va = GuestVa::new(config.half(half)?.base() + offset);
    let mapping = stage1::walk::<L2>(&config, va, AccessKind::Read, mem)?;
    Ok((mapping.output.bits(), mapping.size, mapping.level))
}

/// All shapes, with the half of a stage 1, `None` for a stage 2, and a name.
fn shapes() -> Vec<(String, Shape, Option<stage1::Half>)> {
    let halves = [Some(stage1::Half::Lower), Some(stage1::Half::Upper)];
    let first = stage1_shapes()
        .into_iter()
        .flat_map(move |shape| halves.map(|half| (shape, half)));
    let second = stage2_shapes().into_iter().map(|shape| (shape, None));
    first
        .chain(second)
        .map(|(shape, half)| {
            let stage = half.map_or_else(|| String::from("stage 2"), |half| format!("stage 1 {half}"));
            let Shape {
                granule,
                ia_bits,
                start,
                field,
            } = shape;
            (
                format!("{granule} {stage}, {ia_bits} bits from {start}, {field:?}"),
                shape,
                half,
            )
        })
        .collect()
}

#[test]
fn every_shape_maps_its_leaves_at_every_level_and_faults_elsewhere() {
    let mut row_count = 0;
    for (name, shape, half) in shapes() {
        for level in shape.levels() {
            for offset in corners(shape.ia_bits) {
                for output in [0, shape.top_output(level)] {
                    let name = format!("{name}: leaf at {level} for {offset:#x} to {output:#x}");
                    let (mem, _) = shape.build(offset, level, shape.leaf(level, output), false);
                    let size = shape.granule.entry_bytes(level);
                    let expected = if shape.has_leaf_at(level) {
                        Ok((output | offset & (size - 1), size, level))
                    } else {
                        Err(Fault::Translation(level))
                    };
                    assert_eq!(translate(shape, half, offset, &mem), expected, "{name}");
                    row_count += 1;
                }
            }
        }
    }
    assert!(row_count > 4000, "{row_count} rows");
}

#[test]
fn every_shape_faults_at_the_level_of_a_hole_and_of_an_unreadable_table() {
    for (name, shape, half) in shapes() {
        for level in shape.levels() {
            let (mem, _) = shape.build(0x1234, level, 0, false);
            assert_eq!(
                translate(shape, half, 0x1234, &mem),
                Err(Fault::Translation(level)),
                "{name}: {level}"
            );
            let Some(next) = level.next() else { continue };
            let (mem, _) = shape.build(0x1234, level, 0x7000_0000 | TABLE, false);
            let unreadable = Err(Fault::ExternalAbortOnWalk(next));
            assert_eq!(translate(shape, half, 0x1234, &mem), unreadable, "{name}: {level}");
        }
    }
}

#[test]
fn every_shape_ends_on_tables_that_refer_to_themselves() {
    for (name, shape, half) in shapes() {
        let (mut mem, _) = shape.build(0, shape.start, ROOT | TABLE, false);
        mem.set(ROOT, ROOT | TABLE);
        // The last level takes the entry for a page.
        let outcome = translate(shape, half, 0, &mem);
        assert_eq!(outcome, Ok((ROOT, shape.granule.bytes(), Level::THREE)), "{name}");
    }
}

#[test]
fn visits_of_every_shape_tile_the_range_and_resume_anywhere() {
    for (name, shape, half) in shapes() {
        let offset = (1u64 << shape.ia_bits) - 1;
        let (mem, desc_at) = shape.build(offset, Level::THREE, shape.leaf(Level::THREE, 0) | 1 << 52, false);
        let base = match half {
            Some(half) => stage1_config(shape, half, 0).half(half).unwrap().base(),
            None => 0,
        };
        let visit = |from, budget, f: &mut dyn FnMut(Entry)| match half {
            None => stage2::visit::<L1>(&stage2_config(shape).unwrap(), &mem, from, budget, &mut |entry| {
                f(entry)
            }),
            Some(half) => {
                let range = stage1_config(shape, half, 0).half(half).unwrap();
                stage1::visit::<L1>(&range, &mem, from, budget, &mut |entry| f(entry))
            }
        };
        let last_bytes = shape.granule.bytes() * 3;
        let mut from = Some(base + ((1 << shape.ia_bits) - last_bytes));
        let mut at = from.unwrap();
        let mut last = None;
        while let Some(start) = from {
            from = visit(start, 1, &mut |entry| {
                assert!(
                    entry.ia <= at && at - entry.ia < entry.size,
                    "{name}: {entry:x?} at {at:#x}"
                );
                at = entry.ia.wrapping_add(entry.size);
                last = Some(entry);
            });
        }
        assert_eq!(at.wrapping_sub(base), 1 << shape.ia_bits, "{name}");
        let last = last.unwrap();
        assert_eq!(
            (last.kind, last.level, last.contiguous),
            (EntryKind::Leaf, Level::THREE, true),
            "{name}"
        );
        assert_eq!(Ok(last.raw), mem.get(desc_at), "{name}");
        let mut count = 0;
        assert_eq!(
            visit(base, 7, &mut |_| count += 1).is_some() as u32 + count,
            8,
            "{name}: bounded"
        );
    }
}

#[test]
fn big_endian_stage_1_tables_are_swapped_for_every_shape() {
    const EE: u64 = 1 << 25;
    for shape in stage1_shapes() {
        let (mem, _) = shape.build(0x1234, Level::THREE, shape.leaf(Level::THREE, 0), true);
        let walk = |sctlr| {
            let registers = Stage1Registers {
                sctlr: 1 | sctlr,
                ..stage1_registers(shape, stage1::Half::Lower, 0)
            };
            let config = Stage1Config::from_registers(Regime::El1And0, &registers, &WIDE_STAGE1_LIMITS);
            stage1::walk::<L2>(&config, GuestVa::new(0x1234), AccessKind::Read, &mem)
        };
        assert!(walk(0).is_err());
        assert_eq!(walk(EE).unwrap().output.bits(), 0x1234 & (shape.granule.bytes() - 1));
    }
}

#[test]
fn lpa2_leaves_take_their_shareability_from_the_control_register() {
    let shape = Shape {
        granule: Granule::K4,
        ia_bits: 48,
        start: Level::ZERO,
        field: AddressField::Lpa2,
    };
    let (mem, _) = shape.build(0, Level::THREE, shape.leaf(Level::THREE, 0xf << 48), false);
    let config = stage1_config(shape, stage1::Half::Lower, 0b11 << 12);
    let mapping = stage1::walk::<L2>(&config, GuestVa::new(0), AccessKind::Read, &mem).unwrap();
    assert_eq!(
        (mapping.attrs.sh, mapping.output.bits()),
        (stage2::Shareability::Inner, 0xf << 48)
    );
    let vtcr = vtcr(Granule::K4, 48, 0) & !(0b111 << 16) | 0b110 << 16 | DS_STAGE2 | 0b10 << 12;
    let config = Stage2Config::from_registers(vtcr, ROOT, &WIDE_LIMITS).unwrap();
    let mapping = stage2::walk::<L2, L1>(&config, Ipa::new(0), &mem).unwrap();
    assert_eq!(
        (mapping.attrs.sh, mapping.output.bits()),
        (stage2::Shareability::Outer, 0xf << 48)
    );
}

#[test]
fn lpa2_bits_mean_nothing_where_the_machine_lacks_them() {
    let no_lpa2 = Stage1Limits {
        has_lpa2: false,
        ..WIDE_STAGE1_LIMITS
    };
    let registers = Stage1Registers {
        tcr: 25 | DS_STAGE1,
        ..Stage1Registers::default()
    };
    let config = Stage1Config::from_registers(Regime::El1And0, &registers, &no_lpa2);
    assert_eq!(config.lower.unwrap().format.field, AddressField::Bits48);
    let vtcr = vtcr(Granule::K4, 40, 1) | DS_STAGE2;
    assert_eq!(
        Stage2Config::from_registers(vtcr, 0, &LIMITS).unwrap().field,
        AddressField::Bits48
    );
    // SL2 = 1, SL0 = 0 is a start at level 2, which does not fit 40 bits.
    let minus_one = vtcr & !(0b11 << 6) | 1 << 33;
    assert_eq!(
        Stage2Config::from_registers(minus_one, 0, &LIMITS),
        Err(Fault::Translation(Level::ZERO))
    );
}

#[test]
fn a_stage_2_start_at_level_minus_one_or_16k_level_0_needs_52_bits_of_physical_address() {
    let narrow = Stage2Limits {
        pa_bits: 48,
        has_lpa2: true,
        ..LIMITS
    };
    let from = |granule, ipa_bits, level, limits| {
        let vtcr = vtcr(granule, ipa_bits, level) | DS_STAGE2 | 0b110 << 16;
        Stage2Config::from_registers(vtcr, ROOT, limits).map(|config| config.start_level)
    };
    assert_eq!(from(Granule::K4, 49, -1, &WIDE_LIMITS), Ok(Level::MINUS_ONE));
    assert_eq!(from(Granule::K16, 48, 0, &WIDE_LIMITS), Ok(Level::ZERO));
    assert_eq!(from(Granule::K4, 48, 0, &narrow), Ok(Level::ZERO));
    for (granule, ipa_bits, level) in [(Granule::K4, 49, -1), (Granule::K16, 48, 0)] {
        assert_eq!(
            from(granule, ipa_bits, level, &narrow),
            Err(Fault::Translation(Level::ZERO))
        );
    }
}
