//! Sizes of memory as people and QEMU write them, and as numbers.

use std::fmt;
use std::str::FromStr;

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemorySize(u64);

/// A text that is no size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMemorySize(String);

impl fmt::Display for BadMemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no memory size; write 512M or 4G", self.0)
    }
}

impl std::error::Error for BadMemorySize {}

impl MemorySize {
    /// A size of that many MiB.
    #[must_use]
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for MemorySize {
    type Err = BadMemorySize;

    /// `1G`, `512M`, `2048K`; a number alone counts MiB, as it does for QEMU.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadMemorySize(text.to_owned());
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
            Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
            Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
            Some(b'T' | b't') => (&text[..text.len() - 1], 40),
            _ => (text, 20),
        };
        let count: u64 = digits.parse().map_err(|_| bad())?;
        let bytes = count.checked_mul(1 << shift).ok_or_else(bad)?;
        if bytes == 0 { Err(bad()) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for MemorySize {
    /// The form QEMU's `-m` takes, in the largest unit that is exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shift, unit) = match self.0.trailing_zeros() {
            30.. => (30, 'G'),
            20.. => (20, 'M'),
            _ => (10, 'K'),
        };
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_qemu_reads_them() {
        for (text, bytes) in [
            ("4G", 4 << 30),
            ("512M", 512 << 20),
            ("512", 512 << 20),
            ("64k", 64 << 10),
            ("1T", 1 << 40),
        ] {
            assert_eq!(text.parse::<MemorySize>().map(MemorySize::bytes), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_text_in_the_message() {
        for text in ["", "0", "0G", "G", "4GB", "-1G", "many", "99999999999T"] {
            let error = text.parse::<MemorySize>().unwrap_err();
            assert!(error.to_string().contains(text), "{text}");
        }
    }

    #[test]
    fn a_size_prints_as_it_was_written() {
        for text in ["4G", "512M", "1536M", "64K"] {
            assert_eq!(text.parse::<MemorySize>().unwrap().to_string(), text);
        }
    }
}
