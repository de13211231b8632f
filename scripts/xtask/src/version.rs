//! Version numbers: Debian's, and the one QEMU prints.
//!
//! Two questions are asked of versions here: which of several packages is the
//! newest (the archive moves on and a pinned version disappears), and whether
//! the QEMU in `PATH` is new enough. Both need an order, and Debian's order is
//! not the alphabet's: `1.10` is newer than `1.9`, and `1.0~rc1` is older than
//! `1.0`.

use std::cmp::Ordering;
use std::fmt;

/// Compares two Debian version strings by the rules of Debian Policy 5.6.12:
/// epoch, then upstream version, then revision.
///
/// ```
/// # use std::cmp::Ordering;
/// # use xtask::version::compare_debian;
/// assert_eq!(compare_debian("1:7.2", "10.0"), Ordering::Greater);
/// ```
#[must_use]
pub fn compare_debian(a: &str, b: &str) -> Ordering {
    let (epoch_a, upstream_a, revision_a) = split_debian(a);
    let (epoch_b, upstream_b, revision_b) = split_debian(b);
    compare_numbers(epoch_a, epoch_b)
        .then_with(|| compare_part(upstream_a, upstream_b))
        .then_with(|| compare_part(revision_a, revision_b))
}

/// Splits `[epoch:]upstream[-revision]`; a missing epoch or revision is "0".
fn split_debian(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    (epoch, upstream, revision)
}

/// Compares runs of non-digits and runs of digits in turn.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = split_at_digits(a, false);
        let (text_b, rest_b) = split_at_digits(b, false);
        let (digits_a, rest_a) = split_at_digits(rest_a, true);
        let (digits_b, rest_b) = split_at_digits(rest_b, true);
        let order = compare_text(text_a, text_b).then_with(|| compare_numbers(digits_a, digits_b));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// The longest prefix made only of digits (`digits`) or of anything else.
fn split_at_digits(text: &str, digits: bool) -> (&str, &str) {
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

/// `~` sorts before the end of the part, letters before every other character.
fn compare_text(a: &str, b: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i64::from(u32::from(c)),
        Some(c) => i64::from(u32::from(c)) + 256,
    };
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let (x, y) = (a.next(), b.next());
        if x.is_none() && y.is_none() {
            return Ordering::Equal;
        }
        match weight(x).cmp(&weight(y)) {
            Ordering::Equal => {}
            order => return order,
        }
    }
}

/// Compares digit strings of any length as numbers.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// A version of QEMU, as `--version` prints it. The micro number is left out:
/// nothing here depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QemuVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

/// The oldest QEMU that emulates `FEAT_NV2` well enough for a nested hypervisor.
pub const QEMU_MINIMUM: QemuVersion = QemuVersion { major: 10, minor: 0 };

impl QemuVersion {
    /// Reads the first line of `qemu-system-aarch64 --version`, whatever a
    /// distribution has put around the number.
    #[must_use]
    pub fn parse(output: &str) -> Option<Self> {
        let after = output.split("version ").nth(1)?;
        let mut numbers = after.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for QemuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_versions_are_ordered_as_policy_says() {
        let ascending = [
            "0.9~~",
            "0.9~",
            "0.9",
            "0.9a",
            "0.9+b1",
            "1.0~rc1-1",
            "1.0-1~bpo12+1",
            "1.0-1",
            "1.0-1+b1",
            "1.9-1",
            "1.10-1",
            "6.12.95-1~bpo12+1",
            "6.12.117-1~deb12u1",
            "1:0.1",
            "1:7.2+dfsg-7+deb12u15",
            "1:7.2+dfsg-7+deb12u18+b3",
            "1:10.0.2+ds-2+deb13u1~bpo12+1",
            "2:0",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare_debian(a, b), i.cmp(&j), "{a} against {b}");
            }
        }
    }

    #[test]
    fn leading_zeros_do_not_count() {
        assert_eq!(compare_debian("1.05-1", "1.5-1"), Ordering::Equal);
    }

    #[test]
    fn qemu_version_is_read_from_distributions_lines() {
        let cases = [
            (
                "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)",
                (10, 0),
            ),
            ("QEMU emulator version 7.2.19 (Debian 1:7.2+dfsg-7+deb12u15)", (7, 2)),
            ("QEMU emulator version 9.2.4 (qemu-9.2.4-2.fc42)\nCopyright (c)", (9, 2)),
            ("QEMU emulator version 11.0.50 (v11.0.0-12-gabc)", (11, 0)),
            ("QEMU emulator version 10.1", (10, 1)),
        ];
        for (line, (major, minor)) in cases {
            assert_eq!(QemuVersion::parse(line), Some(QemuVersion { major, minor }), "{line}");
        }
        assert_eq!(QemuVersion::parse("qemu: command not found"), None);
        assert_eq!(QemuVersion::parse("QEMU emulator version unknown"), None);
    }

    #[test]
    fn an_older_qemu_is_below_the_minimum() {
        assert!(QemuVersion { major: 9, minor: 2 } < QEMU_MINIMUM);
        assert!(QemuVersion { major: 10, minor: 0 } >= QEMU_MINIMUM);
        assert!(QemuVersion { major: 11, minor: 0 } >= QEMU_MINIMUM);
    }
}
