//! Descriptors one a line, as they are in memory, those that lead to tables too.

use core::fmt;

use crate::{EntryKind, Found, Level, Size, TableFormat};

/// One descriptor of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Where it is.
    pub at: u64,
    /// The first input address it covers.
    pub ia: u64,
    /// The bytes of input address space it covers.
    pub size: u64,
    /// Its level.
    pub level: Level,
    /// The descriptor, in the byte order of this CPU; 0 where it cannot be read.
    pub raw: u64,
    /// What it means at its level.
    pub meaning: Meaning,
}

/// What a descriptor means at its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The table of the next level is at this address.
    Table(u64),
    /// A leaf above level 3 that leads to this address.
    Block(u64),
    /// A leaf at level 3 that leads to this address.
    Page(u64),
    /// Bit 0 is clear.
    Invalid,
    /// Bit 0 is set, and any access faults all the same: no leaves at this level, or an address that is too large.
    Reserved,
    /// Nobody can read it.
    Unreadable,
}

impl Meaning {
    /// Its name in a dump.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table(_) => "table",
            Self::Block(_) => "block",
            Self::Page(_) => "page",
            Self::Invalid => "invalid",
            Self::Reserved => "reserved",
            Self::Unreadable => "unreadable",
        }
    }

    /// The address it leads to.
    #[must_use]
    pub const fn address(self) -> Option<u64> {
        match self {
            Self::Table(at) | Self::Block(at) | Self::Page(at) => Some(at),
            Self::Invalid | Self::Reserved | Self::Unreadable => None,
        }
    }
}

impl Descriptor {
    /// What a survey of tables in `format` came across.
    #[must_use]
    pub fn of(found: &Found, format: TableFormat) -> Self {
        match *found {
            Found::Table(link) => Self {
                at: link.at,
                ia: link.ia,
                size: link.size,
                level: link.level,
                raw: link.raw,
                meaning: Meaning::Table(link.table),
            },
            Found::Entry { at, entry } => {
                let output = format.address(entry.raw) & !(entry.size - 1);
                Self {
                    at,
                    ia: entry.ia,
                    size: entry.size,
                    level: entry.level,
                    raw: entry.raw,
                    meaning: match entry.kind {
                        EntryKind::Unreadable => Meaning::Unreadable,
                        EntryKind::Leaf if entry.level == Level::THREE => Meaning::Page(output),
                        EntryKind::Leaf => Meaning::Block(output),
                        EntryKind::Invalid if entry.raw & 1 == 0 => Meaning::Invalid,
                        EntryKind::Invalid => Meaning::Reserved,
                    },
                }
            }
        }
    }

    /// Whether there is nothing to see: all bits are clear, as in most of a table.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.raw == 0 && matches!(self.meaning, Meaning::Invalid)
    }
}

/// `0x<ia>-0x<end> <size> <level> 0x<where>: 0x<descriptor> <meaning>`
impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, unit) = Size(self.size).in_units();
        let end = self.ia.wrapping_add(self.size);
        write!(
            f,
            "0x{:016x}-0x{end:016x} {size:4}{unit} {:2} ",
            self.ia,
            self.level.get()
        )?;
        write!(f, "0x{:012x}: 0x{:016x} {}", self.at, self.raw, self.meaning.name())?;
        match self.meaning.address() {
            Some(at) => write!(f, " 0x{at:012x}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Enter, Granule, L1,
        stage2::{Stage2Config, survey},
        testing::{LIMITS, Words, vtcr},
    };
    use std::{string::String, string::ToString};

    #[test]
    fn each_descriptor_that_is_not_zero_has_its_line() {
        const ROOT: u64 = 0x10_0000;
        let mut mem = Words::default();
        mem.add(ROOT, 0x3000);
        mem.set(ROOT, (ROOT + 0x1000) | 3);
        mem.set(ROOT + 8, 0x4000_04c1);
        mem.set(ROOT + 16, 0xf0);
        mem.set(ROOT + 24, 0x66_6000 | 3);
        mem.set(ROOT + 0x1000, (ROOT + 0x2000) | 3);
        mem.set(ROOT + 0x2000 + 8, 0x8000_0443);
        mem.set(ROOT + 0x2000 + 16, 0x8000_0441);
        let config = Stage2Config::from_registers(vtcr(Granule::K4, 32, 1), ROOT, &LIMITS).unwrap();
        let mut lines = String::new();
        survey::<L1>(&config, &mem, 0, usize::MAX, &mut |found| {
            let desc = Descriptor::of(&found, config.format());
            if !desc.is_zero() && !lines.contains("unreadable") {
                lines += &desc.to_string();
                lines.push('\n');
            }
            Enter::Yes
        });
        assert_eq!(
            lines,
            "\
0x0000000000000000-0x0000000040000000    1G  1 0x000000100000: 0x0000000000101003 table 0x000000101000
0x0000000000000000-0x0000000000200000    2M  2 0x000000101000: 0x0000000000102003 table 0x000000102000
0x0000000000001000-0x0000000000002000    4K  3 0x000000102008: 0x0000000080000443 page 0x000080000000
0x0000000000002000-0x0000000000003000    4K  3 0x000000102010: 0x0000000080000441 reserved
0x0000000040000000-0x0000000080000000    1G  1 0x000000100008: 0x00000000400004c1 block 0x000040000000
0x0000000080000000-0x00000000c0000000    1G  1 0x000000100010: 0x00000000000000f0 invalid
0x00000000c0000000-0x0000000100000000    1G  1 0x000000100018: 0x0000000000666003 table 0x000000666000
0x00000000c0000000-0x00000000c0200000    2M  2 0x000000666000: 0x0000000000000000 unreadable
"
        );
    }
}
