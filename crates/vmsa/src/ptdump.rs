//! Page tables as text, in the format of Linux 7.2's ptdump, byte for byte.
//!
//! Linux prints one line for each run of neighbouring entries that agree in level and in the
//! attribute bits that have a column; the output address is not looked at. Stage 2 looks like
//! debugfs `stage2_page_tables`; the same table printed by KVM and here must give an empty diff.
//! That includes what one might call flaws: trailing blanks stay, and the last run, up to the end
//! of the IPA space, is not printed unless [`RangeDumper::finish`] is called.
//!
//! ```text
//! ---[ Guest IPA ]---
//! 0x0000000000000000-0x0000000008000000         128M 1
//! 0x0000000008000000-0x0000000008020000         128K 3   R W PXNUXN AF    
//! ```
//!
//! A stage-1 dump follows the kernel's `kernel_page_tables`, with the columns that its regime has.

mod changes;
mod descriptor;
mod physical;
mod stage1;

pub use self::changes::{Change, Changes};
pub use self::descriptor::{Descriptor, Meaning};
pub use self::physical::{LeafFormat, MemoryType, Target};

use self::stage1::Stage1Format;
use crate::{
    Entry, EntryKind, Level, Size,
    stage1::{Regime, Stage1Range},
};
use core::fmt;

/// The line that begins a stage-2 dump.
pub const STAGE2_HEADER: &str = "---[ Guest IPA ]---";

/// What an attribute prints as: `set` if the descriptor has `value` in `mask`, else `clear`.
struct Column {
    mask: u64,
    value: u64,
    set: &'static str,
    /// `None` prints nothing, not even the separating blank.
    clear: Option<&'static str>,
}

impl Column {
    const fn flag(mask: u64, set: &'static str, clear: &'static str) -> Self {
        Self {
            mask,
            value: mask,
            set,
            clear: Some(clear),
        }
    }

    const fn choice(mask: u64, value: u64, set: &'static str) -> Self {
        Self {
            mask,
            value,
            set,
            clear: None,
        }
    }

    const fn block() -> Self {
        Self {
            mask: 0b11,
            value: 0b01,
            set: "BLK",
            clear: Some("   "),
        }
    }
}

const XN: u64 = 0b11 << 53;

const STAGE2_COLUMNS: &[Column] = &[
    Column::flag(1 << 0, " ", "F"),
    Column::flag(1 << 6, "R", " "),
    Column::flag(1 << 7, "W", " "),
    Column::choice(XN, 0b00 << 53, "px ux "),
    Column::choice(XN, 0b01 << 53, "PXNux "),
    Column::choice(XN, 0b10 << 53, "PXNUXN"),
    Column::choice(XN, 0b11 << 53, "px UXN"),
    Column::flag(1 << 10, "AF", "  "),
    Column::block(),
];

/// Which table is printed.
#[derive(Clone, Copy, Debug)]
enum Format {
    Stage2,
    Stage1(Stage1Format),
}

impl Format {
    fn print_header(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Stage2 => writeln!(out, "{STAGE2_HEADER}"),
            Self::Stage1(format) => format.print_header(out),
        }
    }

    fn level_name(&self, level: Level) -> &'static str {
        match self {
            Self::Stage1(format) => format.level_name(level),
            Self::Stage2 => match level {
                Level::MINUS_ONE => "-1",
                Level::ZERO => "0",
                Level::ONE => "1",
                Level::TWO => "2",
                _ => "3",
            },
        }
    }

    fn columns(&self) -> &'static [Column] {
        match self {
            Self::Stage2 => STAGE2_COLUMNS,
            Self::Stage1(format) => format.columns(),
        }
    }

    /// The bits by which neighbours are told apart.
    fn mask(&self) -> u64 {
        let columns = self.columns().iter().fold(0, |mask, column| mask | column.mask);
        match self {
            Self::Stage2 => columns,
            Self::Stage1(format) => columns | format.extra_mask(),
        }
    }
}

/// A run of like entries: one line of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first input address.
    pub start: u64,
    /// The end; 0 for that of an upper half, which has no 64-bit number.
    pub end: u64,
    /// The level of the entries.
    pub level: Level,
    /// Those bits of their descriptors that Linux prints, in their places; 0 for a hole.
    pub prot: u64,
    /// The first entry's descriptor, which is not looked at for merging.
    pub raw: u64,
    /// What the first entry is. The others may differ in kind only where Linux sees none.
    pub kind: EntryKind,
    /// Where it leads, if the dumper [looks at that](RangeDumper::with_targets) and it leads anywhere.
    pub target: Option<Target>,
}

