//! A stage-2 page-table dump, read by the grammar of Linux 7.2's `stage2_page_tables`.
//!
//! ```text
//! ---[ Guest IPA ]---
//! 0x0000000008000000-0x0000000008020000         128K 3   R W PXNUXN AF    
//! ```
//!
//! A line is the range with an exclusive end, three blanks, the size right-aligned in nine
//! columns, its unit, a blank, the level. Attributes follow only where the entry has any of the
//! bits shown; each field is a blank and text of a fixed width, so trailing blanks count.
//!
//! Beside the columns, a dump must make sense: ranges follow one another without a gap from
//! address 0, sizes are right and in the largest exact unit, leaves are aligned to their level,
//! `BLK` stands where a block can, and neighbours that Linux would have printed as one are one.
//! The granule is 4 KiB, which is what gnomon's tables and those of the default payload have.

mod line;

use std::fmt;

use line::{parse_line, range_of};

/// The line that begins a dump.
pub const HEADER: &str = "---[ Guest IPA ]---";

/// A dump of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// In address order, each beginning where the last one ends.
    pub ranges: Vec<Range>,
}

/// Neighbouring entries that look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Level of the entries, 0 to 3.
    pub level: u8,
    /// `None` where nothing is mapped.
    pub leaf: Option<Leaf>,
}

/// What mapped entries allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a column of the dump, independent of the others"
)]
pub struct Leaf {
    /// `R`
    pub read: bool,
    /// `W`
    pub write: bool,
    /// `px`: EL1 may execute.
    pub execute_el1: bool,
    /// `ux`: EL0 may execute.
    pub execute_el0: bool,
    /// `AF`
    pub accessed: bool,
    /// `BLK`
    pub is_block: bool,
}

/// Why a text is no dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadDump {
    /// Line of the dump, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
    /// The line itself.
    pub text: String,
}

impl fmt::Display for BadDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, {}: {:?}", self.line, self.why, self.text)
    }
}

impl std::error::Error for BadDump {}

impl Leaf {
    /// Whether it allows everything that `other` allows.
    #[must_use]
    pub fn allows(&self, other: &Self) -> bool {
        (self.read || !other.read)
            && (self.write || !other.write)
            && (self.execute_el1 || !other.execute_el1)
            && (self.execute_el0 || !other.execute_el0)
    }
}

impl Range {
    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

impl Dump {
    /// Reads the lines of one dump, header first.
    ///
    /// # Errors
    ///
    /// [`BadDump`] for the first line that Linux would not have printed.
    pub fn parse<S: AsRef<str>>(lines: &[S]) -> Result<Self, BadDump> {
        let mut dump = Self::default();
        for (index, line) in lines.iter().enumerate() {
            let text = line.as_ref();
            let read = if index == 0 {
                if text == HEADER { Ok(()) } else { Err("not the header") }
            } else {
                parse_valid_line(text).and_then(|range| dump.add(range))
            };
            read.map_err(|why| BadDump {
                line: index + 1,
                why,
                text: text.to_owned(),
            })?;
        }
        if lines.is_empty() {
            return Err(BadDump {
                line: 1,
                why: "the header is missing",
                text: String::new(),
            });
        }
        Ok(dump)
    }

    /// Reads the lines of a dump that was printed while the table changed. Each line is by Linux's grammar and begins
    /// where the last one ends, so none is missing; what else holds of a table does not hold of parts of several, or of
    /// memory that its owner has used for something else by then.
    ///
    /// # Errors
    ///
    /// [`BadDump`] for the first line that is not so.
    pub fn parse_moving<S: AsRef<str>>(lines: &[S]) -> Result<Self, BadDump> {
        let mut dump = Self::default();
        for (index, line) in lines.iter().enumerate() {
            let text = line.as_ref();
            let end = dump.ranges.last().map_or(0, |last| last.end);
            let read = match index {
                0 if text == HEADER => continue,
                0 => Err("not the header"),
                _ => parse_line(text).and_then(|(range, _)| {
                    let follows = range.start == end;
                    follows
                        .then_some(range)
                        .ok_or("it does not begin where the last range ends")
                }),
            };
            dump.ranges.push(read.map_err(|why| BadDump {
                line: index + 1,
                why,
                text: text.to_owned(),
            })?);
        }
        Ok(dump)
    }

