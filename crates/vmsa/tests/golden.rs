//! The dumps against Linux: descriptors that a Linux 7.2 had in its tables, and what it printed for them.
//!
//! `cargo xtask golden` made the files in `golden/`. `stage2-BITS.txt` is debugfs `stage2_page_tables` of a VM with that
//! many bits of IPA, `kernel.txt` is `kernel_page_tables`; `*.tables` are the descriptors, read from memory by QEMU. The
//! format of the latter is in `scripts/xtask/src/golden/tables.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use vmsa::ptdump::RangeDumper;
use vmsa::stage1::{self, Half, Regime, Stage1Config, Stage1Limits, Stage1Range, Stage1Registers};
use vmsa::stage2::{self, Stage2Config, Stage2Limits};
use vmsa::{Addr, Entry, Granule, L1, Level, Phys, ReadTable, Unreadable};

/// What the machine of the recordings has, as far as its Linux used it.
const STAGE2_LIMITS: Stage2Limits = Stage2Limits {
    pa_bits: 48,
    has_lpa2: false,
    big_endian: false,
    fwb: true,
    has_4k: true,
    has_16k: true,
    has_64k: true,
};
const STAGE1_LIMITS: Stage1Limits = Stage1Limits {
    pa_bits: 48,
    has_4k: true,
    has_16k: true,
    has_64k: true,
    has_lpa2: false,
    has_lva: false,
    has_ttst: false,
};

const TABLE_BYTES: u64 = 4096;

/// Recorded tables and the registers that lead to them.
#[derive(Default)]
struct Recording {
    registers: BTreeMap<String, u64>,
    /// Descriptors by address; those of a recorded table that are 0 are not in here.
    descriptors: BTreeMap<u64, u64>,
    tables: Vec<u64>,
}

impl Recording {
    fn load(name: &str) -> Self {
        let mut recording = Self::default();
        for line in file(&format!("{name}.tables")).lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["table", address] => recording.tables.push(number(address)),
                [run, first, step] => {
                    let (index, count) = run.split_once('+').expect("a run is INDEX+COUNT");
                    for offset in 0..number(count) {
                        let raw = number(first).wrapping_add(number(step).wrapping_mul(offset));
                        recording.set(number(index) + offset, raw);
                    }
                }
                [index, raw] if index.bytes().all(|byte| byte.is_ascii_digit()) => {
                    recording.set(number(index), number(raw));
                }
                [register, value] => {
                    recording.registers.insert(register.to_owned(), number(value));
                }
                _ => panic!("{name}.tables: {line:?}"),
            }
        }
        recording
    }

    /// Sets a descriptor of the last table.
    fn set(&mut self, index: u64, raw: u64) {
        assert!(index < 512, "a table has 512 descriptors");
        let table = self.tables.last().expect("descriptors follow a table");
        self.descriptors.insert(table + 8 * index, raw);
    }

    fn register(&self, name: &str) -> u64 {
        self.registers[name]
    }

    fn stage2(&self) -> Stage2Config {
        let (vtcr, vttbr) = (self.register("vtcr_el2"), self.register("vttbr_el2"));
        Stage2Config::from_registers(vtcr, vttbr, &STAGE2_LIMITS).expect("Linux used these registers")
    }

    fn kernel(&self) -> Stage1Range {
        let registers = Stage1Registers {
            tcr: self.register("tcr_el2"),
            ttbr1: self.register("ttbr1_el2"),
            mair: self.register("mair_el2"),
            sctlr: 1,
            ..Stage1Registers::default()
        };
        let config = Stage1Config::from_registers(Regime::El2And0, &registers, &STAGE1_LIMITS);
        config.half(Half::Upper).expect("Linux used these registers")
    }
}

impl ReadTable<L1> for Recording {
    fn read(&self, at: Addr<L1>) -> Result<u64, Unreadable> {
        self.word(at.bits())
    }
}

impl ReadTable<Phys> for Recording {
    fn read(&self, at: Addr<Phys>) -> Result<u64, Unreadable> {
        self.word(at.bits())
    }
}

impl Recording {
    /// Only what was recorded can be read, so that a walk cannot go astray unnoticed.
    fn word(&self, at: u64) -> Result<u64, Unreadable> {
        if self.tables.contains(&(at & !(TABLE_BYTES - 1))) {
            Ok(self.descriptors.get(&at).copied().unwrap_or(0))
        } else {
            Err(Unreadable)
        }
    }
}

