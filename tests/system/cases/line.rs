//! A terminal line's bytes as they are: what a person's terminal would send and show.
//!
//! What comes is taken in while it is waited for, and while something is typed: QEMU stands still while nobody takes it in,
//! and then takes in nothing either. So a test that is slow misses nothing: the machine waits with what it has to say.

use std::io::{Read, Write};
use std::mem;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use xtask::machine::Machine;

/// A long wait, for somebody who does not answer.
pub(crate) const LIMIT: Duration = Duration::from_mins(5);
/// How long something is waited for that may come while something is typed.
const TAKE_IN: Duration = Duration::from_millis(5);

pub(crate) const CTRL_A: u8 = 0x01;
pub(crate) const CTRL_C: u8 = 0x03;

/// A line.
pub(crate) struct Line {
    sink: Box<dyn Write + Send>,
    received: Receiver<Vec<u8>>,
    /// What has come and was not waited for yet.
    rest: Vec<u8>,
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
        // No more than one piece is on its way.
        let (sender, received) = mpsc::sync_channel(0);
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
            rest: Vec::new(),
            hang_up: None,
        }
    }

    /// Types `bytes`.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let Self {
            sink, received, rest, ..
        } = self;
        let typed = thread::scope(|scope| {
            let typist = scope.spawn(|| sink.write_all(bytes).and_then(|()| sink.flush()));
            while !typist.is_finished() {
                if let Ok(piece) = received.recv_timeout(TAKE_IN) {
                    rest.extend(piece);
                }
            }
            typist.join()
        });
        typed
            .map_err(|_| anyhow!("the typist panicked"))?
            .context("the line takes nothing more")
    }

    /// Reads until `text` has come; returns everything up to its end. What comes behind it is for the next wait.
    pub(crate) fn read_until(&mut self, text: &str) -> Result<String> {
        self.read_until_within(text, LIMIT)
    }

    /// As [`read_until`](Self::read_until), for as long as `limit`.
    pub(crate) fn read_until_within(&mut self, text: &str, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        let mut plain: Vec<u8> = Vec::new();
        let mut piece = mem::take(&mut self.rest);
        loop {
            // It may have begun in an earlier piece.
            let begin = plain.len().saturating_sub(text.len());
            plain.extend(piece.into_iter().filter(|byte| *byte != b'\r'));
            let mut windows = plain[begin..].windows(text.len());
            if let Some(at) = windows.position(|window| window == text.as_bytes()) {
                self.rest = plain.split_off(begin + at + text.len());
                return Ok(String::from_utf8_lossy(&plain).into_owned());
            }
            let limit = deadline.saturating_duration_since(Instant::now());
            piece = self.received.recv_timeout(limit).with_context(|| {
                let end = &plain[plain.len().saturating_sub(80)..];
                format!("waiting for {text:?}; last came {:?}", String::from_utf8_lossy(end))
            })?;
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
