//! `payload/packages.lock`: which packages, at which version, with which checksum.
//!
//! One package a line, five columns: suite, package, version, architecture,
//! SHA-256 of the `.deb`. The suite says where to look; the checksum is what is
//! trusted. When the archive has moved on and a pinned version is gone, setup
//! takes the newest of the same suite family and keeps what it took in a second
//! file of the same format (see [`crate::payload`]).

use std::fmt;

/// One pinned package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Suite of the archive, such as `bookworm-security`.
    pub suite: String,
    /// Name of the binary package.
    pub name: String,
    /// Debian version, with its epoch.
    pub version: String,
    /// `arm64` or `all`.
    pub arch: String,
    /// SHA-256 of the package file, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// A line that is no package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for BadLine {}

impl Package {
    /// The file name the archive gives the package: the epoch's colon is written `%3a`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}_{}_{}.deb", self.name, self.version.replace(':', "%3a"), self.arch)
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<18} {:<32} {:<32} {:<5} {}",
            self.suite, self.name, self.version, self.arch, self.sha256
        )
    }
}

/// Reads a lock file. Empty lines and lines that begin with `#` say nothing.
///
/// # Errors
///
/// [`BadLine`] for the first line that is neither.
pub fn parse(text: &str) -> Result<Vec<Package>, BadLine> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(index, line)| parse_line(line).map_err(|why| BadLine { line: index + 1, why }))
        .collect()
}

fn parse_line(line: &str) -> Result<Package, &'static str> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let [suite, name, version, arch, sha256] = columns[..] else {
        return Err("expected five columns: suite, package, version, architecture, sha256");
    };
    if sha256.len() != 64 || !sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("the checksum must be 64 lower-case hexadecimal digits");
    }
    Ok(Package {
        suite: suite.to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        arch: arch.to_owned(),
        sha256: sha256.to_owned(),
    })
}

/// Writes a lock file that [`parse`] reads back; `head` goes above it as a comment.
#[must_use]
pub fn format(head: &str, packages: &[Package]) -> String {
    let mut text = String::new();
    for line in head.lines() {
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
    }
    for package in packages {
        text.push_str(&package.to_string());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Package {
        Package {
            suite: "bookworm".into(),
            name: "libpng16-16".into(),
            version: "1:1.6.39-2+deb12u6".into(),
            arch: "arm64".into(),
            sha256: "0123456789abcdef".repeat(4),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let packages = vec![
            package(),
            Package {
                name: "zlib1g".into(),
                ..package()
            },
        ];
        let text = format("two\n\npackages", &packages);
        assert!(text.starts_with("# two\n#\n# packages\nbookworm "));
        assert_eq!(parse(&text), Ok(packages));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let error = parse("# head\n\nbookworm libc6 2.36 arm64\n").unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.to_string().contains("five columns"));
    }

    #[test]
    fn a_checksum_that_is_none_is_refused() {
        for checksum in ["abc".to_owned(), "0".repeat(63) + "G", "A".repeat(64)] {
            let line = format!("bookworm libc6 2.36 arm64 {checksum}");
            assert!(parse(&line).is_err(), "{checksum}");
        }
    }

    #[test]
    fn the_epoch_is_escaped_in_file_names() {
        assert_eq!(package().file_name(), "libpng16-16_1%3a1.6.39-2+deb12u6_arm64.deb");
    }
}
