//! A terminal line's bytes as they are: what a person's terminal would send and show.
//!
//! What comes is taken in all the time, by a thread: QEMU stands still while nobody does, and then takes in nothing
//! either.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use xtask::machine::Machine;

/// A long wait, for somebody who does not answer.
pub(crate) const LIMIT: Duration = Duration::from_mins(3);

pub(crate) const CTRL_A: u8 = 0x01;
pub(crate) const CTRL_C: u8 = 0x03;

/// A line.
pub(crate) struct Line {
    sink: Box<dyn Write + Send>,
    received: Receiver<Vec<u8>>,
    /// Ends the thread that reads.
    hang_up: Option<Box<dyn FnOnce() + Send>>,
}

/// The debug console's socket.
pub(crate) fn to_console(machine: &Machine) -> Result<Line> {
    let path = machine.console_socket().context("the machine has no console socket")?;
    let stream = UnixStream::connect(path)?;
    let (source, other) = (stream.try_clone()?, stream.try_clone()?);
    let hang_up = move || {
        let _ = other.shutdown(Shutdown::Both);
    };
    let mut line = Line::new(source, stream);
    line.hang_up = Some(Box::new(hang_up));
    Ok(line)
}

impl Line {
    /// A line on which `source` comes and `sink` goes. The reading ends when `source` does.
    pub(crate) fn new(mut source: impl Read + Send + 'static, sink: impl Write + Send + 'static) -> Self {
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            sink: Box::new(sink),
            received,
            hang_up: None,
        }
    }

    /// Types `bytes`.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.sink.write_all(bytes).context("the line takes nothing more")?;
        self.sink.flush().context("the line takes nothing more")
    }

    /// Reads until `text` has come; returns everything up to the end of what came with it.
    pub(crate) fn read_until(&mut self, text: &str) -> Result<String> {
        self.read_until_within(text, LIMIT)
    }

    /// As [`read_until`](Self::read_until), for as long as `limit`.
    pub(crate) fn read_until_within(&mut self, text: &str, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        let mut plain: Vec<u8> = Vec::new();
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let piece = self.received.recv_timeout(rest).with_context(|| {
                let end = &plain[plain.len().saturating_sub(80)..];
                format!("waiting for {text:?}; last came {:?}", String::from_utf8_lossy(end))
            })?;
            // It may have begun in an earlier piece.
            let begin = plain.len().saturating_sub(text.len());
            plain.extend(piece.into_iter().filter(|byte| *byte != b'\r'));
            if plain[begin..]
                .windows(text.len())
                .any(|window| window == text.as_bytes())
            {
                return Ok(String::from_utf8_lossy(&plain).into_owned());
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(hang_up) = self.hang_up.take() {
            hang_up();
        }
    }
}
