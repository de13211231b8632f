//! The ISS of instruction and data aborts.

use super::FaultStatus;

/// `S1PTW`: stage 2 failed on the walk of stage 1.
const S1PTW: u32 = 1 << 7;
/// `EA`: IMPLEMENTATION DEFINED kind of external abort.
const EA: u32 = 1 << 9;
/// `FnV`: the FAR is not valid.
const FNV: u32 = 1 << 10;

/// Width of the access an abort describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessSize {
    /// One byte.
    Byte,
    /// Two bytes.
    Halfword,
    /// Four bytes.
    Word,
    /// Eight bytes.
    Doubleword,
}

impl AccessSize {
    /// Decodes the two bits of `SAS`; higher bits are ignored.
    #[must_use]
    pub const fn decode(sas: u8) -> Self {
        match sas & 0x3 {
            0 => Self::Byte,
            1 => Self::Halfword,
            2 => Self::Word,
            _ => Self::Doubleword,
        }
    }

    /// Width in bytes: 1, 2, 4 or 8.
    #[must_use]
    pub const fn bytes(self) -> u8 {
        match self {
            Self::Byte => 1,
            Self::Halfword => 2,
            Self::Word => 4,
            Self::Doubleword => 8,
        }
    }

    /// A mask of the bits such an access moves.
    #[must_use]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * self.bytes() as u32)
    }
}

/// The ISS of a data abort (DDI 0487, "ISS encoding for an exception from a
/// Data Abort").
///
/// `size`, `sse`, `srt`, `sf` and `ar` describe the instruction and mean
/// something only when `isv` is set, which is the case for single-register
/// loads and stores without writeback that fault at stage 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one field of the architecture each")]
pub struct DataAbort {
    /// The syndrome describes the instruction.
    pub isv: bool,
    /// Width of the access (`SAS`).
    pub size: AccessSize,
    /// The loaded value is to be sign-extended.
    pub sse: bool,
    /// Register loaded or stored; 31 is the zero register.
    pub srt: u8,
    /// The register is 64 bits wide.
    pub sf: bool,
    /// The instruction has acquire or release semantics.
    pub ar: bool,
    /// A register access redirected by FEAT_NV2.
    pub vncr: bool,
    /// The FAR is **not** valid.
    pub fnv: bool,
    /// Kind of an external abort, IMPLEMENTATION DEFINED.
    pub ea: bool,
    /// Cache maintenance or address translation, not a load or store.
    pub cm: bool,
    /// Stage 2 failed on the walk of stage 1.
    pub s1ptw: bool,
    /// A write. Also set for cache maintenance, whatever it needs.
    pub wnr: bool,
    /// The cause.
    pub dfsc: FaultStatus,
}

impl DataAbort {
    /// Decodes an ISS (25 bits).
    // Nobody looks at all of it.
    #[must_use]
    #[inline(always)]
    pub const fn decode(iss: u32) -> Self {
        Self {
            isv: iss & 1 << 24 != 0,
            size: AccessSize::decode((iss >> 22) as u8),
            sse: iss & 1 << 21 != 0,
            srt: (iss >> 16) as u8 & 0x1f,
            sf: iss & 1 << 15 != 0,
            ar: iss & 1 << 14 != 0,
            vncr: iss & 1 << 13 != 0,
            fnv: iss & FNV != 0,
            ea: iss & EA != 0,
            cm: iss & 1 << 8 != 0,
            s1ptw: iss & S1PTW != 0,
            wnr: iss & 1 << 6 != 0,
            dfsc: FaultStatus::decode(iss as u8),
        }
    }

    /// Whether the access needs permission to write.
    ///
    /// Cache maintenance reports `WnR` = 1 but needs no more than read, and
    /// the walk of stage 1 reads, whatever the access behind it does.
    #[must_use]
    pub const fn needs_write(&self) -> bool {
        self.wnr && !self.cm && !self.s1ptw
    }

    /// What a load of this shape leaves in its 64-bit register, given the bytes
    /// read in the low bits of `raw`.
    #[must_use]
    pub const fn extend(&self, raw: u64) -> u64 {
        let shift = 64 - 8 * self.size.bytes() as u32;
        let value = raw & self.size.mask();
        if !self.sse {
            return value;
        }
        let extended = ((value << shift).cast_signed() >> shift).cast_unsigned();
        if self.sf { extended } else { extended & 0xffff_ffff }
    }
}

/// The ISS of an instruction abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstructionAbort {
    /// The FAR is **not** valid.
    pub fnv: bool,
    /// Kind of an external abort, IMPLEMENTATION DEFINED.
    pub ea: bool,
    /// Stage 2 failed on the walk of stage 1.
    pub s1ptw: bool,
    /// The cause.
    pub ifsc: FaultStatus,
}

impl InstructionAbort {
    /// Decodes an ISS (25 bits).
    #[must_use]
    pub const fn decode(iss: u32) -> Self {
        Self {
            fnv: iss & FNV != 0,
            ea: iss & EA != 0,
            s1ptw: iss & S1PTW != 0,
            ifsc: FaultStatus::decode(iss as u8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::esr::FaultKind;

    #[test]
    fn single_register_store_is_described_in_full() {
        // STR W5, [..]: ISV, SAS = word, SRT = 5, WnR, translation fault level 3.
        let abort = DataAbort::decode(1 << 24 | 2 << 22 | 5 << 16 | 1 << 6 | 0x07);
        assert!(abort.isv && abort.wnr && abort.needs_write());
        assert_eq!((abort.size.bytes(), abort.srt, abort.sf), (4, 5, false));
        assert_eq!(abort.dfsc, FaultStatus::new(FaultKind::Translation, 3));
    }

    #[test]
    fn cache_maintenance_and_walks_do_not_need_write() {
        assert!(!DataAbort::decode(1 << 8 | 1 << 6).needs_write());
        assert!(!DataAbort::decode(1 << 7 | 1 << 6).needs_write());
    }

    #[test]
    fn loads_extend_as_the_instruction_says() {
        let ldrb = DataAbort::decode(1 << 24);
        assert_eq!(ldrb.extend(0xffff_ff80), 0x80);
        let ldrsb_w = DataAbort::decode(1 << 24 | 1 << 21);
        assert_eq!(ldrsb_w.extend(0x80), 0xffff_ff80);
        let ldrsb_x = DataAbort::decode(1 << 24 | 1 << 21 | 1 << 15);
        assert_eq!(ldrsb_x.extend(0x80), 0xffff_ffff_ffff_ff80);
        let ldr_x = DataAbort::decode(1 << 24 | 3 << 22 | 1 << 15);
        assert_eq!(ldr_x.extend(u64::MAX), u64::MAX);
    }

    #[test]
    fn walk_abort_of_an_instruction_fetch_is_seen() {
        let abort = InstructionAbort::decode(1 << 7 | 0x05);
        assert!(abort.s1ptw && !abort.fnv);
        assert_eq!(abort.ifsc, FaultStatus::new(FaultKind::Translation, 1));
    }
}
