//! What a picture is drawn from: tables, their ranges, and what the audit found.
//!
//! Three sources fill it: records of gnomon's console ([`super::records`]), live or saved, and
//! the text files of Linux's debugfs ([`super::debugfs`]). The text has no output addresses and
//! no memory types, so what a source may leave out is an `Option`, and nothing is made up for it.
//!
//! Ranges of a table are kept in order of their input address. Neighbours that continue each
//! other in every respect are one range, whether the source printed them as one or not: a picture
//! of 512 equal pages is a picture of one strip.

use std::collections::BTreeMap;

use super::access::Access;

/// Everything known about a machine's stage-2 tables at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Where it comes from, in words for the page's head.
    pub source: String,
    /// The tables, in the order in which the source named them.
    pub tables: Vec<Table>,
    /// What the audit found wrong.
    pub findings: Vec<Finding>,
    /// Whether an audit ran at all, and so whether no finding means anything.
    pub is_audited: bool,
    /// What the source said about itself: a table that changed while it was read, and the like.
    pub notes: Vec<String>,
}

/// No more ranges of a table than this are drawn and listed.
pub const RANGES_MAX: usize = 20_000;

/// One stage-2 table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its name in the console: `host`, `shadow/0x...`, `guest/0x...`.
    pub name: String,
    /// Bits of its input address, when the source says.
    pub ipa_bits: Option<u32>,
    /// What it maps, in order of [`Range::ia`].
    pub ranges: Vec<Range>,
}

/// Neighbouring leaves that look the same and whose output addresses follow one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First input address.
    pub ia: u64,
    /// Bytes.
    pub size: u64,
    /// Output address of `ia`; `None` when the source has no output addresses.
    pub oa: Option<u64>,
    /// Level of the leaves.
    pub level: i8,
    /// Whether the leaves are blocks; pages otherwise.
    pub is_block: bool,
    /// What the leaves allow.
    pub access: Access,
    /// Memory type in words, such as `normal-wb` or `device-nGnRE`.
    pub mem: Option<String>,
    /// Shareability in words.
    pub sh: Option<String>,
    /// Whether the Access flag is set.
    pub af: bool,
    /// Whether the leaves carry the contiguous hint.
    pub contiguous: bool,
    /// The first leaf's descriptor.
    pub raw: Option<u64>,
}

/// One thing that the audit found wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// The table it is about.
    pub table: String,
    /// First input address concerned; `None` when it is about a whole table.
    pub ia: Option<u64>,
    /// Bytes concerned.
    pub size: u64,
    /// What is wrong, in one sentence.
    pub text: String,
    /// Whether it counts: not, if nobody uses the table any more.
    pub counts: bool,
}

impl Snapshot {
    /// The table of that name, made if it is not there yet.
    pub fn table_mut(&mut self, name: &str) -> &mut Table {
        let index = self.tables.iter().position(|table| table.name == name);
        let index = index.unwrap_or_else(|| {
            self.tables.push(Table {
                name: name.to_owned(),
                ..Table::default()
            });
            self.tables.len() - 1
        });
        &mut self.tables[index]
    }

    /// Names of the L2s that have a shadow or a table of L1's, in the order of the tables; those of
    /// whom nothing is mapped come last, such as the shadow that is left of L1's own boot.
    #[must_use]
    pub fn l2_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.tables.iter().filter_map(Table::l2_name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let is_empty = |name: &str| {
            let mut tables = self.tables.iter().filter(|table| table.l2_name() == Some(name));
            tables.all(|table| table.ranges.is_empty())
        };
        names.sort_by_cached_key(|name| is_empty(name));
        names
    }

    /// Findings that count, about a range of a table.
    pub fn findings_in<'a>(&'a self, table: &'a Table, range: &'a Range) -> impl Iterator<Item = &'a Finding> {
        self.findings
            .iter()
            .filter(move |finding| finding.counts && finding.table == table.name && finding.touches(range))
    }
}

impl Table {
    /// The L2 that a `shadow/` or `guest/` table belongs to.
    #[must_use]
    pub fn l2_name(&self) -> Option<&str> {
        let name = &self.name;
        name.strip_prefix("shadow/").or_else(|| name.strip_prefix("guest/"))
    }