    /// Adds a range that stands behind all others.
    fn add(&mut self, range: Range) -> Result<(), &'static str> {
        check(&range)?;
        if range.start != self.ranges.last().map_or(0, |last| last.end) {
            return Err("it does not begin where the last range ends");
        }
        let is_alike = |last: &Range| last.level == range.level && last.leaf == range.leaf;
        if self.ranges.last().is_some_and(is_alike) {
            return Err("it looks like the last range, which Linux would have continued");
        }
        self.ranges.push(range);
        Ok(())
    }

    /// The ranges where something is mapped.
    pub fn mapped(&self) -> impl Iterator<Item = (Range, Leaf)> {
        self.ranges.iter().filter_map(|range| Some((*range, range.leaf?)))
    }

    /// Bytes mapped by leaves of `level`.
    #[must_use]
    pub fn mapped_bytes_at(&self, level: u8) -> u64 {
        let ranges = self.mapped().filter(|(range, _)| range.level == level);
        ranges.map(|(range, _)| range.bytes()).sum()
    }

    /// Bytes mapped in `start..end`.
    #[must_use]
    pub fn mapped_bytes_in(&self, start: u64, end: u64) -> u64 {
        let parts = self
            .mapped()
            .map(|(range, _)| (range.start.max(start), range.end.min(end)));
        parts.map(|(start, end)| end.saturating_sub(start)).sum()
    }

    /// The range that covers `address`; `None` beyond the last one printed.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<&Range> {
        self.ranges
            .iter()
            .find(|range| (range.start..range.end).contains(&address))
    }
}

/// Whether a dump of any format has a gap: each line begins where the last one ends, up to the next header.
///
/// # Errors
///
/// [`BadDump`] for the first line behind a gap, or without a range.
pub fn check_for_gaps<S: AsRef<str>>(lines: &[S]) -> Result<(), BadDump> {
    let mut next = None;
    for (index, line) in lines.iter().enumerate() {
        let text = line.as_ref();
        if text.starts_with("---[ ") {
            next = None;
            continue;
        }
        let why = match range_of(text) {
            Err(why) => Some(why),
            Ok((start, _)) if next.is_some_and(|next| next != start) => {
                Some("it does not begin where the last range ends")
            }
            Ok((_, end)) => {
                next = Some(end);
                None
            }
        };
        if let Some(why) = why {
            return Err(BadDump {
                line: index + 1,
                why,
                text: text.to_owned(),
            });
        }
    }
    Ok(())
}

/// Splits a listing of several dumps: each is a line with the table's name, then the dump.
#[must_use]
pub fn split_by_name(lines: &[String]) -> Vec<(String, Vec<String>)> {
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for line in lines {
        let is_name = !line.starts_with("0x") && line != HEADER;
        match tables.last_mut() {
            Some((_, dump)) if !is_name => dump.push(line.clone()),
            _ => tables.push((line.clone(), Vec::new())),
        }
    }
    tables
}

/// Bytes that an entry of `level` covers with a 4 KiB granule.
fn entry_bytes(level: u8) -> u64 {
    1 << (12 + 9 * u32::from(3 - level))
}

/// The rules that hold for a range by itself.
fn check(range: &Range) -> Result<(), &'static str> {
    if range.end <= range.start {
        return Err("the range does not end behind its start");
    }
    let bytes = entry_bytes(range.level);
    if !range.start.is_multiple_of(bytes) || !range.end.is_multiple_of(bytes) {
        return Err("the range is not made of entries of its level");
    }
    match range.leaf {
        Some(leaf) if leaf.is_block != (range.level < 3) => Err("BLK belongs to leaves above level 3"),
        Some(_) if range.level == 0 => Err("there are no blocks at level 0"),
        _ => Ok(()),
    }
}

