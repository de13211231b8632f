//! What a machine prints: lines, from a stream that a thread reads and from a file that QEMU writes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a console has printed, shared between its reader and those who wait.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) lines: Vec<String>,
    /// The line being printed.
    pub(super) open: String,
}

impl Transcript {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A reader that panicked has left whole lines behind; they are still true.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something new, or until `limit` is over.
    pub(super) fn wait(&self, limit: Duration) {
        let _ = self.changed.wait_timeout(self.lock(), limit);
    }

    pub(super) fn read_from(&self, mut source: impl Read, mut log: File, echo: bool) {
        let mut splitter = LineSplitter::default();
        let mut buffer = [0; 4096];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let _ = log.write_all(&buffer[..count]);
            if echo {
                let mut stdout = io::stdout().lock();
                let _ = stdout.write_all(&buffer[..count]).and_then(|()| stdout.flush());
            }
            let mut state = self.lock();
            splitter.push(&buffer[..count], &mut state.lines);
            state.open = splitter.open();
            drop(state);
            self.changed.notify_all();
        }
        let mut state = self.lock();
        splitter.finish(&mut state.lines);
        state.open.clear();
        drop(state);
        self.changed.notify_all();
    }
}

/// A file that somebody else appends to.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    position: u64,
    splitter: LineSplitter,
}

impl Tail {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            position: 0,
            splitter: LineSplitter::default(),
        }
    }

    /// Adds the lines that were completed since the last call. A file that is not there
    /// yet has none.
    pub(super) fn read_into(&mut self, lines: &mut Vec<String>) {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.position))?;
            file.read_to_end(&mut bytes)
        });
        if read.is_ok() {
            self.position += bytes.len() as u64;
            self.splitter.push(&bytes, lines);
        }
    }
}

/// Turns a stream of bytes into lines, whatever the pieces it comes in.
#[derive(Debug, Default)]
struct LineSplitter {
    open: Vec<u8>,
}

impl LineSplitter {
    fn push(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for &byte in bytes {
            if byte == b'\n' {
                lines.push(self.open());
                self.open.clear();
            } else {
                self.open.push(byte);
            }
        }
    }

    /// The line that has not ended yet.
    fn open(&self) -> String {
        String::from_utf8_lossy(&self.open).trim_end_matches('\r').to_owned()
    }

    fn finish(&mut self, lines: &mut Vec<String>) {
        if !self.open.is_empty() {
            lines.push(self.open());
            self.open.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_do_not_depend_on_the_pieces_they_come_in() {
        let text = b"one\r\ntwo\n\nthree";
        for piece in 1..text.len() {
            let (mut splitter, mut lines) = (LineSplitter::default(), Vec::new());
            for bytes in text.chunks(piece) {
                splitter.push(bytes, &mut lines);
            }
            assert_eq!(lines, ["one", "two", ""], "in pieces of {piece}");
            assert_eq!(splitter.open(), "three");
            splitter.finish(&mut lines);
            assert_eq!(lines.last().map(String::as_str), Some("three"));
        }
    }

    #[test]
    fn a_tail_reads_only_what_is_new() {
        let path = std::env::temp_dir().join(format!("xtask-tail-{}", std::process::id()));
        let mut tail = Tail::new(path.clone());
        let mut lines = Vec::new();
        tail.read_into(&mut lines);
        assert!(lines.is_empty(), "there is no file yet");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"a\nb").unwrap();
        tail.read_into(&mut lines);
        file.write_all(b"b\nc\n").unwrap();
        tail.read_into(&mut lines);
        fs::remove_file(&path).unwrap();
        assert_eq!(lines, ["a", "bb", "c"]);
    }
}