    /// Adds what a source printed last. Ranges may come in any order; call [`Self::finish`] after
    /// the last.
    pub fn push(&mut self, range: Range) {
        match self.ranges.last_mut() {
            Some(last) if last.continues_in(&range) => last.size = last.size.saturating_add(range.size),
            _ => self.ranges.push(range),
        }
    }

    /// Sorts, and drops ranges of no size.
    pub fn finish(&mut self) {
        self.ranges.retain(|range| range.size != 0);
        self.ranges.sort_by_key(|range| range.ia);
    }

    /// The ranges that are drawn and listed. A hostile L1 can make a table of a million, which no
    /// browser draws and nobody looks at; sums are of all.
    #[must_use]
    pub fn shown(&self) -> &[Range] {
        self.ranges.get(..RANGES_MAX).unwrap_or(&self.ranges)
    }

    /// Bytes mapped.
    #[must_use]
    pub fn bytes(&self) -> u128 {
        self.ranges.iter().map(|range| u128::from(range.size)).sum()
    }

    /// Bytes mapped by leaves of each level.
    #[must_use]
    pub fn bytes_by_level(&self) -> BTreeMap<i8, u128> {
        let mut sums = BTreeMap::new();
        for range in &self.ranges {
            *sums.entry(range.level).or_default() += u128::from(range.size);
        }
        sums
    }
}

impl Range {
    /// The kind of leaf it is made of.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.is_block { "block" } else { "page" }
    }

    /// First input address behind it.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.ia.saturating_add(self.size)
    }

    /// Whether the memory is a device's. Unknown counts as not.
    #[must_use]
    pub fn is_device(&self) -> bool {
        self.mem
            .as_deref()
            .is_some_and(|mem| mem.to_ascii_lowercase().starts_with("device"))
    }

    /// Whether `next` begins where this ends, at both addresses, and is alike in all else.
    fn continues_in(&self, next: &Self) -> bool {
        let follows = |first: u64, second: u64| first.checked_add(self.size) == Some(second);
        follows(self.ia, next.ia)
            && match (self.oa, next.oa) {
                (Some(first), Some(second)) => follows(first, second),
                (None, None) => true,
                _ => false,
            }
            && self.level == next.level
            && self.is_block == next.is_block
            && self.access == next.access
            && self.mem == next.mem
            && self.sh == next.sh
            && self.af == next.af
            && self.contiguous == next.contiguous
    }
}

impl Finding {
    /// Whether it is about an address of `range`.
    #[must_use]
    pub fn touches(&self, range: &Range) -> bool {
        self.ia
            .is_some_and(|ia| ia < range.end() && range.ia < ia.saturating_add(self.size.max(1)))
    }
}

/// A size in the largest unit in which it is whole, as Linux's ptdump prints it.
#[must_use]
pub fn size_text(bytes: u128) -> String {
    if bytes == 0 || !bytes.is_multiple_of(1024) {
        return format!("{bytes}B");
    }
    let mut size = bytes >> 10;
    let mut unit = 0;
    while size.is_multiple_of(1024) && unit < UNITS.len() - 1 {
        size >>= 10;
        unit += 1;
    }
    format!("{size}{}", UNITS[unit])
}

/// A size in three digits or so, for where there is little room; exact where it can be.
#[must_use]
pub fn short_size_text(bytes: u128) -> String {
    let exact = size_text(bytes);
    if exact.len() <= 5 {
        return exact;
    }
    let unit = (bytes.ilog2() / 10).clamp(1, 6);
    let scale = 10 * unit;
    // Whole units, and tenths of one, rounded down.
    let (whole, tenth) = (bytes >> scale, ((bytes % (1 << scale)) * 10) >> scale);
    let name = UNITS[unit as usize - 1];
    if whole >= 100 {
        format!("{whole}{name}")
    } else {
        format!("{whole}.{tenth}{name}")
    }
}

/// Whether a table belongs into the picture: stage 2 of L1, or of an L2, or L1's own for one.
#[must_use]
pub fn is_shown(table: &str) -> bool {
    table == "host" || table.starts_with("shadow/") || table.starts_with("guest/")
}

const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];

#[cfg(test)]
mod tests {
    use super::*;

