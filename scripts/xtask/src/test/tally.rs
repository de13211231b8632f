//! Counting tests.

use std::fmt;

/// How many passed and how many failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u32,
    pub(super) failed: u32,
}

impl Tally {
    /// A single test.
    pub(super) fn one(passed: bool) -> Self {
        Self {
            passed: u32::from(passed),
            failed: u32::from(!passed),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Reads libtest's closing line of one test program:
    /// `test result: ok. 5 passed; 0 failed; 0 ignored; ...`.
    pub(super) fn parse_libtest(line: &str) -> Option<Self> {
        let counts = line.trim().strip_prefix("test result: ")?.split_once(". ")?.1;
        let mut parts = counts.split("; ");
        let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
        let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
        Some(Self { passed, failed })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtests_closing_line_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(Tally::parse_libtest(line), Some(Tally { passed: 12, failed: 3 }));
        assert_eq!(Tally::parse_libtest("test cpio::tests::x ... ok"), None);
        assert_eq!(Tally::parse_libtest("test result: odd"), None);
    }

    #[test]
    fn the_summary_has_the_form_that_ci_reads() {
        let mut tally = Tally::one(true);
        tally.add(Tally::one(false));
        assert_eq!(tally.to_string(), "1 passed, 1 failed");
    }
}