impl Run {
    /// The bytes from start to end.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.end.wrapping_sub(self.start)
    }

    /// The last input address.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.end.wrapping_sub(1)
    }

    /// Its rest from `start` on, which is one of its addresses or its end.
    #[must_use]
    pub fn tail(&self, start: u64) -> Self {
        let bytes = start.wrapping_sub(self.start);
        Self {
            start,
            target: self.target.map(|target| target.advanced(bytes)),
            ..*self
        }
    }

    /// Whether this says of its first address what `other` says of its own.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let what = |run: &Self| (run.level, run.prot, run.target, run.kind);
        what(self) == what(other)
    }

    /// Whether `next`, which begins where this one ends, is more of the same.
    #[must_use]
    pub fn goes_on_in(&self, next: &Self) -> bool {
        self.tail(next.start).is_like(next)
    }

    /// Whether there is nothing but a hole, to Linux and in truth.
    #[must_use]
    pub const fn is_hole(&self) -> bool {
        self.prot == 0 && matches!(self.kind, EntryKind::Invalid)
    }
}

/// Turns entries in address order into ptdump lines.
#[derive(Clone, Debug)]
pub struct RangeDumper {
    format: Format,
    leaves: Option<LeafFormat>,
    run: Option<Run>,
}

impl RangeDumper {
    /// For a stage 2.
    #[must_use]
    pub const fn stage2() -> Self {
        Self {
            format: Format::Stage2,
            leaves: None,
            run: None,
        }
    }

    /// For the hypervisor's own stage 1. `mair` is `MAIR_EL2`, which gives the memory types their
    /// names.
    #[must_use]
    pub const fn el2(mair: u64) -> Self {
        Self {
            format: Format::Stage1(Stage1Format::own(mair)),
            leaves: None,
            run: None,
        }
    }

    /// For a range of someone else's stage 1. `mair` is the regime's `MAIR_ELx`.
    #[must_use]
    pub const fn stage1(regime: Regime, range: &Stage1Range, mair: u64) -> Self {
        Self {
            format: Format::Stage1(Stage1Format::of(regime, range, mair)),
            leaves: None,
            run: None,
        }
    }

    /// The same with where ranges lead, and as what; `leaves` is how the table's leaves are read.
    #[must_use]
    pub const fn with_targets(self, leaves: LeafFormat) -> Self {
        Self {
            leaves: Some(leaves),
            ..self
        }
    }