    fn page(ia: u64, oa: Option<u64>) -> Range {
        Range {
            ia,
            size: 0x1000,
            oa,
            level: 3,
            access: Access::from_letters("rw"),
            ..Range::default()
        }
    }

    #[test]
    fn an_l2_of_whom_nothing_is_mapped_comes_last() {
        let mut snapshot = Snapshot::default();
        for name in ["host", "shadow/a", "shadow/b", "guest/b", "guest/c"] {
            snapshot.table_mut(name);
        }
        assert_eq!(snapshot.l2_names(), ["a", "b", "c"]);
        for name in ["guest/b", "guest/c"] {
            snapshot.table_mut(name).push(page(0, None));
        }
        assert_eq!(snapshot.l2_names(), ["b", "c", "a"]);
    }

    #[test]
    fn neighbours_that_continue_each_other_are_one_range() {
        let mut table = Table::default();
        table.push(page(0x1000, Some(0x8000)));
        table.push(page(0x2000, Some(0x9000)));
        table.push(page(0x3000, Some(0xf000)));
        table.push(Range {
            access: Access::from_letters("r"),
            ..page(0x4000, Some(0x1_0000))
        });
        let sizes: Vec<u64> = table.ranges.iter().map(|range| range.size).collect();
        assert_eq!(sizes, [0x2000, 0x1000, 0x1000]);
        assert_eq!(table.bytes(), 0x4000);
    }

    #[test]
    fn without_output_addresses_neighbours_are_compared_by_the_rest() {
        let mut table = Table::default();
        table.push(page(0x1000, None));
        table.push(page(0x2000, None));
        table.push(page(0x4000, None));
        assert_eq!(table.ranges.len(), 2);
    }

    #[test]
    fn ranges_at_the_end_of_the_address_space_do_not_wrap() {
        let mut table = Table::default();
        table.push(page(u64::MAX - 0xfff, Some(u64::MAX - 0xfff)));
        table.push(page(0, Some(0)));
        table.finish();
        assert_eq!(table.ranges.len(), 2);
        assert_eq!(table.ranges[1].end(), u64::MAX);
    }

    #[test]
    fn of_a_huge_table_the_first_ranges_are_shown_and_all_are_summed() {
        let mut table = Table::default();
        for index in 0..RANGES_MAX as u64 + 5 {
            table.push(page(index * 0x2000, None));
        }
        assert_eq!(table.shown().len(), RANGES_MAX);
        assert_eq!(table.bytes(), (RANGES_MAX as u128 + 5) * 0x1000);
    }

    #[test]
    fn sums_are_by_level() {
        let mut table = Table::default();
        table.push(page(0, None));
        table.push(Range {
            level: 2,
            is_block: true,
            size: 0x20_0000,
            ..page(0x20_0000, None)
        });
        let sums: Vec<(i8, u128)> = table.bytes_by_level().into_iter().collect();
        assert_eq!(sums, [(2, 0x20_0000), (3, 0x1000)]);
    }

    #[test]
    fn a_finding_marks_every_range_it_touches_and_no_other() {
        let finding = |ia, size| Finding {
            ia: Some(ia),
            size,
            ..Finding::default()
        };
        let range = page(0x2000, None);
        assert!(finding(0x2fff, 0).touches(&range));
        assert!(finding(0x1000, 0x1001).touches(&range));
        assert!(!finding(0x1000, 0x1000).touches(&range));
        assert!(!finding(0x3000, 0x1000).touches(&range));
        assert!(!Finding::default().touches(&range));
    }

    #[test]
    fn sizes_are_in_the_largest_exact_unit() {
        for (bytes, text) in [
            (0x1000, "4K"),
            (1404 << 10, "1404K"),
            (1 << 30, "1G"),
            (0, "0B"),
            (100, "100B"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }

    #[test]
    fn a_short_size_has_at_most_one_digit_behind_the_point() {
        for (bytes, text) in [
            (1404 << 10, "1404K"),
            (901_116 << 10, "879M"),
            (9_142_300 << 10, "8.7G"),
            (u128::from(u64::MAX), "15.9E"),
            (1_000_001, "976K"),
        ] {
            assert_eq!(short_size_text(bytes), text);
        }
    }
}
