//! What Linux's columns leave out: where a range leads, and as what kind of memory.
//!
//! With a [`LeafFormat`] a dump has four more columns, and a run also ends where one of them would change: the output
//! address goes on as the input address does, memory type, shareability and the Contiguous hint stay. So each line is
//! one stretch of memory. What Linux prints of it stays as it is, in front.

use core::fmt;

use crate::{
    AddressField, Granule, Level, TableFormat,
    stage1::{MairAttr, Stage1Range},
    stage2::{MemType, Shareability, Stage2Config},
};

/// How the leaves of a table are read beyond what Linux prints of them.
#[derive(Clone, Copy, Debug)]
pub enum LeafFormat {
    /// Of a stage 2.
    Stage2(Stage2Config),
    /// Of a stage 1.
    Stage1 {
        /// Where descriptors have their addresses.
        format: TableFormat,
        /// The shareability of leaves that have none of their own.
        sh: Shareability,
        /// The regime's `MAIR_ELx`.
        mair: u64,
    },
}

/// A memory type, as the stage that gives it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryType {
    /// Of a stage 2.
    Stage2(MemType),
    /// Of a stage 1.
    Stage1(MairAttr),
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage2(mem) => mem.fmt(f),
            Self::Stage1(mem) => mem.fmt(f),
        }
    }
}

/// What a leaf, or a run of them, says of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where the first address leads.
    pub output: u64,
    /// The memory type.
    pub mem: MemoryType,
    /// The shareability.
    pub sh: Shareability,
    /// The Contiguous hint.
    pub contiguous: bool,
}

impl LeafFormat {
    /// Of the hypervisor's own stage 1, whose `MAIR_EL2` is `mair`.
    #[must_use]
    pub const fn el2(mair: u64) -> Self {
        Self::Stage1 {
            format: TableFormat::bits48(Granule::K4),
            sh: Shareability::Non,
            mair,
        }
    }

    /// Of a range of a stage 1 whose `MAIR_ELx` is `mair`.
    #[must_use]
    pub const fn stage1(range: &Stage1Range, mair: u64) -> Self {
        Self::Stage1 {
            format: range.format,
            sh: range.sh,
            mair,
        }
    }

    /// What the leaf `raw` of `level` says.
    #[must_use]
    pub fn target(&self, raw: u64, level: Level) -> Target {
        const CONTIGUOUS: u64 = 1 << 52;
        let (format, mem, sh) = match self {
            Self::Stage2(config) => {
                let attrs = config.attrs_of(raw);
                (config.format(), MemoryType::Stage2(attrs.mem), attrs.sh)
            }
            Self::Stage1 { format, sh, mair } => {
                let index = (raw >> 2 & 0b111) as u8;
                let sh = match format.field {
                    AddressField::Lpa2 => *sh,
                    AddressField::Bits48 | AddressField::Lpa => Shareability::decode(raw >> 8),
                };
                (*format, MemoryType::Stage1(MairAttr::of(*mair, index)), sh)
            }
        };
        Target {
            output: format.address(raw) & !(format.granule.entry_bytes(level) - 1),
            mem,
            sh,
            contiguous: raw & CONTIGUOUS != 0,
        }
    }
}

impl Target {
    /// The same memory `bytes` further on.
    #[must_use]
    pub const fn advanced(self, bytes: u64) -> Self {
        Self {
            output: self.output.wrapping_add(bytes),
            ..self
        }
    }
}