    /// Takes an entry of [`stage2::visit`](crate::stage2::visit) or [`stage1::visit`](crate::stage1::visit) and prints
    /// the run that it ends, if it differs from its predecessor. The first one prints the header. Descriptors that fault
    /// although bit 0 is set, which Linux never meets in tables of its own, print as holes.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn note_entry(&mut self, entry: &Entry, out: &mut impl fmt::Write) -> fmt::Result {
        if self.run.is_none() {
            self.print_header(out)?;
        }
        match self.take(entry) {
            Some(run) => self.print(&run, out),
            None => Ok(()),
        }
    }

    /// Prints the last run, which ends at `end`: 0 for an upper half, whose end has no 64-bit number. Linux does this for
    /// stage 1 only.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn finish(&mut self, end: u64, out: &mut impl fmt::Write) -> fmt::Result {
        match self.take_last(end) {
            Some(run) => self.print(&run, out),
            None => Ok(()),
        }
    }

    /// [`note_entry`](Self::note_entry) without printing: gives the run that the entry ends.
    pub fn take(&mut self, entry: &Entry) -> Option<Run> {
        let raw = match entry.kind {
            EntryKind::Invalid if entry.raw & 1 != 0 => 0,
            _ => entry.raw,
        };
        let is_leaf = entry.kind == EntryKind::Leaf;
        let leaves = self.leaves.filter(|_| is_leaf);
        // Of an entry that is only looked at from its middle on, a block that took the place of smaller ones.
        let offset = entry.ia & (entry.size - 1);
        let next = Run {
            start: entry.ia,
            end: entry.ia.wrapping_add(entry.size - offset),
            level: entry.level,
            prot: raw & self.format.mask(),
            raw: entry.raw,
            // To Linux, what maps nothing is a hole.
            kind: if self.leaves.is_some() || is_leaf {
                entry.kind
            } else {
                EntryKind::Invalid
            },
            target: leaves.map(|leaves| leaves.target(raw, entry.level).advanced(offset)),
        };
        match &mut self.run {
            Some(run) if run.goes_on_in(&next) => {
                run.end = next.end;
                None
            }
            run => run.replace(next).map(|run| Run { end: next.start, ..run }),
        }
    }

    /// The last run, which ends at `end`.
    pub fn take_last(&mut self, end: u64) -> Option<Run> {
        self.run.take().map(|run| Run { end, ..run })
    }

    /// Prints the line that begins a dump.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn print_header(&self, out: &mut impl fmt::Write) -> fmt::Result {
        self.format.print_header(out)
    }

    /// Prints the line of `run`, with its end.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn print(&self, run: &Run, out: &mut impl fmt::Write) -> fmt::Result {
        self.write(run, out)?;
        out.write_char('\n')
    }

    /// The line of `run` without its end.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write(&self, run: &Run, out: &mut impl fmt::Write) -> fmt::Result {
        let (size, unit) = Size(run.size()).in_units();
        let name = self.format.level_name(run.level);
        write!(out, "0x{:016x}-0x{:016x}   {size:9}{unit} {name}", run.start, run.end)?;
        if run.prot != 0 {
            self.print_attributes(run.prot, out)?;
        }
        match run.target {
            Some(target) => write!(out, "{target}"),
            None => Ok(()),
        }
    }

    fn print_attributes(&self, prot: u64, out: &mut impl fmt::Write) -> fmt::Result {
        for column in self.format.columns() {
            let text = if prot & column.mask == column.value {
                Some(column.set)
            } else {
                column.clear
            };
            if let Some(text) = text {
                write!(out, " {text}")?;
            }
        }
        match self.format {
            Format::Stage2 => Ok(()),
            Format::Stage1(format) => format.print_memory_type(prot, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Granule, L1,
        stage2::{Stage2Config, visit},
        testing::{LIMITS, Words, vtcr},
    };
    use std::string::String;

    const ROOT: u64 = 0x10_0000;
    const LEVEL_2: u64 = 0x11_0000;
    const LEVEL_3: u64 = 0x12_0000;

    fn dump_stage2(mem: &Words, with_last: bool) -> String {
        let cfg = Stage2Config::from_registers(vtcr(Granule::K4, 40, 1), ROOT, &LIMITS).unwrap();
        let mut text = String::new();
        let mut dumper = RangeDumper::stage2();
        visit::<L1>(&cfg, mem, 0, usize::MAX, &mut |entry| {
            dumper.note_entry(&entry, &mut text).unwrap();
        });
        if with_last {
            dumper.finish(cfg.ipa_end(), &mut text).unwrap();
        }
        text
    }

    fn memory() -> Words {
        let mut mem = Words::default();
        mem.add(ROOT, 0x3_0000);
        mem
    }

    #[test]
    fn stage_2_is_the_text_of_linux() {
        const RW: u64 = 0b11 << 6;
        const AF: u64 = 1 << 10;
        let mut mem = memory();
        mem.set(ROOT, LEVEL_2 | 3);
        mem.set(ROOT + 8, 0x4000_0000 | RW | AF | 1);
        mem.set(LEVEL_2 + 64 * 8, LEVEL_3 | 3);
        for page in 0..32 {
            mem.set(LEVEL_3 + page * 8, page << 12 | RW | AF | 0b10 << 53 | 3);
        }
        mem.set(LEVEL_3 + 33 * 8, 0x1000 | 1 << 6 | AF | 0b01 << 53 | 3);
        mem.set(LEVEL_3 + 34 * 8, 0x1000 | 1 << 7 | 0b11 << 53 | 3);
        let expected = "\
---[ Guest IPA ]---
0x0000000000000000-0x0000000008000000         128M 2
0x0000000008000000-0x0000000008020000         128K 3   R W PXNUXN AF    
0x0000000008020000-0x0000000008021000           4K 3
0x0000000008021000-0x0000000008022000           4K 3   R   PXNux  AF    
0x0000000008022000-0x0000000008023000           4K 3     W px UXN       
0x0000000008023000-0x0000000008200000        1908K 3
0x0000000008200000-0x0000000040000000         894M 2
0x0000000040000000-0x0000000080000000           1G 1   R W px ux  AF BLK
";
        assert_eq!(dump_stage2(&mem, false), expected);
        let last = "0x0000000080000000-0x0000010000000000        1022G 1\n";
        assert_eq!(dump_stage2(&mem, true), std::format!("{expected}{last}"));
    }

    #[test]
    fn neighbours_merge_whatever_their_output_and_memory_type() {
        let mut mem = memory();
        mem.set(ROOT, 0x8_4000_07c1 | 0b1111 << 2);
        mem.set(ROOT + 8, 0x4000_04c1);
        mem.set(ROOT + 16, 0x4000_0441);
        let text = dump_stage2(&mem, false);
        let lines: std::vec::Vec<_> = text.lines().collect();
        assert_eq!(
            lines[1],
            "0x0000000000000000-0x0000000080000000           2G 1   R W px ux  AF BLK"
        );
        assert_eq!(
            lines[2],
            "0x0000000080000000-0x00000000c0000000           1G 1   R   px ux  AF BLK"
        );
    }

    #[test]
    fn invalid_entries_with_other_bits_print_an_f() {
        let mut mem = memory();
        mem.set(ROOT, 0x40);
        let line = "0x0000000000000000-0x0000000040000000           1G 1 F R   px ux        \n";
        assert!(dump_stage2(&mem, false).ends_with(line));
    }

    #[test]
    fn an_empty_table_prints_the_header_alone() {
        assert_eq!(dump_stage2(&memory(), false), "---[ Guest IPA ]---\n");
    }

    #[test]
    fn a_table_descriptor_out_of_range_prints_as_a_hole() {
        let cfg = Stage2Config::from_registers(vtcr(Granule::K4, 32, 1) & !(7 << 16), ROOT, &LIMITS);
        let mut mem = memory();
        mem.set(ROOT, 1 << 40 | 3);
        let mut text = String::new();
        let mut dumper = RangeDumper::stage2();
        visit::<L1>(&cfg.unwrap(), &mem, 0, usize::MAX, &mut |entry| {
            dumper.note_entry(&entry, &mut text).unwrap();
        });
        assert_eq!(text, "---[ Guest IPA ]---\n");
    }
}