/// Reads one range line of a table that is in use.
fn parse_valid_line(line: &str) -> Result<Range, &'static str> {
    // Linux would print `F`, but no table here has invalid entries that are not zero.
    match parse_line(line)? {
        (range, true) => Ok(range),
        (_, false) => Err("an entry is invalid but not zero"),
    }
}

#[cfg(test)]
mod tests {
    use super::line::size_text;
    use super::*;

    const PAGE: &str = "0x0000000000000000-0x0000000000020000         128K 3   R W PXNUXN AF    ";
    const HOLE: &str = "0x0000000000020000-0x0000000000200000        1920K 3";
    const BLOCK: &str = "0x0000000000200000-0x0000000000600000           4M 2   R   px ux     BLK";

    fn why(lines: &[&str]) -> &'static str {
        Dump::parse(lines).unwrap_err().why
    }

    #[test]
    fn every_column_is_read() {
        let dump = Dump::parse(&[HEADER, PAGE, HOLE, BLOCK]).unwrap();
        let [page, hole, block] = dump.ranges[..] else {
            panic!("{dump:?}")
        };
        let leaf = page.leaf.unwrap();
        assert_eq!((page.start, page.end, page.level), (0, 0x2_0000, 3));
        assert!(leaf.read && leaf.write && leaf.accessed);
        assert!(!leaf.execute_el0 && !leaf.execute_el1 && !leaf.is_block);
        assert_eq!((hole.level, hole.leaf), (3, None));
        let leaf = block.leaf.unwrap();
        assert!(leaf.read && !leaf.write && !leaf.accessed);
        assert!(leaf.execute_el0 && leaf.execute_el1 && leaf.is_block);
    }

    #[test]
    fn trailing_blanks_are_part_of_a_line() {
        assert!(Dump::parse(&[HEADER, PAGE.trim_end()]).is_err());
        let longer = format!("{PAGE} ");
        assert_eq!(why(&[HEADER, &longer]), "something follows the last column");
    }

    #[test]
    fn a_column_out_of_place_is_refused() {
        for (from, to) in [
            ("   R", "  R "),
            (" PXN", "PXN "),
            ("AF", "af"),
            ("-0x", "-0X"),
            (" 128K", "0128K"),
        ] {
            let line = PAGE.replacen(from, to, 1);
            assert!(Dump::parse(&[HEADER, &line]).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_size_is_in_the_largest_exact_unit() {
        for (bytes, text) in [
            (4096, "        4K"),
            (1 << 20, "        1M"),
            (1916 << 10, "     1916K"),
            (1006 << 20, "     1006M"),
            (1 << 30, "        1G"),
            (1 << 50, "        1P"),
            // The column is as wide as it needs to be.
            (0x200_3bbe_d000, "2148462516K"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
        let line = "0x0000000000000000-0x0000000040000000        1024M 1";
        assert_eq!(why(&[HEADER, line]), "the size is not the range's");
        let line = "0x0000008044413000-0x0000028080000000   2148462516K 1";
        assert_eq!(parse_line(line).map(|(range, _)| range.end), Ok(0x280_8000_0000));
    }

    #[test]
    fn a_dump_begins_with_its_header_and_at_address_zero() {
        assert_eq!(why(&[PAGE]), "not the header");
        assert_eq!(why(&[HEADER, HOLE]), "it does not begin where the last range ends");
        assert_eq!(why(&[]), "the header is missing");
        assert_eq!(Dump::parse(&[HEADER]), Ok(Dump::default()));
    }

    #[test]
    fn neighbours_that_look_alike_are_one_range() {
        let next = "0x0000000000020000-0x0000000000021000           4K 3   R W PXNUXN AF    ";
        assert!(why(&[HEADER, PAGE, next]).contains("would have continued"));
    }

    #[test]
    fn entries_fit_their_level() {
        for (line, reason) in [
            (
                "0x0000000000000000-0x0000000000020000         128K 2",
                "made of entries",
            ),
            (
                "0x0000000000000000-0x0000000000200000           2M 2   R W PXNUXN AF    ",
                "BLK belongs",
            ),
            (
                "0x0000000000000000-0x0000000000001000           4K 3   R W PXNUXN AF BLK",
                "BLK belongs",
            ),
            (
                "0x0000000000000000-0x0000008000000000         512G 0   R W PXNUXN AF BLK",
                "no blocks at level 0",
            ),
        ] {
            assert!(why(&[HEADER, line]).contains(reason), "{line:?}");
        }
    }

    #[test]
    fn of_a_moving_table_no_line_may_be_missing() {
        let part = "0x0000000000020000-0x0000000000021000           4K 2   R W PXNUXN AF BLK";
        assert!(Dump::parse(&[HEADER, PAGE, part]).is_err());
        assert_eq!(Dump::parse_moving(&[HEADER, PAGE, part]).unwrap().ranges.len(), 2);
        for lines in [[HEADER, PAGE, BLOCK], [HEADER, HOLE, BLOCK], [HEADER, PAGE, PAGE]] {
            let why = Dump::parse_moving(&lines).unwrap_err().why;
            assert_eq!(why, "it does not begin where the last range ends");
        }
        assert!(Dump::parse_moving(&[HEADER, PAGE.trim_end()]).is_err());
    }

    #[test]
    fn a_gap_is_found_in_any_format_and_none_is_seen_between_halves() {
        let lower = "0x0000000000000000-0x0000000000200000           2M PMD";
        let upper =
            "0xffffffffffe00000-0x0000000000000000           2M PMD       RW NX SHD AF        BLK UXN    MEM/NORMAL";
        assert_eq!(check_for_gaps(&["---[ a ]---", lower, "---[ b ]---", upper]), Ok(()));
        assert_eq!(check_for_gaps(&["---[ a ]---", lower, upper]).unwrap_err().line, 3);
        assert_eq!(check_for_gaps(&["what"]).unwrap_err().line, 1);
    }

    #[test]
    fn an_f_is_only_taken_of_a_table_that_is_not_in_use() {
        let line = "0x0000000000000000-0x0000000000001000           4K 3 F   W px ux        ";
        assert_eq!(why(&[HEADER, line]), "an entry is invalid but not zero");
        let dump = Dump::parse_moving(&[HEADER, line]).unwrap();
        assert_eq!(dump.ranges[0].leaf, None);
    }

    #[test]
    fn sums_and_lookups_see_only_what_is_mapped() {
        let dump = Dump::parse(&[HEADER, PAGE, HOLE, BLOCK]).unwrap();
        assert_eq!(dump.mapped_bytes_at(3), 0x2_0000);
        assert_eq!(dump.mapped_bytes_at(2), 0x40_0000);
        assert_eq!(dump.mapped_bytes_in(0x1_0000, 0x20_1000), 0x1_0000 + 0x1000);
        assert_eq!(dump.at(0x20_0000).map(|range| range.level), Some(2));
        assert_eq!(dump.at(0x60_0000), None);
    }

    #[test]
    fn several_dumps_are_told_apart_by_their_names() {
        let lines: Vec<String> = ["shadow/a", HEADER, PAGE, "shadow/b", HEADER]
            .into_iter()
            .map(str::to_owned)
            .collect();
        let tables = split_by_name(&lines);
        let names: Vec<&str> = tables.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(names, ["shadow/a", "shadow/b"]);
        assert_eq!((tables[0].1.len(), tables[1].1.len()), (2, 1));
    }
}
