//! What a counting program says.

use std::collections::BTreeMap;

use serde::Serialize;

/// The numbers of one operation, in instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Samples {
    /// The least.
    pub min: u64,
    /// The average.
    pub mean: u64,
    /// How often it was done.
    pub count: u64,
}

/// What was measured, by the operations' names.
pub type Measured = BTreeMap<String, Samples>;

/// How often each operation entered gnomon from a lower exception level, on average.
pub type Entries = BTreeMap<String, f64>;

/// The samples among the lines of a console.
#[must_use]
pub fn of(lines: &[String]) -> Measured {
    lines.iter().filter_map(|line| parse(line)).collect()
}

/// Entries to gnomon per operation: `marks` has the sum of all entries so far where each of the `marked` operations began
/// and where it ended, in their order.
#[must_use]
pub fn entries(marked: &[&str], measured: &Measured, marks: &[u64]) -> Option<Entries> {
    let pairs = marks.chunks_exact(2);
    if pairs.len() != marked.len() || !pairs.remainder().is_empty() {
        return None;
    }
    let per_operation = |(name, pair): (&&str, &[u64])| {
        let count = measured.get(*name)?.count.max(1);
        Some(((*name).to_owned(), pair[1].checked_sub(pair[0])? as f64 / count as f64))
    };
    marked.iter().zip(pairs).map(per_operation).collect()
}

/// A line `.. BENCH NAME min A mean B count C`.
fn parse(line: &str) -> Option<(String, Samples)> {
    let (_, rest) = line.split_once(" BENCH ")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [name, "min", min, "mean", mean, "count", count] = words[..] else {
        return None;
    };
    let samples = Samples {
        min: min.parse().ok()?,
        mean: mean.parse().ok()?,
        count: count.parse().ok()?,
    };
    Some((name.to_owned(), samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_between_two_marks() {
        let samples = |count| Samples { min: 1, mean: 1, count };
        let measured = [("a", samples(10)), ("b", samples(4))].map(|(name, one)| (name.to_owned(), one));
        let measured = Measured::from(measured);
        let found = entries(&["a", "b"], &measured, &[100, 130, 200, 210]).unwrap();
        assert_eq!(found, [("a".to_owned(), 3.0), ("b".to_owned(), 2.5)].into());
        assert_eq!(entries(&["a", "b"], &measured, &[100, 130, 200]), None);
        assert_eq!(entries(&["a"], &measured, &[100, 130, 200, 210]), None);
    }

    #[test]
    fn lines_that_count_are_found_among_others() {
        let lines = [
            "P BENCH smc min 197 mean 198 count 100\r",
            "vmm: BENCH hvc min 5 mean 7 count 1000",
            "P BENCH smc min mean count",
            "P OK",
        ];
        let measured = of(&lines.map(str::to_owned));
        let samples = |min, mean, count| Samples { min, mean, count };
        let expected = [("hvc", samples(5, 7, 1000)), ("smc", samples(197, 198, 100))];
        assert_eq!(measured, expected.map(|(name, one)| (name.to_owned(), one)).into());
    }
}
