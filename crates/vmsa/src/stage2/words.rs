//! Stage-2 configurations and descriptors in words, for people.

use core::fmt;

use super::config::Stage2Config;
use crate::{DescriptorKind, Level, Size};

/// What one descriptor of a stage 2 says.
#[derive(Clone, Copy, Debug)]
pub struct Stage2Words<'a> {
    /// How its table is read.
    pub cfg: &'a Stage2Config,
    /// Its level.
    pub level: Level,
    /// The descriptor, in the byte order of this CPU; `None` where it cannot be read.
    pub raw: Option<u64>,
}

impl fmt::Display for Stage2Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(raw) = self.raw else {
            return f.write_str("unreadable");
        };
        let format = self.cfg.format();
        match format.decode(raw, self.level, self.cfg.oa_bits) {
            DescriptorKind::Invalid if raw & 1 == 0 => f.write_str("invalid"),
            DescriptorKind::Invalid => f.write_str("reserved: there are no blocks at this level"),
            DescriptorKind::OutOfRange => write!(f, "beyond the {}-bit output size", self.cfg.oa_bits),
            DescriptorKind::Table(at) => write!(f, "table {at:#x}"),
            DescriptorKind::Leaf(at) => {
                let attrs = self.cfg.attrs_of(raw);
                let kind = if self.level == Level::THREE { "page" } else { "block" };
                let size = Size(format.granule.entry_bytes(self.level));
                write!(f, "{kind} {at:#x} ({size}), {} {} {}", attrs.perms, attrs.mem, attrs.sh)?;
                f.write_str(if attrs.af { ", AF" } else { ", no AF" })?;
                f.write_str(if attrs.contiguous { ", contiguous" } else { "" })
            }
        }
    }
}

/// `4K, 40-bit IPA from level 1, root 0x48000000`
impl fmt::Display for Stage2Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} granule, {}-bit input from {}, {}-bit output, root {:#x}",
            self.granule, self.ipa_bits, self.start_level, self.oa_bits, self.root
        )?;
        if self.big_endian {
            f.write_str(", big-endian")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Granule,
        testing::{LIMITS, vtcr},
    };
    use std::string::ToString;

    fn config() -> Stage2Config {
        Stage2Config::from_registers(vtcr(Granule::K4, 40, 1), 0x4800_0000, &LIMITS).unwrap()
    }

    #[test]
    fn descriptors_are_said_in_words() {
        let cfg = Stage2Config {
            oa_bits: 40,
            ..config()
        };
        let words = |level, raw| Stage2Words { cfg: &cfg, level, raw }.to_string();
        for (level, raw, expected) in [
            (Level::ONE, None, "unreadable"),
            (Level::ONE, Some(0xf0), "invalid"),
            (Level::THREE, Some(1), "reserved: there are no blocks at this level"),
            (Level::TWO, Some(1 << 40 | 3), "beyond the 40-bit output size"),
            (Level::TWO, Some(0x4900_0003), "table 0x49000000"),
            (
                Level::TWO,
                Some(0x4900_00c1 | 0x71c),
                "block 0x49000000 (2M), rwx as-stage-1 inner, AF",
            ),
            (
                Level::THREE,
                Some(0x4900_0043 | 1 << 52 | 0b10 << 53),
                "page 0x49000000 (4K), r-- device-nGnRnE non, no AF, contiguous",
            ),
        ] {
            assert_eq!(words(level, raw), expected);
        }
    }

    #[test]
    fn a_configuration_is_said_in_words() {
        let words = "4K granule, 40-bit input from level 1, 48-bit output, root 0x48000000";
        assert_eq!(config().to_string(), words);
    }
}
