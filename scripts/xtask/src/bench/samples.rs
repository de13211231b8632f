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

/// The samples among the lines of a console.
#[must_use]
pub fn of(lines: &[String]) -> Measured {
    lines.iter().filter_map(|line| parse(line)).collect()
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
