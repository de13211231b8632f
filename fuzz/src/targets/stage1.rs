//! A guest's stage 1.

use vmsa::{
    Enter, EntryKind, Fault, GuestVa, L2, ReadTable,
    ptdump::RangeDumper,
    stage1::{
        AccessKind, Half, Regime, Stage1Access, Stage1Config, Stage1Limits, Stage1Range, Stage1Registers, survey,
        visit, walk, walk_steps,
    },
    testing::WIDE_STAGE1_LIMITS,
};

use super::tables::Pages;
use crate::Input;

/// Values of `TCR_ELx` with two ranges that can be walked, of each granule.
const TCRS: [u64; 5] = [
    16 | 25 << 16 | 0b10 << 30 | 0b101 << 32,
    25 | 0b10 << 14 | 17 << 16 | 0b01 << 30 | 0b101 << 32,
    22 | 0b01 << 14 | 16 << 16 | 0b11 << 30 | 0b110 << 32,
    12 | 12 << 16 | 0b10 << 30 | 0b110 << 32 | 1 << 59,
    16 | 0b101 << 16,
];

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let regime = input.pick(&[Regime::El1And0, Regime::El2And0, Regime::El2]);
    let limits = if input.bit() {
        WIDE_STAGE1_LIMITS
    } else {
        Stage1Limits::from_id_registers(input.double(), input.double())
    };
    let registers = Stage1Registers {
        tcr: input.pick(&TCRS) ^ (if input.bit() { input.word() } else { 0 }),
        ttbr0: if input.bit() { input.word() } else { 0 },
        ttbr1: if input.bit() { input.word() } else { 0 },
        mair: input.double(),
        sctlr: input.word() | u64::from(input.below(8) != 0),
        hcr: if input.bit() { input.word() } else { 0 },
    };
    let config = Stage1Config::from_registers(regime, &registers, &limits);
    let memory = Pages::take(&mut input);
    for _ in 0..4 {
        check_walk(&config, &memory, &mut input);
    }
    for half in [Half::Lower, Half::Upper] {
        if (regime.has_el0() || half == Half::Lower)
            && config.is_on
            && let Ok(range) = config.half(half)
        {
            check_visit(&config, &range, registers.mair, &memory, input.word());
        }
    }
}

fn check_walk(config: &Stage1Config, memory: &Pages, input: &mut Input<'_>) {
    let va = GuestVa::new(input.word());
    let kind = input.pick(&[AccessKind::Read, AccessKind::Write, AccessKind::Fetch]);
    let mapping = walk::<L2>(config, va, kind, memory);
    let mut steps = 0;
    let stepped = walk_steps::<L2>(config, va, kind, memory, &mut |_| steps += 1);
    assert_eq!(mapping, stepped);
    assert!(steps <= 5);
    let Ok(mapping) = mapping else { return };
    assert_eq!((mapping.output.bits() ^ va.bits() << 8 >> 8) & (mapping.size - 1), 0);
    let (el0, pan) = (input.bit(), input.bit());
    let _ = mapping.check(Stage1Access { kind, el0, pan });
    if config.is_on {
        let stored = ReadTable::<L2>::read(memory, mapping.desc_at);
        assert!(stored == Ok(mapping.raw) || stored == Ok(mapping.raw.swap_bytes()));
    }
}

fn check_visit(config: &Stage1Config, range: &Stage1Range, mair: u64, memory: &Pages, from: u64) {
    const BUDGET: usize = 40;
    let from = range.base() + (from & ((1 << range.ia_bits) - 1));
    let mut text = String::new();
    let mut dumper = RangeDumper::stage1(config.regime, range, mair);
    let mut at = from;
    let next = visit::<L2>(range, memory, from, BUDGET, &mut |entry| {
        assert!(entry.ia <= at && at - entry.ia < entry.size, "without a gap");
        let walked = walk::<L2>(config, GuestVa::new(at), AccessKind::Read, memory);
        let level = walked
            .as_ref()
            .map_or_else(|fault| Fault::level(*fault), |mapping| mapping.level);
        assert_eq!((walked.is_ok(), level), (entry.kind == EntryKind::Leaf, entry.level));
        dumper.note_entry(&entry, &mut text).expect("text has room");
        at = entry.ia.wrapping_add(entry.size);
    });
    assert_eq!(next, (at != range.end()).then_some(at));
    dumper.finish(range.end(), &mut text).expect("text has room");
    survey::<L2>(range, memory, from, BUDGET, &mut |_| {
        if from & 1 == 0 { Enter::No } else { Enter::Yes }
    });
}
