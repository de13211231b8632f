//! Both sides of each operation, as a table and as JSON.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::operations::Operation;
use super::samples::Samples;

/// An operation with what was measured.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The operation.
    pub operation: &'static Operation,
    /// At QEMU's own EL2.
    pub native: Samples,
    /// Under gnomon.
    pub gnomon: Samples,
    /// How often it entered gnomon from a lower exception level, on average, where that was counted.
    pub entries: Option<f64>,
}

impl Row {
    /// The most that it may take, if that is laid down.
    fn budget(&self) -> Option<u64> {
        let of_native = |percent| self.native.mean * percent / 100;
        self.operation
            .budget
            .or_else(|| self.operation.budget_percent.map(of_native))
    }

    /// Whether the average under gnomon is within the budget, if there is one.
    #[must_use]
    pub fn is_within_budget(&self) -> bool {
        let of_entries = self.operation.entries_max.zip(self.entries);
        self.budget().is_none_or(|budget| self.gnomon.mean <= budget)
            && of_entries.is_none_or(|(most, entries)| entries <= most as f64)
    }

    fn ratio(&self) -> f64 {
        self.gnomon.mean as f64 / self.native.mean.max(1) as f64
    }
}

/// A table of averages. What is over its budget is marked.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<42} {:>13} {:>13} {:>9} {:>13} {:>8}  {:>25}\n",
        "operation", "native", "gnomon", "ratio", "budget", "entries", "KVM"
    );
    for row in rows {
        let operation = row.operation;
        let mark = if row.is_within_budget() { "" } else { "  over budget" };
        let line = format!(
            "{:<42} {:>13} {:>13} {:>9.2} {:>13} {:>8}  {:>25}{mark}",
            operation.description,
            grouped(row.native.mean),
            grouped(row.gnomon.mean),
            row.ratio(),
            row.budget().map_or_else(String::new, grouped),
            row.entries.map_or_else(String::new, |entries| format!("{entries:.1}")),
            operation.kvm.map_or_else(String::new, range),
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let over = rows.iter().filter(|row| !row.is_within_budget()).count();
    let budgets = rows.iter().filter(|row| row.budget().is_some()).count();
    let _ = writeln!(text, "instructions on average; {over} of {budgets} budgets broken");
    text
}

/// One object a row, a line each.
///
/// # Errors
///
/// None in practice: numbers and names can be written.
pub fn json(rows: &[Row]) -> Result<String> {
    #[derive(Serialize)]
    struct Record {
        name: &'static str,
        operation: &'static str,
        native: Samples,
        gnomon: Samples,
        ratio: f64,
        budget: Option<u64>,
        entries: Option<f64>,
        kvm: Option<(u64, u64)>,
        is_within_budget: bool,
    }
    let mut text = String::new();
    for row in rows {
        let record = Record {
            name: row.operation.name,
            operation: row.operation.description,
            native: row.native,
            gnomon: row.gnomon,
            ratio: row.ratio(),
            budget: row.budget(),
            entries: row.entries,
            kvm: row.operation.kvm,
            is_within_budget: row.is_within_budget(),
        };
        text.push_str(&serde_json::to_string(&record)?);
        text.push('\n');
    }
    Ok(text)
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// From and to, or the one number that both are.
fn range((from, to): (u64, u64)) -> String {
    if from == to {
        grouped(from)
    } else {
        format!("{}-{}", grouped(from), grouped(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::operations::OPERATIONS;

    fn row(name: &str, native: u64, gnomon: u64) -> Row {
        let samples = |mean| Samples {
            min: mean,
            mean,
            count: 10,
        };
        Row {
            operation: OPERATIONS.iter().find(|operation| operation.name == name).unwrap(),
            native: samples(native),
            gnomon: samples(gnomon),
            entries: None,
        }
    }

    #[test]
    fn only_what_is_over_its_budget_is_marked() {
        let rows = [
            row("eret-vel2", 1, 100),
            row("tlbi-stage1", 1, 201),
            row("smc", 1, 9999),
        ];
        let text = table(&rows);
        let marked: Vec<bool> = text.lines().map(|line| line.contains("over budget")).collect();
        assert_eq!(marked, [false, false, true, false, false], "{text}");
        assert!(text.ends_with("1 of 2 budgets broken\n"), "{text}");
    }

    #[test]
    fn entries_have_a_budget_too() {
        let with = |entries| Row {
            entries: Some(entries),
            ..row("hvc", 1000, 2000)
        };
        assert_eq!([with(6.0), with(6.1)].map(|row| row.is_within_budget()), [true, false]);
    }

    #[test]
    fn a_budget_may_be_a_share_of_what_it_takes_natively() {
        let rows = [row("l2-boot", 1000, 1030), row("l2-boot", 1000, 1031)];
        assert_eq!(rows.map(|row| row.is_within_budget()), [true, false]);
    }

    #[test]
    fn an_object_has_what_the_table_has() {
        let text = json(&[row("eret-vel2", 1, 145)]).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["gnomon"]["mean"], 145);
        assert_eq!(value["budget"], 100);
        assert_eq!(value["kvm"], serde_json::json!([392, 392]));
        assert_eq!(value["is_within_budget"], false);
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (135_000_000, "135 000 000")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(range((3600, 4300)), "3 600-4 300");
    }
}