fn number(text: &str) -> u64 {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The tables as the dump prints them, a few entries at a time as the console does.
fn print_stage2(recording: &Recording) -> String {
    let config = recording.stage2();
    let mut text = String::new();
    let mut dumper = RangeDumper::stage2();
    let mut next = Some(0);
    while let Some(from) = next {
        next = stage2::visit::<L1>(&config, recording, from, 32, &mut |entry: Entry| {
            dumper.note_entry(&entry, &mut text).expect("a string takes everything");
        });
    }
    text
}

fn print_kernel(recording: &Recording) -> String {
    let range = recording.kernel();
    let mut text = String::new();
    let mut dumper = RangeDumper::stage1(Regime::El2And0, &range, recording.register("mair_el2"));
    stage1::visit::<L1>(&range, recording, 0, usize::MAX, &mut |entry: Entry| {
        dumper.note_entry(&entry, &mut text).expect("a string takes everything");
    });
    dumper
        .finish(range.end(), &mut text)
        .expect("a string takes everything");
    text
}

#[test]
fn stage_2_is_printed_as_linux_printed_it() {
    for bits in [32, 40, 43, 48] {
        let name = format!("stage2-{bits}");
        assert_eq!(
            print_stage2(&Recording::load(&name)),
            file(&format!("{name}.txt")),
            "{name}"
        );
    }
}

/// The recordings are worth something only if they have what can go wrong.
#[test]
fn the_recordings_have_every_kind_of_stage_2_range() {
    let text: String = [32, 40, 43, 48]
        .map(|bits| file(&format!("stage2-{bits}.txt")))
        .concat();
    for kind in [
        "3   R W px ux  AF    \n", // pages
        "2   R W px ux  AF BLK\n", // blocks of 2 MiB
        "1   R W px ux  AF BLK\n", // and of 1 GiB
        "3   R   px ux  AF    \n", // memory that was only read
        "2   R   px ux  AF BLK\n", // a slot that may only be read, or whose writes are logged
        "3   R W PXNUXN AF    \n", // a device
        "3   R W px ux        \n", // pages not used for a while
        "1G 2   R W",              // a range that is larger than its block
        " 0\n",                    // holes at each level
        " 1\n",
        " 2\n",
        " 3\n",
    ] {
        assert!(text.contains(kind), "no range has {kind:?}");
    }
}

#[test]
fn the_recordings_have_every_kind_of_root() {
    let roots = [32, 40, 43, 48].map(|bits| {
        let config = Recording::load(&format!("stage2-{bits}")).stage2();
        assert_eq!(config.granule, Granule::K4);
        (config.start_level, config.ipa_bits)
    });
    let wanted = [
        (Level::TWO, 32),  // four tables
        (Level::ONE, 40),  // two
        (Level::ONE, 43),  // sixteen
        (Level::ZERO, 48), // one
    ];
    assert_eq!(roots, wanted);
}

/// A range of `kernel_page_tables`: where it ends, and everything behind its size.
#[derive(Debug, PartialEq, Eq)]
struct KernelRange {
    start: u64,
    end: u64,
    rest: String,
}

/// The ranges of a stage-1 dump without the names of areas, at whose boundaries Linux splits ranges.
fn kernel_ranges(text: &str) -> Vec<KernelRange> {
    let mut ranges: Vec<KernelRange> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with("---[ ")) {
        let range = KernelRange {
            start: number(&line[..18]),
            end: number(&line[19..37]),
            // Three blanks, nine columns of size and its unit.
            rest: line[50..].to_owned(),
        };
        match ranges.last_mut() {
            Some(last) if last.end == range.start && last.rest == range.rest => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    ranges
}

#[test]
fn linuxs_own_stage_1_is_printed_as_linux_printed_it() {
    let (have, want) = (print_kernel(&Recording::load("kernel")), file("kernel.txt"));
    let (have_ranges, want_ranges) = (kernel_ranges(&have), kernel_ranges(&want));
    for (have, want) in have_ranges.iter().zip(&want_ranges) {
        assert_eq!(have, want, "the first that differs");
    }
    assert_eq!(have_ranges.len(), want_ranges.len());
    // A line that no area's boundary splits is the same to the last blank.
    let lines: Vec<&str> = want.lines().collect();
    let is_same = |line: &&str| lines.contains(line);
    let shared = have.lines().filter(is_same).count();
    assert!(
        shared * 10 > have.lines().count() * 9,
        "only {shared} lines are the same"
    );
}
