use super::*;
use shadow::testing::{AF, BLOCK, PAGE, WRITE};
use std::vec::Vec;
use vmsa::testing::{LIMITS, Words, vtcr};

const ROOT: u64 = 0x8000_0000;
const LEVEL_2: u64 = ROOT + 0x2000;
const LEVEL_3: u64 = ROOT + 0x3000;
const CONT: u64 = 1 << 52;
const RAM: u64 = 0x9000_0000;
/// Where the hypervisor below has its memory.
const OURS: u64 = 0x4000_0000;

/// Tables with a root, one of level 2 and one of level 3, for 40-bit IPAs.
fn memory() -> Words {
    let mut mem = Words::default();
    mem.add(ROOT, 0x4000);
    mem.set(ROOT, LEVEL_2 | 3);
    mem.set(LEVEL_2, LEVEL_3 | 3);
    mem
}

fn config() -> Stage2Config {
    Stage2Config::from_registers(vtcr(Granule::K4, 40, 1), ROOT, &LIMITS).unwrap()
}

fn ground(at: Ipa<L1>, bytes: u64) -> Ground {
    match at.bits() {
        0x900_0000 => Ground::Device,
        at if at < OURS + 0x400_0000 && OURS < at + bytes => Ground::Absent(Place::Hypervisor),
        at if at >= 0x8000_0000 && at + bytes <= 0x2_0000_0000 => Ground::Ram,
        _ => Ground::Absent(Place::Nothing),
    }
}

fn findings(mem: &Words, config: &Stage2Config, budget: usize) -> Vec<(u64, Flaw)> {
    let mut findings = Vec::new();
    let mut lint = Lint::default();
    while lint.step(config, mem, &ground, budget, &mut |finding| {
        findings.push((finding.ia.bits(), finding.flaw));
    }) {}
    findings
}

/// What is found in tables with these descriptors, whatever the size of the pieces.
fn found(descs: &[(u64, u64)]) -> Vec<(u64, Flaw)> {
    let mut mem = memory();
    for (at, desc) in descs {
        mem.set(*at, *desc);
    }
    let whole = findings(&mem, &config(), usize::MAX);
    assert_eq!(findings(&mem, &config(), 3), whole);
    whole
}

#[test]
fn tables_as_kvm_makes_them_are_clean() {
    let software = 1 << 55;
    let descs = [
        (LEVEL_3, RAM | PAGE | software),
        (LEVEL_3 + 8, 0x900_0000 | PAGE & !AF),
        (LEVEL_3 + 16, 0xff0),
        (LEVEL_2 + 8, (RAM + (2 << 20)) | BLOCK & !WRITE),
        (ROOT + 8, 0x1_0000_0000 | BLOCK),
    ];
    assert_eq!(found(&descs), []);
}

#[test]
fn tables_where_there_is_no_ram_are_told_once() {
    let table = Ipa::new(OURS + 0x1000);
    let ground = Ground::Absent(Place::Hypervisor);
    assert_eq!(
        found(&[(ROOT + 8, table.bits() | 3)]),
        [(1 << 30, Flaw::TableNotInRam { table, ground })]
    );
    let table = Ipa::new(0x900_0000);
    let ground = Ground::Device;
    assert_eq!(
        found(&[(LEVEL_2 + 8, table.bits() | 3)]),
        [(2 << 20, Flaw::TableNotInRam { table, ground })]
    );
}

#[test]
fn a_table_that_contains_itself_is_told_and_not_entered() {
    let table = Ipa::new(ROOT);
    assert_eq!(
        found(&[(ROOT + 8, ROOT | 3), (LEVEL_2 + 8, ROOT | 3)]),
        [
            (2 << 20, Flaw::TableLoop { table }),
            (1 << 30, Flaw::TableLoop { table })
        ]
    );
}

#[test]
fn reserved_encodings_are_told() {
    for (at, desc, flaw) in [
        (LEVEL_3, RAM | PAGE & !2, Flaw::NoLeafHere),
        (LEVEL_3, RAM | PAGE & !SH | SH_RESERVED, Flaw::ReservedShareability),
        (
            LEVEL_3,
            RAM | PAGE & !(0b1111 << 2) | 0b0100 << 2,
            Flaw::ReservedMemAttr(4),
        ),
        (LEVEL_3, RAM | PAGE | 1 << 48, Flaw::ReservedBits(1 << 48)),
        (LEVEL_2, RAM | BLOCK | 0x4000, Flaw::ReservedBits(0x4000)),
    ] {
        assert_eq!(found(&[(at, desc)]), [(0, flaw)]);
    }
    assert_eq!(
        found(&[(LEVEL_2, LEVEL_3 | 3 | 1 << 63)]),
        [(0, Flaw::ReservedBits(1 << 63))]
    );
}

#[test]
fn addresses_beyond_the_output_size_are_told() {
    let config = Stage2Config {
        oa_bits: 36,
        ..config()
    };
    let mut mem = memory();
    mem.set(LEVEL_3, 1 << 36 | PAGE);
    mem.set(LEVEL_2 + 8, 1 << 36 | 3);
    let flaw = Flaw::OutOfRange { oa_bits: 36 };
    assert_eq!(findings(&mem, &config, 7), [(0, flaw), (2 << 20, flaw)]);
}

#[test]
fn leaves_to_what_l1_does_not_have_are_told() {
    for (output, place) in [(OURS + 0x1000, Place::Hypervisor), (0x10_0000, Place::Nothing)] {
        let output = Ipa::new(output);
        assert_eq!(
            found(&[(LEVEL_3, output.bits() | PAGE)]),
            [(0, Flaw::LeafNotThere { output, place })]
        );
    }
}

/// The sixteen pages of a run from entry 16 on, leading to where they should.
fn run() -> Vec<(u64, u64)> {
    (16..32)
        .map(|page| (LEVEL_3 + 8 * page, (RAM + (page << 12)) | PAGE | CONT))
        .collect()
}

#[test]
fn a_run_that_holds_is_clean() {
    assert_eq!(found(&run()), []);
}

#[test]
fn a_run_that_does_not_hold_is_told_once() {
    let other = Ipa::new(18 << 12);
    let elsewhere = Ipa::new(RAM + (17 << 12));
    for (desc, how) in [
        (0, Breach::Missing),
        ((RAM + (18 << 12)) | PAGE, Breach::NoHint),
        (elsewhere.bits() | PAGE | CONT, Breach::Output(elsewhere)),
        ((RAM + (18 << 12)) | PAGE & !WRITE | CONT, Breach::Attributes),
    ] {
        let mut descs = run();
        descs[2].1 = desc;
        assert_eq!(found(&descs), [(16 << 12, Flaw::ContiguousBroken { other, how })]);
    }
}

#[test]
fn a_misaligned_run_is_told_once() {
    let descs: Vec<_> = run().into_iter().map(|(at, desc)| (at, desc + 0x1000)).collect();
    assert_eq!(found(&descs), [(16 << 12, Flaw::ContiguousMisaligned { run: 1 << 16 })]);
    assert_eq!(
        found(&[(LEVEL_3, (RAM + 0x1000) | PAGE | CONT)]),
        [(0, Flaw::ContiguousMisaligned { run: 1 << 16 })]
    );
}
