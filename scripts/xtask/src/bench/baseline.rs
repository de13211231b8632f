//! Recorded counts, which a test compares with: instructions on average under gnomon, `name count` a line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::project::Project;

use super::operations::OPERATIONS;
use super::samples::Measured;

/// How far a count may be from the recorded one, in percent.
const TOLERANCE: u64 = 2;

/// Where the counts are recorded.
#[must_use]
pub fn path(project: &Project) -> PathBuf {
    project.root().join("tests/golden/bench.txt")
}

/// The text to record.
#[must_use]
pub fn text(measured: &Measured) -> String {
    let mut text = String::from(
        "# Instructions on average under gnomon, written by scripts/bench --record.\n\
         # The system test `bench_counts_are_as_recorded` compares with them.\n",
    );
    for (name, samples) in measured {
        let _ = writeln!(text, "{name} {}", samples.mean);
    }
    text
}

/// What differs from the recorded text, a line each.
#[must_use]
pub fn differences(recorded: &str, measured: &Measured) -> Vec<String> {
    let recorded = parse(recorded);
    let missing = recorded.keys().filter(|name| !measured.contains_key(**name));
    let missing = missing.map(|name| format!("{name}: recorded, but not counted"));
    let others = measured.iter().filter_map(|(name, samples)| {
        let count = samples.mean;
        match recorded.get(name.as_str()) {
            None => Some(format!("{name}: {count}, and nothing is recorded")),
            Some(&was) if count.abs_diff(was) * 100 > was * TOLERANCE => {
                Some(format!("{name}: {count}, recorded {was}"))
            }
            Some(_) => None,
        }
    });
    missing.chain(others).collect()
}

/// What costs more with more around it, a line each.
#[must_use]
pub fn growth(measured: &Measured) -> Vec<String> {
    let pairs = OPERATIONS.iter().filter_map(|one| {
        let alone = measured.get(one.like?)?.mean;
        Some((one, measured.get(one.name)?.mean, alone))
    });
    pairs
        .filter(|(_, count, alone)| count * 100 > alone * (100 + TOLERANCE))
        .map(|(one, count, alone)| format!("{}: {count}, and {alone} without", one.description))
        .collect()
}

/// The counts by name. A line that is none is passed over: its name is then missed.
fn parse(text: &str) -> BTreeMap<&str, u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once(' '));
    pairs
        .filter_map(|(name, count)| Some((name, count.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::samples::Samples;

    fn measured(counts: &[(&str, u64)]) -> Measured {
        let samples = |mean| Samples {
            min: mean,
            mean,
            count: 1,
        };
        counts
            .iter()
            .map(|(name, mean)| ((*name).to_owned(), samples(*mean)))
            .collect()
    }

    #[test]
    fn what_was_recorded_does_not_differ() {
        let counts = measured(&[("at", 572), ("smc", 197)]);
        assert!(differences(&text(&counts), &counts).is_empty());
    }

    #[test]
    fn more_than_two_percent_differ_in_both_directions() {
        for (count, differs) in [(980, false), (1020, false), (979, true), (1021, true)] {
            let differences = differences("smc 1000", &measured(&[("smc", count)]));
            assert_eq!(!differences.is_empty(), differs, "{count}");
        }
    }

    #[test]
    fn what_costs_more_among_others_grows() {
        let counts = |more| measured(&[("l2-hvc", 1000), ("l2-hvc-64-vms", more), ("smc", 1)]);
        assert!(growth(&counts(1020)).is_empty() && growth(&counts(900)).is_empty());
        assert_eq!(
            growth(&counts(1021)),
            ["HVC L2 to L1, 64 VMs alive: 1021, and 1000 without"]
        );
    }

    #[test]
    fn what_only_one_side_has_is_named() {
        let differences = differences("at 1\n", &measured(&[("smc", 197)]));
        assert_eq!(
            differences,
            ["at: recorded, but not counted", "smc: 197, and nothing is recorded"]
        );
    }
}
