//! QEMU's monitor, for memory as it is.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use anyhow::{Context, Result};

const PROMPT: &[u8] = b"(qemu) ";
const LIMIT: Duration = Duration::from_mins(1);
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// A table has as many bytes as a page.
pub(super) const TABLE_BYTES: usize = 4096;

/// A connection to the monitor.
pub(super) struct Monitor {
    stream: UnixStream,
    /// Where QEMU puts the memory it is asked for.
    file: PathBuf,
}

impl Monitor {
    /// Connects, as soon as QEMU listens.
    pub(super) fn connect(path: &Path) -> Result<Self> {
        let deadline = Instant::now() + LIMIT;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => return Err(error).context("QEMU's monitor"),
                Err(_) => thread::sleep(RETRY_INTERVAL),
            }
        };
        // Nobody needs its name any more.
        let _ = fs::remove_file(path);
        stream.set_read_timeout(Some(LIMIT))?;
        let file = env::temp_dir().join(format!("gnomon-golden-{}.page", process::id()));
        let mut monitor = Self { stream, file };
        monitor.wait_for_prompt()?;
        Ok(monitor)
    }

    fn wait_for_prompt(&mut self) -> Result<()> {
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while !text.ends_with(PROMPT) {
            let count = self.stream.read(&mut buffer).context("QEMU's monitor says nothing")?;
            text.extend_from_slice(&buffer[..count]);
        }
        Ok(())
    }

    /// The descriptors of the table at a physical address.
    pub(super) fn table(&mut self, address: u64) -> Result<Vec<u64>> {
        let _ = fs::remove_file(&self.file);
        let command = format!("pmemsave {address:#x} {TABLE_BYTES} \"{}\"\n", self.file.display());
        self.stream.write_all(command.as_bytes())?;
        self.wait_for_prompt()?;
        let bytes = fs::read(&self.file).with_context(|| format!("QEMU has no memory at {address:#x}"))?;
        let words = bytes
            .chunks_exact(8)
            .map(|word| word.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        Ok(words.collect())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}
