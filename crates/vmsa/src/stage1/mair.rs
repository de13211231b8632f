//! Memory types of stage 1: one byte of `MAIR_ELx`.

use core::fmt;

/// A memory attribute, the byte of `MAIR_ELx` that `AttrIndx` selects (DDI 0487, `MAIR_EL1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MairAttr(pub u8);

impl MairAttr {
    /// Device-nGnRnE.
    pub const DEVICE_NGNRNE: Self = Self(0x00);
    /// Normal, Write-Back cacheable, allocating.
    pub const NORMAL_WB: Self = Self(0xff);

    /// The attribute with this index (`AttrIndx`, 0 to 7) of `mair`.
    #[must_use]
    pub const fn of(mair: u64, index: u8) -> Self {
        Self((mair >> (8 * (index & 0b111))) as u8)
    }

    /// Whether it is one of the Device types.
    #[must_use]
    pub const fn is_device(self) -> bool {
        self.0 & 0b1111_0010 == 0
    }

    /// Linux's name in a page-table dump, where it has one.
    #[must_use]
    pub const fn linux_name(self) -> Option<&'static str> {
        Some(match self.0 {
            0x00 => "DEVICE/nGnRnE",
            0x04 => "DEVICE/nGnRE",
            0x08 => "DEVICE/nGRE",
            0x0c => "DEVICE/GRE",
            0x44 => "MEM/NORMAL-NC",
            0xbb => "MEM/NORMAL-WT",
            0xff => "MEM/NORMAL",
            0xf0 => "MEM/NORMAL-TAGGED",
            _ => return None,
        })
    }
}

impl fmt::Display for MairAttr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_device() {
            let kind = match self.0 >> 2 & 0b11 {
                0b00 => "device-nGnRnE",
                0b01 => "device-nGnRE",
                0b10 => "device-nGRE",
                _ => "device-GRE",
            };
            let xs = if self.0 & 1 != 0 { "-nXS" } else { "" };
            return write!(f, "{kind}{xs}");
        }
        match self.0 {
            0xf0 => f.write_str("normal-tagged"),
            0x40 => f.write_str("normal-nc-nXS"),
            0xa0 => f.write_str("normal-wt-nXS"),
            attr if attr >> 4 == 0 || attr & 0xf == 0 => write!(f, "reserved-{attr:#04x}"),
            attr if attr >> 4 == attr & 0xf => write!(f, "normal-{}", Cacheability(attr & 0xf)),
            attr => write!(
                f,
                "normal-inner-{}-outer-{}",
                Cacheability(attr & 0xf),
                Cacheability(attr >> 4)
            ),
        }
    }
}

/// Four bits: inner or outer cacheability with its allocation hints, which are said where they are not both set.
struct Cacheability(u8);

impl fmt::Display for Cacheability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 >> 2 {
            0b00 => "wt-transient",
            0b01 if self.0 & 0b11 == 0 => return f.write_str("nc"),
            0b01 => "wb-transient",
            0b10 => "wt",
            _ => "wb",
        })?;
        f.write_str(match self.0 & 0b11 {
            0b00 => "-noalloc",
            0b01 => "-wa",
            0b10 => "-ra",
            _ => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn attributes_print_as_words() {
        for (attr, words) in [
            (0x00, "device-nGnRnE"),
            (0x04, "device-nGnRE"),
            (0x08, "device-nGRE"),
            (0x0c, "device-GRE"),
            (0x05, "device-nGnRE-nXS"),
            (0x44, "normal-nc"),
            (0xff, "normal-wb"),
            (0xbb, "normal-wt"),
            (0xf0, "normal-tagged"),
            (0x4f, "normal-inner-wb-outer-nc"),
            (0xee, "normal-wb-ra"),
            (0x77, "normal-wb-transient"),
            (0x33, "normal-wt-transient"),
            (0x40, "normal-nc-nXS"),
            (0x80, "reserved-0x80"),
        ] {
            assert_eq!(MairAttr(attr).to_string(), words, "{attr:#x}");
        }
    }

    #[test]
    fn the_index_selects_a_byte() {
        assert_eq!(MairAttr::of(0xff_44_04_00, 3), MairAttr::NORMAL_WB);
        assert_eq!(MairAttr::of(0xff << 56, 7), MairAttr::NORMAL_WB);
    }

    #[test]
    fn every_byte_prints() {
        for attr in 0..=u8::MAX {
            assert!(!MairAttr(attr).to_string().is_empty());
        }
    }
}
