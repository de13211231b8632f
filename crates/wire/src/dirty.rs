//! What L1 and its guests have written.

use core::fmt;

use serde::Serialize;

use crate::Hex;

/// Neighbouring pages of L1's memory that the same have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dirty {
    /// The first L1 IPA.
    pub l1: Hex,
    /// Bytes, a multiple of 4 KiB.
    pub size: Hex,
    /// Whether L1 has.
    pub by_l1: bool,
    /// The first L2 that has, by the number of the shadow it ran on then.
    pub by_shadow: Option<u16>,
    /// Whether another L2 has, too.
    pub by_others: bool,
}

record!(Dirty, "dirty");

impl fmt::Display for Dirty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.l1.0.wrapping_add(self.size.0);
        write!(f, "{:#018x}-{end:#018x} {:>9}K", self.l1.0, self.size.0 >> 10)?;
        if self.by_l1 {
            f.write_str(" L1")?;
        }
        if let Some(number) = self.by_shadow {
            write!(f, " shadow/{number}")?;
        }
        if self.by_others {
            f.write_str(" and others")?;
        }
        Ok(())
    }
}

/// All of it together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DirtySum {
    /// Pages of 4 KiB that were written.
    pub pages: u64,
    /// Pages of 4 KiB that are logged.
    pub logged: u64,
}

record!(DirtySum, "dirty_sum");

impl fmt::Display for DirtySum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} pages were written", self.pages, self.logged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_line_names_who_has_written() {
        let dirty = Dirty {
            l1: Hex(0x8000_0000),
            size: Hex(0x3000),
            by_l1: true,
            by_shadow: Some(3),
            by_others: false,
        };
        assert_eq!(
            dirty.to_string(),
            "0x0000000080000000-0x0000000080003000        12K L1 shadow/3"
        );
        let sum = DirtySum { pages: 3, logged: 512 };
        assert_eq!(sum.to_string(), "3 of 512 pages were written");
    }
}
