//! Writing an initial ramdisk: the "newc" cpio format.
//!
//! Linux unpacks exactly this format (`Documentation/driver-api/early-userspace/buffer-format.rst`),
//! and it is simple enough that writing it here beats asking every host for a
//! `cpio` program, for `fakeroot` to make `/dev/console`, and for the same
//! bytes from both. The output depends on nothing but the entries: no times, no
//! owners, no inode numbers of the host.

/// Type bits of a mode, as in `stat(2)`.
const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFLNK: u32 = 0o120_000;
const S_IFCHR: u32 = 0o020_000;

/// Every header and every file's data begin at a multiple of this.
const ALIGNMENT: usize = 4;

/// An archive under construction. Entries are unpacked in the order they were
/// added, so a directory comes before what lies in it.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entry_count: u32,
}

impl Archive {
    /// An archive without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory that everyone may read.
    pub fn directory(&mut self, path: &str) {
        self.entry(path, S_IFDIR | 0o755, (0, 0), &[]);
    }

    /// Adds a regular file. `mode` is its permission bits.
    pub fn file(&mut self, path: &str, mode: u32, data: &[u8]) {
        self.entry(path, S_IFREG | mode, (0, 0), data);
    }

    /// Adds a symbolic link at `path` to `target`.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.entry(path, S_IFLNK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub fn char_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.entry(path, S_IFCHR | mode, (major, minor), &[]);
    }

    /// Ends the archive and returns its bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    /// One header of 13 eight-digit hexadecimal fields, the path with its NUL,
    /// the data. A file of 4 GiB or more does not fit the format; nothing of a
    /// ramdisk comes near it.
    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) {
        self.entry_count += 1;
        let data_bytes = u32::try_from(data.len()).expect("a ramdisk file is below 4 GiB");
        let path_bytes = u32::try_from(path.len() + 1).expect("a path is below 4 GiB");
        let link_count = if mode & S_IFDIR == S_IFDIR { 2 } else { 1 };
        self.bytes.extend_from_slice(b"070701");
        for field in [
            self.entry_count, // inode number: distinct, so that nothing is taken for a hard link
            mode,
            0, // owner
            0, // group
            link_count,
            0, // modification time
            data_bytes,
            0, // device the file lies on
            0,
            device.0,
            device.1,
            path_bytes,
            0, // checksum: only in the "crc" variant
        ] {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field `index` of the header at `offset`.
    fn field(bytes: &[u8], offset: usize, index: usize) -> u32 {
        let start = offset + 6 + 8 * index;
        let text = std::str::from_utf8(&bytes[start..start + 8]).unwrap();
        u32::from_str_radix(text, 16).unwrap()
    }

    #[test]
    fn a_file_is_header_name_data_each_padded_to_four() {
        let mut archive = Archive::new();
        archive.file("init", 0o755, b"hello");
        let bytes = archive.finish();
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(field(&bytes, 0, 1), 0o100_755);
        assert_eq!(field(&bytes, 0, 6), 5);
        assert_eq!(field(&bytes, 0, 11), 5);
        assert_eq!(&bytes[110..116], b"init\0\0", "110 + 5 is padded to 116");
        assert_eq!(&bytes[116..124], b"hello\0\0\0");
        assert_eq!(&bytes[124..130], b"070701", "the trailer follows");
        assert_eq!(&bytes[124 + 110..124 + 120], b"TRAILER!!!");
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn kinds_carry_their_type_bits() {
        let mut archive = Archive::new();
        archive.directory("dev");
        let second = archive.bytes.len();
        archive.char_device("dev/console", 0o600, 5, 1);
        let third = archive.bytes.len();
        archive.symlink("sh", "busybox");
        let bytes = archive.finish();
        assert_eq!(field(&bytes, 0, 1), 0o040_755);
        assert_eq!(field(&bytes, second, 1), 0o020_600);
        assert_eq!((field(&bytes, second, 9), field(&bytes, second, 10)), (5, 1));
        assert_eq!(field(&bytes, third, 1), 0o120_777);
        assert_eq!(field(&bytes, third, 6), 7, "a link's data is its target, without a NUL");
    }

    #[test]
    fn inode_numbers_differ() {
        let mut archive = Archive::new();
        archive.file("a", 0o644, b"");
        let second = archive.bytes.len();
        archive.file("b", 0o644, b"");
        let bytes = archive.finish();
        assert_ne!(field(&bytes, 0, 0), field(&bytes, second, 0));
    }

    #[test]
    fn the_same_entries_give_the_same_bytes() {
        let build = || {
            let mut archive = Archive::new();
            archive.directory("bin");
            archive.file("bin/x", 0o755, &[1, 2, 3]);
            archive.finish()
        };
        assert_eq!(build(), build());
    }
}
