//! The stream table (IHI 0070, "Stream Table Entry" and "Level 1 Stream Table Descriptor").

use crate::INPUT_BITS;

/// The bits of a stream's number that index the second level of the stream table.
pub struct Split;

impl Split {
    /// `SMMU_STRTAB_BASE_CFG.SPLIT`: second-level tables of 64 entries, one page.
    pub const BITS: u32 = 6;
    /// Entries of a second-level table.
    pub const ENTRIES: usize = 1 << Self::BITS;

    /// `SMMU_STRTAB_BASE_CFG` of a table of two levels for streams of `stream_bits`.
    #[must_use]
    pub const fn config(stream_bits: u32) -> u32 {
        const TWO_LEVELS: u32 = 1 << 16;
        TWO_LEVELS | Self::BITS << 6 | stream_bits
    }

    /// The first-level descriptor that leads to the second-level table at `at`.
    #[must_use]
    pub const fn descriptor(at: u64) -> u64 {
        /// 2 to the power of one less is the number of entries.
        const SPAN: u64 = Split::BITS as u64 + 1;
        at & ADDRESS | SPAN
    }
}

const ADDRESS: u64 = 0x000f_ffff_ffff_ffc0;

/// A stream table entry.
pub type Ste = [u64; 8];

/// Translation of all transactions of a stream by a table of stage 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage2 {
    /// The root, of level 0.
    pub root: u64,
    /// What its translations are cached under.
    pub vmid: u16,
}

impl Stage2 {
    /// The entry of a stream. 4 KiB granule, level 0 first, little-endian, write-back inner shareable walks; an Access
    /// flag that is clear is no fault; a fault is recorded and ends the transaction; no translation on behalf of the device.
    #[must_use]
    pub const fn entry(&self) -> Ste {
        const VALID: u64 = 1;
        const CONFIG_STAGE2: u64 = 0b110 << 1;
        const SHCFG_INCOMING: u64 = 0b01 << 44;
        const T0SZ: u64 = (64 - INPUT_BITS as u64) << 32;
        const SL0_LEVEL0: u64 = 2 << 38;
        const WRITE_BACK: u64 = 1 << 40 | 1 << 42;
        const INNER_SHAREABLE: u64 = 3 << 44;
        const PS_44_BITS: u64 = 4 << 48;
        const AARCH64: u64 = 1 << 51;
        const NO_ACCESS_FLAG_FAULTS: u64 = 1 << 53;
        const RECORD_FAULTS: u64 = 1 << 58;
        const STAGE2: u64 = T0SZ
            | SL0_LEVEL0
            | WRITE_BACK
            | INNER_SHAREABLE
            | PS_44_BITS
            | AARCH64
            | NO_ACCESS_FLAG_FAULTS
            | RECORD_FAULTS;
        [
            VALID | CONFIG_STAGE2,
            SHCFG_INCOMING,
            self.vmid as u64 | STAGE2,
            self.root & 0x000f_ffff_ffff_fff0,
            0,
            0,
            0,
            0,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_stage_2_alone_by_the_table() {
        let entry = Stage2 {
            root: 0x4123_4000,
            vmid: 7,
        }
        .entry();
        // Valid, Config = 0b110, and nothing of stage 1.
        assert_eq!(entry[0], 0b1101);
        // SHCFG of bits 109:108 is "incoming"; no ATS (93:92), no S2FWB (89), no MTCFG (100).
        assert_eq!(entry[1], 1 << 44);
        assert_eq!(entry[2] & 0xffff, 7);
        let field = |low: u32, bits: u32| entry[2] >> (low - 128) & ((1 << bits) - 1);
        assert_eq!((field(160, 6), field(166, 2)), (20, 2), "S2T0SZ, S2SL0");
        assert_eq!(
            (field(168, 2), field(170, 2), field(172, 2)),
            (1, 1, 3),
            "S2IR0, S2OR0, S2SH0"
        );
        assert_eq!((field(174, 2), field(176, 3)), (0, 4), "S2TG, S2PS");
        assert_eq!(
            (field(179, 1), field(180, 1), field(181, 1)),
            (1, 0, 1),
            "S2AA64, S2ENDI, S2AFFD"
        );
        assert_eq!(
            (field(183, 2), field(185, 1), field(186, 1)),
            (0, 0, 1),
            "S2HD and S2HA, S2S, S2R"
        );
        assert_eq!(entry[3], 0x4123_4000);
        assert_eq!(entry[4..], [0; 4]);
    }

    #[test]
    fn a_table_of_two_levels_is_as_it_is_described() {
        assert_eq!(Split::config(16), 1 << 16 | 6 << 6 | 16);
        assert_eq!(Split::descriptor(0x4123_4000), 0x4123_4007);
        assert_eq!(Split::ENTRIES * size_of::<Ste>(), 4096);
    }
}
