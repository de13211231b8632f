//! The answers of the console's commands `shadow` and `exits`.
//!
//! Both are tables with a line of headings, then lines of words, then sums in prose. Words are
//! read by their place; how wide a column is does not matter here.

use std::fmt;

/// A line that is none of the listing's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadListing {
    /// What it should have been.
    pub wanted: &'static str,
    /// The line.
    pub line: String,
}

impl fmt::Display for BadListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {:?}", self.wanted, self.line)
    }
}

impl std::error::Error for BadListing {}

/// A shadow's name, which is KVM's for the same tables: `0x<vttbr>-0x<vtcr>-s2-enabled`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowName {
    /// The name.
    pub text: String,
    /// `VTTBR_EL2` of L1.
    pub vttbr: u64,
    /// `VTCR_EL2` of L1.
    pub vtcr: u64,
    /// Whether L1 had its guest's stage 2 on (`HCR_EL2.VM`).
    pub is_enabled: bool,
}

impl ShadowName {
    /// Reads a name; `None` if it is not formed like one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (vttbr, rest) = number(text)?;
        let (vtcr, rest) = number(rest.strip_prefix('-')?)?;
        let is_enabled = match rest {
            "-s2-enabled" => true,
            "-s2-disabled" => false,
            _ => return None,
        };
        let text = text.to_owned();
        Some(Self {
            text,
            vttbr,
            vtcr,
            is_enabled,
        })
    }

    /// Input address bits that `VTCR_EL2.T0SZ` gives the guest (DDI 0487, `VTCR_EL2`).
    #[must_use]
    pub fn ipa_bits(&self) -> u64 {
        64 - (self.vtcr & 0x3f)
    }

    /// Levels of the walk that `VTCR_EL2.SL0` gives the guest with a 4 KiB granule.
    #[must_use]
    pub fn levels(&self) -> u64 {
        2 + (self.vtcr >> 6 & 0b11)
    }
}

/// `0x` and 16 digits, and what follows them.
fn number(text: &str) -> Option<(u64, &str)> {
    let (digits, rest) = text.strip_prefix("0x")?.split_at_checked(16)?;
    Some((u64::from_str_radix(digits, 16).ok()?, rest))
}

/// A line of `shadow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowRow {
    /// What it can be called by.
    pub number: u64,
    /// The VMID it runs under.
    pub vmid: u64,
    /// vCPUs that use it.
    pub refs: u64,
    /// Faults it has taken.
    pub faults: u64,
    /// Pages of its tables.
    pub table_pages: u64,
    /// Bytes mapped by leaves of level 3, 2 and 1.
    pub mapped: [u64; 3],
    /// Its name.
    pub name: ShadowName,
}

/// Reads the answer of `shadow`.
///
/// # Errors
///
/// [`BadListing`] for the first line between the headings and the sums that cannot be read.
pub fn parse_shadows(lines: &[String]) -> Result<Vec<ShadowRow>, BadListing> {
    let rows = lines.iter().skip(1).take_while(|line| !line.contains(" shadows, "));
    rows.map(|line| {
        shadow_row(line).ok_or_else(|| BadListing {
            wanted: "a shadow",
            line: line.clone(),
        })
    })
    .collect()
}

/// Frames for table pages, as the last line of `shadow` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameCount {
    /// In nobody's use.
    pub free: u64,
    /// All.
    pub total: u64,
}

/// Reads the last line of the answer of `shadow`; `None` if it is not `N of M frames for tables are free`.
#[must_use]
pub fn parse_frames(lines: &[String]) -> Option<FrameCount> {
    let (numbers, _) = lines.last()?.split_once(" frames for tables are free")?;
    let (free, total) = numbers.split_once(" of ")?;
    Some(FrameCount {
        free: free.parse().ok()?,
        total: total.parse().ok()?,
    })
}

fn shadow_row(line: &str) -> Option<ShadowRow> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [
        number,
        vmid,
        refs,
        _last_use,
        faults,
        table_pages,
        level3,
        level2,
        level1,
        name,
    ] = words[..]
    else {
        return None;
    };
    Some(ShadowRow {
        number: number.parse().ok()?,
        vmid: vmid.parse().ok()?,
        refs: refs.parse().ok()?,
        faults: faults.parse().ok()?,
        table_pages: table_pages.parse().ok()?,
        mapped: [bytes(level3)?, bytes(level2)?, bytes(level1)?],
        name: ShadowName::parse(name)?,
    })
}

