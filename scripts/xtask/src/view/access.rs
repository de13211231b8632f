//! What a leaf allows, and the colours of it.

use std::fmt;

/// Permissions of a stage-2 leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a permission of its own")]
pub struct Access {
    /// Data reads.
    pub read: bool,
    /// Data writes.
    pub write: bool,
    /// Execution at EL1.
    pub px: bool,
    /// Execution at EL0.
    pub ux: bool,
}

/// The kinds of permission that have a colour of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Read, write and execute, at EL1, EL0 or both.
    ReadWriteExecute,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
    /// Read.
    Read,
    /// Anything else: write only, execute only, nothing.
    Other,
}

impl Access {
    /// Reads the letters of a record: `r`, `w`, `p` (EL1 executes), `u` (EL0 executes).
    #[must_use]
    pub fn from_letters(letters: &str) -> Self {
        Self {
            read: letters.contains('r'),
            write: letters.contains('w'),
            px: letters.contains('p'),
            ux: letters.contains('u'),
        }
    }

    /// The kind that gives it its colour.
    #[must_use]
    pub fn class(self) -> Class {
        match (self.read, self.write, self.px || self.ux) {
            (true, true, true) => Class::ReadWriteExecute,
            (true, true, false) => Class::ReadWrite,
            (true, false, true) => Class::ReadExecute,
            (true, false, false) => Class::Read,
            (false, ..) => Class::Other,
        }
    }
}

/// In the words of Linux's ptdump.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let execute = match (self.px, self.ux) {
            (true, true) => "px ux",
            (false, true) => "PXN ux",
            (true, false) => "px UXN",
            (false, false) => "PXN UXN",
        };
        let (read, write) = (if self.read { "R " } else { "" }, if self.write { "W " } else { "" });
        write!(f, "{read}{write}{execute}")
    }
}

impl Class {
    /// All, in the order of the legend.
    pub const ALL: [Self; 5] = [
        Self::ReadWriteExecute,
        Self::ReadWrite,
        Self::ReadExecute,
        Self::Read,
        Self::Other,
    ];

    /// Its name in style sheets, and the page's data.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::ReadWriteExecute => "rwx",
            Self::ReadWrite => "rw",
            Self::ReadExecute => "rx",
            Self::Read => "ro",
            Self::Other => "other",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::ReadWriteExecute => "read, write, execute",
            Self::ReadWrite => "read, write",
            Self::ReadExecute => "read, execute",
            Self::Read => "read",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_spelled_as_in_ptdump_and_classed_by_what_they_allow() {
        for (letters, text, class) in [
            ("rwpu", "R W px ux", "rwx"),
            ("rw", "R W PXN UXN", "rw"),
            ("rw--", "R W PXN UXN", "rw"),
            ("rp", "R px UXN", "rx"),
            ("ru", "R PXN ux", "rx"),
            ("r", "R PXN UXN", "ro"),
            ("w", "W PXN UXN", "other"),
            ("", "PXN UXN", "other"),
        ] {
            let access = Access::from_letters(letters);
            assert_eq!((access.to_string().as_str(), access.class().id()), (text, class));
        }
    }
}
