//! Stage-1 ranges and descriptors in words, for people.

use core::fmt;

use super::{
    attrs::Stage1Attrs,
    config::{Stage1Config, Stage1Range},
};
use crate::{DescriptorKind, Level, Size};

/// What one descriptor of a stage 1 says by itself: what tables above it take away is not counted.
#[derive(Clone, Copy, Debug)]
pub struct Stage1Words<'a> {
    /// The stage.
    pub cfg: &'a Stage1Config,
    /// The range that its table translates.
    pub range: &'a Stage1Range,
    /// Its level.
    pub level: Level,
    /// The descriptor, in the byte order of this CPU; `None` where it cannot be read.
    pub raw: Option<u64>,
}

impl Stage1Words<'_> {
    fn write_leaf(&self, f: &mut fmt::Formatter<'_>, at: u64, raw: u64) -> fmt::Result {
        let attrs = Stage1Attrs::decode(raw, 0, &self.cfg.context(self.range));
        let kind = if self.level == Level::THREE { "page" } else { "block" };
        let size = Size(self.range.format.granule.entry_bytes(self.level));
        write!(f, "{kind} {at:#x} ({size}), {} {} {}", attrs.perms, attrs.mem, attrs.sh)?;
        f.write_str(if attrs.af { ", AF" } else { ", no AF" })?;
        for (is_set, word) in [
            (attrs.not_global, ", nG"),
            (attrs.guarded, ", GP"),
            (attrs.contiguous, ", contiguous"),
        ] {
            f.write_str(if is_set { word } else { "" })?;
        }
        Ok(())
    }

    fn write_table(&self, f: &mut fmt::Formatter<'_>, at: u64, raw: u64) -> fmt::Result {
        write!(f, "table {at:#x}")?;
        let has_el0 = self.cfg.regime.has_el0();
        for (bit, applies, word) in [
            (61, has_el0, ", no EL0"),
            (62, true, ", read-only"),
            (60, true, if has_el0 { ", UXN" } else { ", XN" }),
            (59, has_el0, ", PXN"),
        ] {
            if self.range.is_hierarchical && applies && raw >> bit & 1 != 0 {
                f.write_str(word)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Stage1Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(raw) = self.raw else {
            return f.write_str("unreadable");
        };
        match self.range.format.decode(raw, self.level, self.range.oa_bits) {
            DescriptorKind::Invalid if raw & 1 == 0 => f.write_str("invalid"),
            DescriptorKind::Invalid => f.write_str("reserved: there are no blocks at this level"),
            DescriptorKind::OutOfRange => write!(f, "beyond the {}-bit output size", self.range.oa_bits),
            DescriptorKind::Table(at) => self.write_table(f, at, raw),
            DescriptorKind::Leaf(at) => self.write_leaf(f, at, raw),
        }
    }
}

/// `4K granule, 48-bit input from level 0, 48-bit output, root 0x48000000`
impl fmt::Display for Stage1Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} granule, {}-bit input from {}, {}-bit output, root {:#x}",
            self.format.granule, self.ia_bits, self.start_level, self.oa_bits, self.root
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        stage1::{Regime, Stage1Registers},
        testing::STAGE1_LIMITS,
    };
    use std::string::{String, ToString};

    fn words(tcr: u64, level: Level, raw: Option<u64>) -> String {
        let registers = Stage1Registers {
            tcr: 25 | 16 << 16 | 0b10 << 30 | 0b010 << 32 | tcr,
            ttbr0: 0x4800_0000,
            mair: 0xff,
            ..Stage1Registers::default()
        };
        let cfg = Stage1Config::from_registers(Regime::El1And0, &registers, &STAGE1_LIMITS);
        let range = cfg.lower.unwrap();
        let range_words = range.to_string();
        assert_eq!(
            range_words,
            "4K granule, 39-bit input from level 1, 40-bit output, root 0x48000000"
        );
        Stage1Words {
            cfg: &cfg,
            range: &range,
            level,
            raw,
        }
        .to_string()
    }

    #[test]
    fn descriptors_are_said_in_words() {
        for (level, raw, expected) in [
            (Level::ONE, None, "unreadable"),
            (Level::ONE, Some(2), "invalid"),
            (Level::THREE, Some(1), "reserved: there are no blocks at this level"),
            (Level::TWO, Some(1 << 40 | 3), "beyond the 40-bit output size"),
            (
                Level::TWO,
                Some(0x4900_0003 | 0xf << 59),
                "table 0x49000000, no EL0, read-only, UXN, PXN",
            ),
            (
                Level::TWO,
                Some(0x4900_0701),
                "block 0x49000000 (2M), rwx/--x normal-wb inner, AF",
            ),
            (
                Level::THREE,
                Some(0x4900_0843 | 1 << 52 | 1 << 50),
                "page 0x49000000 (4K), rw-/rwx normal-wb non, no AF, nG, GP, contiguous",
            ),
        ] {
            assert_eq!(words(0, level, raw), expected);
        }
    }

    #[test]
    fn table_restrictions_that_do_not_count_are_not_said() {
        assert_eq!(
            words(1 << 41, Level::TWO, Some(0x4900_0003 | 0xf << 59)),
            "table 0x49000000"
        );
    }
}
