//! The 64-byte header of an arm64 Linux `Image`.
//!
//! Linux's boot protocol (`Documentation/arch/arm64/booting.rst`): the loader
//! places the image at `text_offset` from a 2 MiB boundary and must leave
//! `image_size` bytes from there free, which is more than the file has (bss).
//! The host tool needs the size to know where the ramdisk may go.

use std::fmt;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;

/// "ARM\x64", at byte 56.
const MAGIC: &[u8; 4] = b"ARM\x64";

/// What the loader needs of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes from a 2 MiB boundary to the image.
    pub text_offset: u64,
    /// Bytes the image occupies in memory, bss included.
    pub image_bytes: u64,
}

/// Why a file is not an arm64 `Image`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnImage {
    /// The file is shorter than the header.
    TooShort,
    /// The magic number is not there; the file is something else, or compressed.
    BadMagic,
}

impl fmt::Display for NotAnImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "shorter than an arm64 Image's header of 64 bytes",
            Self::BadMagic => "not an arm64 Image (no \"ARM\\x64\" at byte 56; is it compressed?)",
        })
    }
}

impl std::error::Error for NotAnImage {}

impl Header {
    /// Reads the header from the beginning of a file.
    ///
    /// # Errors
    ///
    /// [`NotAnImage`] when there is no header.
    pub fn parse(file: &[u8]) -> Result<Self, NotAnImage> {
        let header: &[u8; HEADER_BYTES] = file.first_chunk().ok_or(NotAnImage::TooShort)?;
        if &header[56..60] != MAGIC {
            return Err(NotAnImage::BadMagic);
        }
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&header[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        Ok(Self {
            text_offset: word(8),
            image_bytes: word(16),
        })
    }
}

/// A header alone, for tests that need a small file QEMU and gnomon accept.
#[must_use]
pub fn header_bytes(image_bytes: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[16..24].copy_from_slice(&image_bytes.to_le_bytes());
    header[56..60].copy_from_slice(MAGIC);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_offset_are_read_from_a_debian_kernels_header() {
        let mut file = vec![0; 4096];
        // The first 64 bytes of Debian's vmlinuz-6.12.117+deb12-arm64.
        file[..8].copy_from_slice(&[0x4d, 0x5a, 0x40, 0xfa, 0x3b, 0xe8, 0x73, 0x14]);
        file[16..20].copy_from_slice(&[0x00, 0x00, 0xb3, 0x02]);
        file[24] = 0x0a;
        file[56..61].copy_from_slice(&[0x41, 0x52, 0x4d, 0x64, 0x40]);
        assert_eq!(
            Header::parse(&file),
            Ok(Header {
                text_offset: 0,
                image_bytes: 0x02b3_0000
            })
        );
    }

    #[test]
    fn short_and_foreign_files_are_refused() {
        assert_eq!(Header::parse(&[0; 63]), Err(NotAnImage::TooShort));
        assert_eq!(Header::parse(&[0x1f; 64]), Err(NotAnImage::BadMagic));
    }

    #[test]
    fn a_made_header_reads_back() {
        let header = header_bytes(0x1234);
        assert_eq!(
            Header::parse(&header),
            Ok(Header {
                text_offset: 0,
                image_bytes: 0x1234
            })
        );
    }
}
