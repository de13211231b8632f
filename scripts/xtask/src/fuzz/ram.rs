//! The machine's RAM from outside: a file that QEMU maps and shares.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process};

use anyhow::{Context, Result};

use crate::memory::MemorySize;

/// Bytes of a page, of a table, and of a frame.
pub(super) const PAGE_BYTES: u64 = 4096;

/// A machine's RAM. The file goes with it.
#[derive(Debug)]
pub(super) struct Ram {
    file: File,
    path: PathBuf,
    /// The physical address of its first byte.
    base: u64,
    size: MemorySize,
}

impl Ram {
    /// Memory of zeros for a machine that is started with [`Self::qemu_arguments`].
    pub(super) fn create(base: u64, size: MemorySize) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let in_memory = Path::new("/dev/shm");
        let dir = if in_memory.is_dir() {
            in_memory.to_path_buf()
        } else {
            env::temp_dir()
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("gnomon-ram-{}-{count}", process::id()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .and_then(|file| file.set_len(size.bytes()).map(|()| file))
            .with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { file, path, base, size })
    }

    /// Takes the file's name away, once QEMU has it open: whatever ends us, nothing is left.
    pub(super) fn unlink(&self) {
        let _ = fs::remove_file(&self.path);
    }

    pub(super) fn qemu_arguments(&self) -> [String; 4] {
        [
            "-object".into(),
            format!(
                "memory-backend-file,id=ram,size={},mem-path={},share=on",
                self.size,
                self.path.display()
            ),
            "-M".into(),
            "memory-backend=ram".into(),
        ]
    }

    /// `bytes` bytes from the physical address `at` on.
    pub(super) fn read(&self, at: u64, bytes: u64) -> Result<Vec<u8>> {
        let mut buffer = vec![0; usize::try_from(bytes)?];
        let offset = at.checked_sub(self.base).context("an address below RAM")?;
        self.file
            .read_exact_at(&mut buffer, offset)
            .with_context(|| format!("there is no RAM at {at:#x}+{bytes:#x}"))?;
        Ok(buffer)
    }

    /// The words from `at` on.
    pub(super) fn words(&self, at: u64, bytes: u64) -> Result<Vec<u64>> {
        let bytes = self.read(at, bytes)?;
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Ok(bytes.chunks_exact(8).map(word).collect())
    }

    /// Another bit in the byte at `at`: one that means nothing in the last byte of a translation table.
    pub(super) fn flip(&self, at: u64) -> Result<()> {
        const BIT: u8 = 1 << 2;
        let byte = self.read(at, 1)?[0] ^ BIT;
        self.put(at, &[byte])
    }

    pub(super) fn write(&self, at: u64, words: &[u64]) -> Result<()> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(at, &bytes)
    }

    fn put(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let offset = at.checked_sub(self.base).context("an address below RAM")?;
        self.file
            .write_all_at(bytes, offset)
            .with_context(|| format!("cannot write RAM at {at:#x}"))
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        self.unlink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_there_is_nothing_outside() {
        let ram = Ram::create(0x4000_0000, MemorySize::from_mib(1)).unwrap();
        ram.write(0x4000_1000, &[1, 0x1122_3344_5566_7788]).unwrap();
        assert_eq!(ram.words(0x4000_0ff8, 24).unwrap(), [0, 1, 0x1122_3344_5566_7788]);
        assert_eq!(ram.read(0x4000_1008, 2).unwrap(), [0x88, 0x77]);
        ram.flip(0x4000_1009).unwrap();
        assert_eq!(ram.read(0x4000_1008, 2).unwrap(), [0x88, 0x73]);
        for (at, bytes) in [(0x3fff_fff8, 8), (0x400f_fff8, 16)] {
            assert!(ram.read(at, bytes).is_err(), "{at:#x}");
        }
    }
}