/// `0`, `4K`, `134M`, `3G`.
fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A line of `exits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitRow {
    /// Exception class, `IRQ`, or `total`.
    pub cause: String,
    /// Who was left, and for whom: `L1`, `L2`, `L2>L1`.
    pub whose: String,
    /// How often.
    pub count: u64,
    /// Least, mean and greatest cost, in ticks.
    pub cost: [u64; 3],
}

/// Reads the answer of `exits`.
///
/// # Errors
///
/// [`BadListing`] for the first line between the headings and the closing remarks that cannot be
/// read.
pub fn parse_exits(lines: &[String]) -> Result<Vec<ExitRow>, BadListing> {
    // The last rows are the totals; what follows is prose.
    let is_total = |line: &String| line.starts_with("total ");
    let end = lines.iter().rposition(is_total).map_or(0, |last| last + 1);
    let rows = lines.iter().take(end).skip(1);
    rows.map(|line| {
        exit_row(line).ok_or_else(|| BadListing {
            wanted: "a count of exits",
            line: line.clone(),
        })
    })
    .collect()
}

/// How often a CPU has waited for a shadow that another was at, as `exits` says it; `None` if it does not.
#[must_use]
pub fn parse_waits(lines: &[String]) -> Option<u64> {
    let mut counts = lines
        .iter()
        .filter_map(|line| line.strip_suffix(" times a CPU waited for a shadow"));
    counts.next()?.parse().ok()
}

fn exit_row(line: &str) -> Option<ExitRow> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [cause, whose, count, min, mean, max] = words[..] else {
        return None;
    };
    Some(ExitRow {
        cause: cause.to_owned(),
        whose: whose.to_owned(),
        count: count.parse().ok()?,
        cost: [min.parse().ok()?, mean.parse().ok()?, max.parse().ok()?],
    })
}

/// What is wrong with the counts of exits by themselves; nothing when they add up.
#[must_use]
pub fn exit_complaints(rows: &[ExitRow]) -> Vec<String> {
    let mut wrong = Vec::new();
    for row in rows {
        if !row.cost.is_sorted() {
            wrong.push(format!(
                "{} {}: min, mean and max are not in order",
                row.cause, row.whose
            ));
        }
    }
    let (totals, causes): (Vec<&ExitRow>, Vec<&ExitRow>) = rows.iter().partition(|row| row.cause == "total");
    for total in &totals {
        let counts = causes.iter().filter(|row| row.whose == total.whose);
        let sum: u64 = counts.map(|row| row.count).sum();
        if sum != total.count {
            wrong.push(format!(
                "{}: the causes sum to {sum}, the total is {}",
                total.whose, total.count
            ));
        }
    }
    if totals.is_empty() {
        wrong.push("there is no total".to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "0x000100010159a000-0x00000000802d3558-s2-enabled";

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_name_tells_the_registers() {
        let name = ShadowName::parse(NAME).unwrap();
        assert_eq!((name.vttbr, name.vtcr), (0x1_0001_0159_a000, 0x802d_3558));
        assert!(name.is_enabled);
        assert_eq!((name.ipa_bits(), name.levels()), (40, 3));
    }

    #[test]
    fn a_name_is_linuxs_to_the_letter() {
        for bad in [
            "0x100010159a000-0x00000000802d3558-s2-enabled",
            "0x000100010159a000-0x00000000802d3558-s2-on",
            "0x000100010159a000-0x00000000802d3558",
            "host",
            "",
        ] {
            assert_eq!(ShadowName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn shadows_are_read_up_to_the_sums() {
        let text = format!(
            " no  vmid refs  last use    faults  pages       4K       2M       1G name\n  \
             1     3    2      1144      1125      5       4K     134M        0 {NAME}\n\
             1 of 64 shadows, 5 table pages\n18692 of 18710 frames for tables are free\n"
        );
        let rows = parse_shadows(&lines(&text)).unwrap();
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(
            (row.number, row.vmid, row.refs, row.faults, row.table_pages),
            (1, 3, 2, 1125, 5)
        );
        assert_eq!(row.mapped, [4 << 10, 134 << 20, 0]);
        let frames = FrameCount {
            free: 18692,
            total: 18710,
        };
        assert_eq!(parse_frames(&lines(&text)), Some(frames));
        assert_eq!(parse_frames(&lines("1 of 64 shadows, 5 table pages")), None);
        let error = parse_shadows(&lines(&text.replace("1125", "many"))).unwrap_err();
        assert_eq!(error.wanted, "a shadow");
    }

    #[test]
    fn exits_add_up_or_are_complained_about() {
        let text = "cause        whose         count        min       mean        max\n\
                    WFx          L2>L1          4780      27731     196192   14968182\n\
                    IRQ          L2>L1            20        100        100        100\n\
                    IRQ          L1                3          1          2          3\n\
                    total        L1                3          1          2          3\n\
                    total        L2>L1          4800        100     190000   14968182\n\
                    0 times something was not emulated\n3 times a CPU waited for a shadow\n1000000000 ticks are a second\n";
        let rows = parse_exits(&lines(text)).unwrap();
        assert_eq!(rows.len(), 5);
        assert_eq!(
            (&rows[0].cause[..], rows[0].count, rows[0].cost[0]),
            ("WFx", 4780, 27731)
        );
        assert_eq!(exit_complaints(&rows), Vec::<String>::new());
        assert_eq!(parse_waits(&lines(text)), Some(3));
        let rows = parse_exits(&lines(&text.replace("4780", "4781"))).unwrap();
        assert_eq!(exit_complaints(&rows).len(), 1);
        let rows = parse_exits(&lines(&text.replace("27731 ", "927731"))).unwrap();
        assert_eq!(exit_complaints(&rows).len(), 1);
        assert_eq!(exit_complaints(&[]).len(), 1);
    }
}
