//! The columns of a stage-1 dump: those of Linux's `kernel_page_tables`.
//!
//! A regime with one privilege has no column for what does not exist there (`USR`, `NG`, `UXN`, `GP`). Levels have
//! Linux's names for a table of that many levels: the root is `PGD`, the others are named from the last one up, so that
//! the level below `PGD` is `PMD` in a table of three levels. Linux knows its memory types by their index, two of which
//! have the same attribute as long as no memory is tagged. So they are named by index where `MAIR_ELx` is Linux's, and by
//! what it says where it is anybody else's.

use core::fmt;

use super::Column;
use crate::{
    Level,
    stage1::{Half, MairAttr, Regime, Stage1Range},
};

const ATTR_INDEX_SHIFT: u32 = 2;
const ATTR_INDEX_MASK: u64 = 0b111 << ATTR_INDEX_SHIFT;

/// Linux's memory types, by index: the attributes they may have in `MAIR_ELx`, and their names.
const LINUX_TYPES: [(&[u8], &str); 5] = [
    (&[0xff], "MEM/NORMAL"),
    (&[0xf0, 0xff], "MEM/NORMAL-TAGGED"),
    (&[0x44], "MEM/NORMAL-NC"),
    (&[0x00], "DEVICE/nGnRnE"),
    (&[0x04], "DEVICE/nGnRE"),
];

/// Whether `mair` has Linux's memory types. All of it counts: a single attribute may be anybody's.
fn is_linuxs(mair: u64) -> bool {
    let mut types = (0..).zip(LINUX_TYPES);
    types.all(|(index, (attributes, _))| attributes.contains(&MairAttr::of(mair, index).0))
}

const VALID: Column = Column::flag(1 << 0, " ", "F");
const USR: Column = Column::flag(1 << 6, "USR", "   ");
const READ_ONLY: Column = Column::flag(1 << 7, "ro", "RW");
const SHARED: Column = Column::flag(0b11 << 8, "SHD", "   ");
const AF: Column = Column::flag(1 << 10, "AF", "  ");
const NOT_GLOBAL: Column = Column::flag(1 << 11, "NG", "  ");
const CONTIGUOUS: Column = Column::flag(1 << 52, "CON", "   ");

const TWO_PRIVILEGES: &[Column] = &[
    VALID,
    USR,
    READ_ONLY,
    Column::flag(1 << 53, "NX", "x "),
    SHARED,
    AF,
    NOT_GLOBAL,
    CONTIGUOUS,
    Column::block(),
    Column::flag(1 << 54, "UXN", "   "),
    Column::flag(1 << 50, "GP", "  "),
];

const ONE_PRIVILEGE: &[Column] = &[
    VALID,
    READ_ONLY,
    Column::flag(1 << 54, "NX", "x "),
    SHARED,
    AF,
    CONTIGUOUS,
    Column::block(),
];

/// Which stage 1 is printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage1Format {
    regime: Regime,
    /// `None` for the hypervisor's own.
    half: Option<Half>,
    start_level: Level,
    mair: u64,
}

impl Stage1Format {
    /// The hypervisor's own, whose `MAIR_EL2` is `mair`.
    pub(super) const fn own(mair: u64) -> Self {
        Self {
            regime: Regime::El2,
            half: None,
            start_level: Level::ZERO,
            mair,
        }
    }

    /// A range of a regime whose `MAIR_ELx` is `mair`.
    pub(super) const fn of(regime: Regime, range: &Stage1Range, mair: u64) -> Self {
        Self {
            regime,
            half: Some(range.half),
            start_level: range.start_level,
            mair,
        }
    }

    pub(super) fn print_header(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self.half {
            None => writeln!(out, "---[ {} ]---", self.regime),
            Some(half) => writeln!(out, "---[ {} {half} ]---", self.regime),
        }
    }

