//! What came out: a line a test, both sides in columns.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::side::Verdict;

/// A test on both sides.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Row<'a> {
    pub(super) test: &'a str,
    pub(super) native: Verdict,
    pub(super) gnomon: Verdict,
    /// What it needs that gnomon hides.
    pub(super) hidden: Option<&'a str>,
}

impl Row<'_> {
    /// Whether it passes natively and not under gnomon, unless it skips because of what is hidden.
    pub(super) fn is_worse(&self) -> bool {
        let is_excused = self.hidden.is_some() && self.gnomon == Verdict::Skip;
        self.native == Verdict::Pass && self.gnomon != Verdict::Pass && !is_excused
    }
}

/// For people. The last line is the sum.
pub(super) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.test.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}  native   gnomon\n", "");
    for row in rows {
        let mark = match row.hidden {
            _ if row.is_worse() => "<- worse".to_owned(),
            Some(hidden) => format!("{hidden} is hidden"),
            None => String::new(),
        };
        let line = format!("{:width$}  {:7}  {:7}  {mark}", row.test, row.native, row.gnomon);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let passed = rows.iter().filter(|row| row.native == Verdict::Pass).count();
    let worse = rows.iter().filter(|row| row.is_worse()).count();
    let _ = writeln!(
        text,
        "{} tests, {passed} pass natively, {worse} of these do worse under gnomon",
        rows.len()
    );
    text
}

/// One object a row, a line each.
///
/// # Errors
///
/// None in practice: names can be written.
pub(super) fn json(rows: &[Row]) -> Result<String> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(row)?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [Row; 3] = [
        Row {
            test: "arch_timer",
            native: Verdict::Pass,
            gnomon: Verdict::Timeout,
            hidden: None,
        },
        Row {
            test: "arm64/at",
            native: Verdict::Pass,
            gnomon: Verdict::Pass,
            hidden: None,
        },
        Row {
            test: "arm64/width",
            native: Verdict::Pass,
            gnomon: Verdict::Skip,
            hidden: Some("AArch32"),
        },
    ];

    #[test]
    fn worse_is_what_passes_natively_alone() {
        assert_eq!(ROWS.map(|row| row.is_worse()), [true, false, false]);
        let text = table(&ROWS);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "arch_timer   pass     timeout  <- worse");
        assert_eq!(lines[2], "arm64/at     pass     pass");
        assert_eq!(lines[3], "arm64/width  pass     skip     AArch32 is hidden");
        assert_eq!(lines[4], "3 tests, 3 pass natively, 1 of these do worse under gnomon");
    }

    #[test]
    fn an_object_has_both_sides() {
        let text = json(&ROWS[..1]).unwrap();
        assert_eq!(
            text,
            "{\"test\":\"arch_timer\",\"native\":\"pass\",\"gnomon\":\"timeout\",\"hidden\":null}\n"
        );
    }
}
