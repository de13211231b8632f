//! What an SMMU has, by its identification registers.

use core::fmt;

/// The identification registers that matter here (IHI 0070, "Register descriptions").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// `SMMU_IDR0`
    pub idr0: u32,
    /// `SMMU_IDR1`
    pub idr1: u32,
    /// `SMMU_IDR5`
    pub idr5: u32,
    /// `SMMU_AIDR`
    pub aidr: u32,
}

/// An SMMU that can confine devices as gnomon does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `SMMU_AIDR`: the minor version of the architecture, `SMMUv3.x`.
    pub minor: u32,
    /// Bits of a stream's number.
    pub stream_bits: u32,
}

/// Why an SMMU cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Not version 3 of the architecture.
    Version,
    /// No stage 2.
    NoStage2,
    /// No AArch64 tables.
    NoAarch64Tables,
    /// No 4 KiB pages.
    No4k,
    /// It does not see what is in the CPUs' caches.
    NotCoherent,
    /// No stream table of two levels.
    NoTwoLevels,
    /// Tables and queues in big-endian byte order only.
    BigEndian,
    /// Queues or tables are at fixed addresses, or preset.
    Preset,
    /// Its queues hold too little.
    ShortQueues,
    /// It puts out addresses of less than [`INPUT_BITS`](crate::INPUT_BITS).
    Narrow,
    /// Some of the devices' streams are not among its own, or not among the first 2^16.
    FewStreams,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the SMMU has no ")?;
        f.write_str(match self {
            Self::Version => "known version",
            Self::NoStage2 => "stage 2",
            Self::NoAarch64Tables => "AArch64 tables",
            Self::No4k => "4 KiB pages",
            Self::NotCoherent => "coherent walks",
            Self::NoTwoLevels => "two-level tables",
            Self::BigEndian => "little-endian tables",
            Self::Preset => "free tables",
            Self::ShortQueues => "long queues",
            Self::Narrow => "44-bit addresses",
            Self::FewStreams => "streams for all",
        })
    }
}

/// As many commands as the command queue must hold, and events the event queue: powers of two.
pub(crate) const QUEUE_BITS: u32 = 7;

/// Streams are numbers of at most this many bits: those of PCI requesters.
pub(crate) const STREAM_BITS_MAX: u32 = 16;

impl Features {
    /// What the registers say, for streams up to `last_stream`.
    ///
    /// # Errors
    ///
    /// The first thing that is missing.
    pub const fn of(ids: &Ids, last_stream: u32) -> Result<Self, Unfit> {
        const AARCH64_TABLES: u32 = 1 << 3;
        const BIG_ENDIAN: u32 = 3;
        const OAS_44_BITS: u32 = 4;
        let Ids { idr0, idr1, idr5, aidr } = *ids;
        let (stream_bits, events, commands) = (idr1 & 0x3f, idr1 >> 16 & 0x1f, idr1 >> 21 & 0x1f);
        let oas = idr5 & 0b111;
        let missing = if aidr >> 4 & 0xf != 0 {
            Unfit::Version
        } else if idr0 & 1 == 0 {
            Unfit::NoStage2
        } else if idr0 & AARCH64_TABLES == 0 {
            Unfit::NoAarch64Tables
        } else if idr5 >> 4 & 1 == 0 {
            Unfit::No4k
        } else if idr0 >> 4 & 1 == 0 {
            Unfit::NotCoherent
        } else if idr0 >> 27 & 0b11 == 0 {
            Unfit::NoTwoLevels
        } else if idr0 >> 21 & 0b11 == BIG_ENDIAN {
            Unfit::BigEndian
        } else if idr1 >> 29 & 0b11 != 0 {
            Unfit::Preset
        } else if events < QUEUE_BITS || commands < QUEUE_BITS {
            Unfit::ShortQueues
        } else if oas < OAS_44_BITS {
            Unfit::Narrow
        } else if last_stream as u64 >> stream_bits != 0 || last_stream >> STREAM_BITS_MAX != 0 {
            Unfit::FewStreams
        } else {
            return Ok(Self {
                minor: aidr & 0xf,
                stream_bits,
            });
        };
        Err(missing)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    /// What QEMU 10.0 shows.
    const QEMU: Ids = Ids {
        idr0: 0x0d44_101b,
        idr1: 0x0273_0010,
        idr5: 0x74,
        aidr: 1,
    };

    fn missing(edit: impl FnOnce(&mut Ids)) -> Unfit {
        let mut ids = QEMU;
        edit(&mut ids);
        Features::of(&ids, 0xffff).unwrap_err()
    }

    #[test]
    fn qemus_is_fit() {
        assert_eq!(
            Features::of(&QEMU, 0xffff),
            Ok(Features {
                minor: 1,
                stream_bits: 16
            })
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(missing(|ids| ids.aidr = 0x10), Unfit::Version);
        assert_eq!(missing(|ids| ids.idr0 &= !1), Unfit::NoStage2);
        assert_eq!(missing(|ids| ids.idr0 &= !(1 << 3)), Unfit::NoAarch64Tables);
        assert_eq!(missing(|ids| ids.idr5 &= !(1 << 4)), Unfit::No4k);
        assert_eq!(missing(|ids| ids.idr0 &= !(1 << 4)), Unfit::NotCoherent);
        assert_eq!(missing(|ids| ids.idr0 &= !(3 << 27)), Unfit::NoTwoLevels);
        assert_eq!(missing(|ids| ids.idr0 |= 3 << 21), Unfit::BigEndian);
        assert_eq!(missing(|ids| ids.idr1 |= 1 << 29), Unfit::Preset);
        assert_eq!(missing(|ids| ids.idr1 = 0x0063_0010), Unfit::ShortQueues);
        assert_eq!(missing(|ids| ids.idr5 = 0x73), Unfit::Narrow);
        assert_eq!(missing(|ids| ids.idr1 -= 1), Unfit::FewStreams);
        assert_eq!(
            missing(|ids| *ids = Ids::default()).to_string(),
            "the SMMU has no stage 2"
        );
    }
}
