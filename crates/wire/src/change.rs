//! Snapshots of tables, and what differs between two.

use core::fmt;

use serde::Serialize;

use crate::Map;

/// A snapshot that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it was taken of.
    pub table: &'a str,
    /// Ranges in it: neighbouring leaves that lead to neighbouring places, alike in all but that.
    pub ranges: usize,
    /// Bytes of input addresses that they are.
    pub bytes: u64,
    /// Whether all of it is of one moment, as far as gnomon sees: the table did not change while it was taken.
    pub exact: bool,
}

record!(Snapshot<'_>, "snapshot");

impl fmt::Display for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            table,
            ranges,
            bytes,
            ..
        } = self;
        write!(f, "{name}: {table}, {} KiB in {ranges} ranges", bytes >> 10)?;
        match self.exact {
            true => Ok(()),
            false => f.write_str(", changed while it was taken"),
        }
    }
}

/// One side of a range that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Change<'a> {
    /// `-`: it was so; `+`: it is so now. A range that is something else than before has both, one after the other.
    pub change: &'a str,
    /// The range.
    pub map: Map<'a>,
}

record!(Change<'_>, "change");

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.change, self.map)
    }
}

/// How much differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChangeSum {
    /// Microseconds since the first look, where there is more than one to come; else 0.
    pub micros: u64,
    /// Ranges that differ.
    pub ranges: u64,
    /// Bytes that are mapped no longer.
    pub gone: u64,
    /// Bytes that were not mapped before.
    pub new: u64,
    /// Bytes that are mapped in another way.
    pub changed: u64,
}

record!(ChangeSum, "change_sum");

impl fmt::Display for ChangeSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            micros,
            ranges,
            gone,
            new,
            changed,
        } = self;
        if *micros > 0 {
            write!(f, "after {}.{:06} s ", micros / 1_000_000, micros % 1_000_000)?;
        }
        if *ranges == 0 {
            return f.write_str("no difference");
        }
        let kib = |bytes: &u64| bytes >> 10;
        write!(
            f,
            "{ranges} ranges differ: {} KiB gone, {} KiB new, {} KiB changed",
            kib(gone),
            kib(new),
            kib(changed)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_sum_says_what_came_and_went() {
        assert_eq!(ChangeSum::default().to_string(), "no difference");
        let sum = ChangeSum {
            micros: 1_000_020,
            ranges: 2,
            gone: 0x1000,
            new: 0x20_0000,
            changed: 0,
        };
        assert_eq!(
            sum.to_string(),
            "after 1.000020 s 2 ranges differ: 4 KiB gone, 2048 KiB new, 0 KiB changed"
        );
    }
}
