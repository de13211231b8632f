//! The header of an arm64 Image, as in Linux's Documentation/arch/arm64/booting.rst.

use crate::LoadError;

/// "ARM\x64", little-endian.
const IMAGE_MAGIC: u64 = 0x644d_5241;
const TEXT_OFFSET_AT: usize = 8;
const IMAGE_SIZE_AT: usize = 16;
const FLAGS_AT: usize = 24;
const MAGIC_AT: usize = 56;
/// Bit 0 of the flags: the kernel's byte order.
const FLAG_BIG_ENDIAN: u64 = 1;

/// What matters of an Image's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// Bytes from a boundary of [`Self::ALIGN`] to the first instruction; less than that.
    pub text_offset: u64,
    /// Bytes it needs in memory, `.bss` included; not less than its file has.
    pub image_bytes: u64,
}

impl ImageHeader {
    /// Bytes of the header.
    pub const BYTES: usize = 64;
    /// A kernel lies at its offset from a multiple of this many bytes.
    pub const ALIGN: u64 = 2 << 20;

    /// Reads the header from the first [`Self::BYTES`] of a file of `file_bytes`.
    ///
    /// # Errors
    ///
    /// The file is too short or no Image, or its kernel is big-endian.
    pub fn parse(header: &[u8], file_bytes: u64) -> Result<Self, LoadError> {
        let double = |at: usize| {
            let bytes = header
                .get(at..)
                .and_then(|rest| rest.first_chunk())
                .ok_or(LoadError::NotAnImage)?;
            Ok(u64::from_le_bytes(*bytes))
        };
        if double(MAGIC_AT)? & 0xffff_ffff != IMAGE_MAGIC {
            return Err(LoadError::NotAnImage);
        }
        if double(FLAGS_AT)? & FLAG_BIG_ENDIAN != 0 {
            return Err(LoadError::BigEndian);
        }
        // Kernels before 3.17 say 0.
        let image_bytes = double(IMAGE_SIZE_AT)?.max(file_bytes);
        Ok(Self {
            text_offset: double(TEXT_OFFSET_AT)? % Self::ALIGN,
            image_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text_offset: u64, image_size: u64, flags: u64) -> [u8; ImageHeader::BYTES] {
        let mut bytes = [0; ImageHeader::BYTES];
        let fields = [
            (TEXT_OFFSET_AT, text_offset),
            (IMAGE_SIZE_AT, image_size),
            (FLAGS_AT, flags),
            (MAGIC_AT, 0xdead_beef << 32 | IMAGE_MAGIC),
        ];
        for (at, value) in fields {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn an_image_needs_its_bss_too() {
        let parsed = ImageHeader::parse(&header(0, 0x30_0000, 0xa), 0x20_0000);
        assert_eq!(
            parsed,
            Ok(ImageHeader {
                text_offset: 0,
                image_bytes: 0x30_0000
            })
        );
    }

    #[test]
    fn an_image_needs_no_less_than_its_file() {
        let parsed = ImageHeader::parse(&header(0x8_0000, 0, 0xa), 0x20_0000);
        assert_eq!(
            parsed,
            Ok(ImageHeader {
                text_offset: 0x8_0000,
                image_bytes: 0x20_0000
            })
        );
    }

    #[test]
    fn the_text_offset_is_taken_modulo_the_alignment() {
        let parsed = ImageHeader::parse(&header(u64::MAX, u64::MAX, 0), 64);
        assert_eq!(
            parsed,
            Ok(ImageHeader {
                text_offset: (2 << 20) - 1,
                image_bytes: u64::MAX
            })
        );
    }

    #[test]
    fn a_big_endian_kernel_is_refused() {
        assert_eq!(ImageHeader::parse(&header(0, 0, 1), 64), Err(LoadError::BigEndian));
    }

    #[test]
    fn without_the_magic_it_is_no_image() {
        assert_eq!(
            ImageHeader::parse(&[0x1f; ImageHeader::BYTES], 64),
            Err(LoadError::NotAnImage)
        );
    }

    #[test]
    fn a_file_cut_anywhere_in_its_header_is_no_image() {
        for bytes in 0..ImageHeader::BYTES {
            let cut = &header(0, 0, 0)[..bytes];
            assert_eq!(ImageHeader::parse(cut, bytes as u64), Err(LoadError::NotAnImage));
        }
    }
}
