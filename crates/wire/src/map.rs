//! A range of a page table.

use core::fmt;

use serde::Serialize;

use crate::Hex;

/// Neighbouring leaves that lead to neighbouring places, alike in all but that; or neighbouring entries that lead
/// nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Map<'a> {
    /// The table, by the name that `ptdump` takes.
    pub table: &'a str,
    /// First input address.
    pub ia: Hex,
    /// Bytes.
    pub size: Hex,
    /// Output address of `ia`; of a hole, 0.
    pub oa: Hex,
    /// Level of the entries.
    pub level: i8,
    /// `block`, `page`, `invalid` (a hole), or `unreadable`.
    pub kind: &'a str,
    /// What is allowed: `r`, `w`, `p` (privileged execution), `u` (unprivileged execution), each `-` where it is not.
    pub perms: &'a str,
    /// Memory type, in words.
    pub mem: &'a str,
    /// Shareability: `non`, `outer`, `inner`.
    pub sh: &'a str,
    /// The Access flag.
    pub af: bool,
    /// The Contiguous hint.
    pub contiguous: bool,
    /// The first entry's descriptor.
    pub raw: Hex,
}

/// A descriptor of a page table that is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Descriptor<'a> {
    /// The table, by the name that `ptdump` takes.
    pub table: &'a str,
    /// The first input address it is for.
    pub ia: Hex,
    /// Bytes.
    pub size: Hex,
    /// Its level.
    pub level: i8,
    /// Where it is.
    pub at: Hex,
    /// What it is.
    pub raw: Hex,
    /// `table`, `block`, `page`, `invalid`, `reserved` or `unreadable`.
    pub kind: &'a str,
    /// Where it leads; 0 if nowhere.
    pub oa: Hex,
}

record!(Descriptor<'_>, "desc");

impl fmt::Display for Descriptor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ia, at, raw, oa, .. } = self;
        write!(
            f,
            "{:#018x} level {} {:#014x}: {:#018x} {}",
            ia.0, self.level, at.0, raw.0, self.kind
        )?;
        match oa.0 {
            0 => Ok(()),
            oa => write!(f, " {oa:#014x}"),
        }
    }
}

record!(Map<'_>, "map");

impl fmt::Display for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.ia.0.wrapping_add(self.size.0);
        write!(f, "{:#018x}-{end:#018x} {} {}", self.ia.0, self.level, self.kind)?;
        if matches!(self.kind, "block" | "page") {
            write!(f, " {} -> {:#x} {} {}", self.perms, self.oa.0, self.mem, self.sh)?;
        }
        Ok(())
    }
}