    pub(super) fn level_name(&self, level: Level) -> &'static str {
        if level == Level::THREE {
            "PTE"
        } else if level == self.start_level {
            "PGD"
        } else {
            match level {
                Level::TWO => "PMD",
                Level::ONE => "PUD",
                _ => "P4D",
            }
        }
    }

    pub(super) const fn columns(&self) -> &'static [Column] {
        if self.regime.has_el0() {
            TWO_PRIVILEGES
        } else {
            ONE_PRIVILEGE
        }
    }

    /// Bits that tell neighbours apart and have no column of their own.
    pub(super) const fn extra_mask(&self) -> u64 {
        ATTR_INDEX_MASK
    }

    pub(super) fn print_memory_type(&self, prot: u64, out: &mut impl fmt::Write) -> fmt::Result {
        let index = (prot >> ATTR_INDEX_SHIFT & 0b111) as u8;
        let attr = MairAttr::of(self.mair, index);
        let by_index = LINUX_TYPES
            .get(usize::from(index))
            .filter(|_| is_linuxs(self.mair))
            .map(|(_, name)| *name);
        match by_index.or_else(|| attr.linux_name()) {
            Some(name) => write!(out, " {name}"),
            None => write!(out, " MAIR/{:#04x}", attr.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        L2,
        ptdump::RangeDumper,
        stage1::{Stage1Config, Stage1Registers, visit, visit_el2},
        testing::{STAGE1_LIMITS, WIDE_STAGE1_LIMITS, Words},
    };
    use std::string::String;

    const ROOT: u64 = 0x10_0000;
    const LEVEL_2: u64 = 0x11_0000;
    const LEVEL_3: u64 = 0x12_0000;
    /// Linux's attributes, in Linux's order: nGnRnE, nGnRE, Non-cacheable, normal, tagged.
    const MAIR: u64 = 0x00_04_44_ff_f0 << 8;
    const NORMAL: u64 = 2 << 2;
    const PTE: u64 = 1 << 10 | 0b11 << 8 | NORMAL | 3;

    fn memory() -> Words {
        let mut mem = Words::default();
        mem.add(ROOT, 0x3_0000);
        mem
    }

    /// The range that `tcr` and a root in both registers describe, as text.
    fn dump(regime: Regime, tcr: u64, half: Half, mem: &Words) -> String {
        let registers = Stage1Registers {
            tcr,
            ttbr0: ROOT,
            ttbr1: ROOT,
            mair: MAIR,
            sctlr: 1,
            hcr: 0,
        };
        let config = Stage1Config::from_registers(regime, &registers, &WIDE_STAGE1_LIMITS);
        let range = config.half(half).unwrap();
        let mut text = String::new();
        let mut dumper = RangeDumper::stage1(regime, &range, MAIR);
        visit::<L2>(&range, mem, 0, usize::MAX, &mut |entry| {
            dumper.note_entry(&entry, &mut text).unwrap();
        });
        dumper.finish(range.end(), &mut text).unwrap();
        text
    }

    #[test]
    fn stage_1_is_the_text_of_linux() {
        const UXN: u64 = 1 << 54;
        const PXN: u64 = 1 << 53;
        let mut mem = memory();
        mem.set(ROOT, LEVEL_2 | 3);
        mem.set(LEVEL_2, LEVEL_3 | 3);
        mem.set(LEVEL_2 + 8, 0x4000_0000 | (PTE & !2) | UXN | PXN);
        for page in 0..16 {
            mem.set(
                LEVEL_3 + page * 8,
                0x4000_0000 | page << 12 | PTE | 1 << 52 | 1 << 7 | UXN,
            );
        }
        // User text with an ASID, guarded; and a device.
        mem.set(
            LEVEL_3 + 16 * 8,
            0x5000_0000 | PTE | 1 << 6 | 1 << 7 | 1 << 11 | PXN | 1 << 50,
        );
        mem.set(LEVEL_3 + 17 * 8, 0x900_0000 | 1 << 10 | 3 << 2 | UXN | PXN | 3);
        let tcr = 25 << 16 | 0b10 << 30 | 25 | 0b101 << 32;
        let expected = "\
---[ EL1&0 TTBR1 ]---
0xffffff8000000000-0xffffff8000010000          64K PTE       ro x  SHD AF    CON     UXN    MEM/NORMAL
0xffffff8000010000-0xffffff8000011000           4K PTE   USR ro NX SHD AF NG             GP MEM/NORMAL
0xffffff8000011000-0xffffff8000012000           4K PTE       RW NX     AF            UXN    MEM/NORMAL-NC
0xffffff8000012000-0xffffff8000200000        1976K PTE
0xffffff8000200000-0xffffff8000400000           2M PMD       RW NX SHD AF        BLK UXN    MEM/NORMAL
0xffffff8000400000-0xffffff8040000000        1020M PMD
0xffffff8040000000-0x0000000000000000         511G PGD
";
        assert_eq!(dump(Regime::El1And0, tcr, Half::Upper, &mem), expected);
    }

    #[test]
    fn levels_have_the_names_that_linux_gives_a_table_of_that_many() {
        let name_of = |tcr: u64| {
            let mut mem = memory();
            mem.set(ROOT, ROOT | 3);
            let text = dump(Regime::El2And0, tcr | 16 << 16 | 0b10 << 30, Half::Lower, &mem);
            let mut names = std::vec::Vec::new();
            for line in text.lines().skip(1) {
                let name = line.split_whitespace().nth(2).map(String::from);
                if names.last() != Some(&name) {
                    names.push(name);
                }
            }
            names.into_iter().flatten().collect::<std::vec::Vec<_>>().join(" ")
        };
        let ps = 0b101 << 32;
        assert_eq!(name_of(25 | ps), "PTE PMD PGD");
        assert_eq!(name_of(16 | ps), "PTE PMD PUD PGD");
        assert_eq!(name_of(12 | 0b110 << 32 | 1 << 59), "PTE PMD PUD P4D PGD");
        assert_eq!(name_of(22 | 0b01 << 14 | ps), "PTE PGD");
    }

    #[test]
    fn linuxs_memory_types_are_named_by_index() {
        // MAIR_EL2 of a Linux without tagged memory; and the same with another attribute at index 4.
        const LINUX: u64 = 0x04_00_44_ff_ff;
        const OTHER: u64 = 0x0c_00_44_ff_ff;
        let name = |mair: u64| {
            let format = Stage1Format::own(mair);
            let mut text = String::new();
            format.print_memory_type(1 << 2, &mut text).unwrap();
            text
        };
        assert_eq!(name(LINUX), " MEM/NORMAL-TAGGED");
        assert_eq!(name(LINUX & !0xff00 | 0xf000), " MEM/NORMAL-TAGGED");
        assert_eq!(name(OTHER), " MEM/NORMAL");
    }

    #[test]
    fn the_regime_with_one_privilege_has_fewer_columns() {
        let mut mem = memory();
        mem.set(ROOT, 0x4000_0000 | (PTE & !2) | 1 << 6 | 1 << 11 | 1 << 53);
        let text = dump(Regime::El2, 25 | 0b101 << 16, Half::Lower, &mem);
        let line = "0x0000000000000000-0x0000000040000000           1G PGD   RW x  SHD AF     BLK MEM/NORMAL";
        assert_eq!(text.lines().next(), Some("---[ EL2 TTBR0 ]---"));
        assert_eq!(text.lines().nth(1), Some(line));
    }

    #[test]
    fn el2_has_the_columns_of_its_regime() {
        const MAIR: u64 = 0xff_04 | 0x33 << 16;
        let mut mem = memory();
        mem.set(ROOT, LEVEL_2 | 3);
        mem.set(LEVEL_2 + 8, 0x4000_0000 | 1 << 54 | 0b11 << 8 | 1 << 10 | 1 << 2 | 1);
        mem.set(LEVEL_2 + 16, LEVEL_3 | 3);
        mem.set(LEVEL_3, 0x4000_0000 | 1 << 10 | 1 << 7 | 1 << 52 | 1);
        mem.set(LEVEL_3 + 8, 0x4000_0000 | 1 << 10 | 2 << 2 | 1);
        let mut text = String::new();
        let mut dumper = RangeDumper::el2(MAIR);
        visit_el2(crate::Pa::new(ROOT), &mem, 0, usize::MAX, &mut |entry| {
            dumper.note_entry(&entry, &mut text).unwrap();
        });
        dumper.finish(1 << 48, &mut text).unwrap();
        let expected = "\
---[ EL2 ]---
0x0000000000000000-0x0000000040000000           1G PUD
0x0000000040000000-0x0000000080000000           1G PUD   RW NX SHD AF     BLK MEM/NORMAL
0x0000000080000000-0x0000000080200000           2M PMD   ro x      AF CON BLK DEVICE/nGnRE
0x0000000080200000-0x0000000080400000           2M PMD   RW x      AF     BLK MAIR/0x33
0x0000000080400000-0x00000000c0000000        1020M PMD
0x00000000c0000000-0x0000008000000000         509G PUD
0x0000008000000000-0x0001000000000000      261632G PGD
";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_limits_of_a_narrow_machine_give_the_same_text() {
        let registers = Stage1Registers {
            tcr: 25 | 16 << 16 | 0b10 << 30 | 0b101 << 32,
            ttbr0: ROOT,
            ..Stage1Registers::default()
        };
        let config = Stage1Config::from_registers(Regime::El1And0, &registers, &STAGE1_LIMITS);
        let mut text = String::new();
        let mut dumper = RangeDumper::stage1(Regime::El1And0, &config.lower.unwrap(), MAIR);
        visit::<L2>(&config.lower.unwrap(), &memory(), 0, usize::MAX, &mut |entry| {
            dumper.note_entry(&entry, &mut text).unwrap();
        });
        assert_eq!(text, "---[ EL1&0 TTBR0 ]---\n");
    }
}