/// The columns after Linux's, with a blank before each.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contiguous = if self.contiguous { " CONT" } else { "" };
        write!(f, " 0x{:012x} {} {}{contiguous}", self.output, self.mem, self.sh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        L1,
        ptdump::RangeDumper,
        stage2::{Stage2Limits, visit},
        testing::{LIMITS, WIDE_LIMITS, Words, vtcr},
    };
    use std::string::String;

    const ROOT: u64 = 0x10_0000;
    const RW: u64 = 0b11 << 6;
    const AF: u64 = 1 << 10;
    const INNER: u64 = 0b11 << 8;
    const STAGE1: u64 = 0b0111 << 2;
    const DEVICE: u64 = 0b0001 << 2;
    const BLOCK: u64 = RW | AF | INNER | STAGE1 | 1;

    /// Both dumps of a table whose level-1 descriptors are `descs`: Linux's and the one with all columns.
    fn dumps(descs: &[u64], limits: &Stage2Limits, more: u64) -> (String, String) {
        let mut mem = Words::default();
        mem.add(ROOT, 0x2000);
        for (index, desc) in descs.iter().enumerate() {
            mem.set(ROOT + 8 * index as u64, *desc);
        }
        let config = Stage2Config::from_registers(vtcr(Granule::K4, 40, 1) | more, ROOT, limits).unwrap();
        let dump = |mut dumper: RangeDumper| {
            let mut text = String::new();
            visit::<L1>(&config, &mem, 0, usize::MAX, &mut |entry| {
                dumper.note_entry(&entry, &mut text).unwrap();
            });
            text
        };
        let physical = RangeDumper::stage2().with_targets(LeafFormat::Stage2(config));
        (dump(RangeDumper::stage2()), dump(physical))
    }

    #[test]
    fn ranges_split_where_any_of_the_columns_changes() {
        let (linux, physical) = dumps(
            &[
                0x8000_0000 | BLOCK,
                0xc000_0000 | BLOCK,
                0x2_0000_0000 | BLOCK,
                0x2_4000_0000 | BLOCK & !INNER,
                0x2_8000_0000 | BLOCK & !INNER & !STAGE1 | DEVICE,
                0x2_c000_0000 | BLOCK & !INNER & !STAGE1 | DEVICE | 1 << 52,
                0,
                0x3_0000_0000 | BLOCK,
            ],
            &LIMITS,
            0,
        );
        assert_eq!(
            linux,
            "\
---[ Guest IPA ]---
0x0000000000000000-0x0000000180000000           6G 1   R W px ux  AF BLK
0x0000000180000000-0x00000001c0000000           1G 1
0x00000001c0000000-0x0000000200000000           1G 1   R W px ux  AF BLK
"
        );
        assert_eq!(
            physical,
            "\
---[ Guest IPA ]---
0x0000000000000000-0x0000000080000000           2G 1   R W px ux  AF BLK 0x000080000000 as-stage-1 inner
0x0000000080000000-0x00000000c0000000           1G 1   R W px ux  AF BLK 0x000200000000 as-stage-1 inner
0x00000000c0000000-0x0000000100000000           1G 1   R W px ux  AF BLK 0x000240000000 as-stage-1 non
0x0000000100000000-0x0000000140000000           1G 1   R W px ux  AF BLK 0x000280000000 device-nGnRE non
0x0000000140000000-0x0000000180000000           1G 1   R W px ux  AF BLK 0x0002c0000000 device-nGnRE non CONT
0x0000000180000000-0x00000001c0000000           1G 1
0x00000001c0000000-0x0000000200000000           1G 1   R W px ux  AF BLK 0x000300000000 as-stage-1 inner
"
        );
    }

    #[test]
    fn lpa2_leaves_have_the_shareability_of_the_register() {
        // DS, 52-bit output; SH0 = 0b10.
        let more = 1 << 32 | 0b110 << 16 | 0b10 << 12;
        let (_, physical) = dumps(&[0x8000_0000 | BLOCK, 0], &WIDE_LIMITS, more);
        // Bits 9:8 are address bits 51:50 here.
        assert!(
            physical.ends_with(" AF BLK 0xc000080000000 as-stage-1 outer\n"),
            "{physical}"
        );
    }

    #[test]
    fn a_stage_1_has_its_memory_types() {
        let format = LeafFormat::el2(0xff00);
        let target = format.target(0x4020_0000 | 1 << 2 | INNER | 1, Level::TWO);
        assert_eq!(std::format!("{target}"), " 0x000040200000 normal-wb inner");
        assert_eq!(target.advanced(0x1000).output, 0x4020_1000);
    }
}
