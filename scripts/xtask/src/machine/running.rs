//! A machine under way: its output kept, its end judged.
//!
//! L1's console is QEMU's standard output, read by a thread that keeps every
//! line (and shows it, when asked to). The debug console is a file that QEMU
//! writes, read from where the last look ended. Waiting is always for something
//! the machine says or does; the limits only end a wait that is in vain, and are
//! far above what the slowest host needs.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::config::{Config, DebugUart};
use super::output::{Tail, Transcript};
use super::verdict::{Judge, Outcome, Source};
use crate::console::Console;
use crate::process;

/// How long a wait lasts before it is given up, unless the caller says otherwise.
pub const DEFAULT_LIMIT: Duration = Duration::from_mins(10);

/// How often things that cannot wake us are looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Lines of each console shown when something went wrong.
const TAIL_LINES: usize = 25;

/// How a machine is watched, beside its [`Config`].
#[derive(Clone, Debug)]
pub struct Watch {
    /// Directory for the logs: `console.log`, `debug.log`, `qemu.log`, `qemu.sh`.
    pub log_dir: PathBuf,
    /// Show L1's console on our standard output as it comes, and QEMU's messages on
    /// standard error.
    pub echo: bool,
    /// Let [`Machine::send`] type on L1's console.
    pub input: bool,
}

/// A QEMU process and what it has printed. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    input: Option<ChildStdin>,
    console: Arc<Transcript>,
    reader: Option<JoinHandle<()>>,
    debug: Option<Tail>,
    debug_lines: Vec<String>,
    socket: Option<PathBuf>,
    judge: Judge,
    /// When the judge first saw a failure.
    failed_at: Option<Instant>,
    /// Lines the judge has seen, and lines that waits have consumed.
    judged: Cursors,
    waited: Cursors,
    limit: Duration,
    log_dir: PathBuf,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cursors {
    console: usize,
    debug: usize,
}

impl Machine {
    /// Starts QEMU.
    ///
    /// # Errors
    ///
    /// When QEMU or a log file cannot be started.
    pub fn start(config: &Config, watch: &Watch) -> Result<Self> {
        fs::create_dir_all(&watch.log_dir).with_context(|| format!("cannot create {}", watch.log_dir.display()))?;
        let mut command = Command::new(crate::setup::qemu::PROGRAM);
        command.args(config.arguments());
        fs::write(
            watch.log_dir.join("qemu.sh"),
            format!("#!/bin/sh\n{}\n", process::display(&command)),
        )?;
        let (debug_log, socket) = match &config.debug_uart {
            DebugUart::Log(path) => (Some(path.clone()), None),
            DebugUart::Socket { path, log } => (log.clone(), Some(path.clone())),
            DebugUart::Absent | DebugUart::Terminal => (None, None),
        };
        for stale in debug_log.iter().chain(&socket) {
            let _ = fs::remove_file(stale);
        }
        command.stdin(if watch.input { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped());
        if !watch.echo {
            command.stderr(File::create(watch.log_dir.join("qemu.log"))?);
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start `{}`", crate::setup::qemu::PROGRAM))?;
        let console = Arc::new(Transcript::default());
        let reader = match child.stdout.take() {
            Some(stdout) => {
                let log = File::create(watch.log_dir.join("console.log"))?;
                let (console, echo) = (Arc::clone(&console), watch.echo);
                Some(thread::spawn(move || console.read_from(stdout, log, echo)))
            }
            None => None,
        };
        Ok(Self {
            input: child.stdin.take(),
            child,
            console,
            reader,
            debug: debug_log.map(Tail::new),
            debug_lines: Vec::new(),
            socket,
            judge: Judge::new(),
            failed_at: None,
            judged: Cursors::default(),
            waited: Cursors::default(),
            limit: DEFAULT_LIMIT,
            log_dir: watch.log_dir.clone(),
        })
    }

    /// Sets how long each later wait may last.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// From now on the machine may be reset.
    pub fn expect_resets(&mut self) {
        self.judge.expect_resets();
    }

    /// Where this run's logs are.
    #[must_use]
    pub fn log_dir(&self) -> &Path {
        &self.log_dir
    }

    /// Everything L1's console has printed so far, by lines.
    #[must_use]
    pub fn console_lines(&self) -> Vec<String> {
        self.console.lock().lines.clone()
    }

    /// Everything the debug console has printed so far, by lines.
    pub fn debug_lines(&mut self) -> &[String] {
        self.look();
        &self.debug_lines
    }

    /// Waits for a line on L1's console that contains `text`, and returns it, if it is the last one as far as it is there.
    /// Lines before it are consumed: the next wait begins after it.
    ///
    /// # Errors
    ///
    /// When the machine fails or ends first, or the limit is over.
    pub fn wait_for(&mut self, text: &str) -> Result<String> {
        self.wait_for_line(Source::L1, text, true)
    }

    /// As [`Self::wait_for`], of a line that has ended: what comes behind `text` matters.
    ///
    /// # Errors
    ///
    /// As for [`Self::wait_for`].
    pub fn wait_for_whole(&mut self, text: &str) -> Result<String> {
        self.wait_for_line(Source::L1, text, false)
    }

    /// Waits for a line on the debug console that contains `text`, as [`Self::wait_for`].
    ///
    /// # Errors
    ///
    /// As for [`Self::wait_for`].
    pub fn wait_for_debug(&mut self, text: &str) -> Result<String> {
        self.wait_for_line(Source::Debug, text, false)
    }

    fn wait_for_line(&mut self, source: Source, text: &str, may_be_open: bool) -> Result<String> {
        let deadline = Instant::now() + self.limit;
        loop {
            // The order matters: a line printed just before the end must still be found.
            let ended = self.child.try_wait()?;
            if ended.is_some() {
                self.drain();
            }
            self.look();
            if let Some(line) = self.take_line(source, text, may_be_open) {
                return Ok(line);
            }
            let gave_up = if let Some(failure) = self.judge.failure() {
                Some(format!("the machine failed: {}", failure.line))
            } else if let Some(status) = ended {
                Some(format!("QEMU ended ({status})"))
            } else if Instant::now() > deadline {
                Some(format!("{} s went by", self.limit.as_secs()))
            } else {
                None
            };
            if let Some(why) = gave_up {
                bail!("waiting for `{text}`, but {why}\n{}", self.report());
            }
            self.console.wait(POLL_INTERVAL);
        }
    }

    /// The first line at or after the cursor that has `text`; the cursor moves behind it.
    fn take_line(&mut self, source: Source, text: &str, may_be_open: bool) -> Option<String> {
        let state = self.console.lock();
        let (lines, cursor) = match source {
            Source::L1 => (&state.lines, &mut self.waited.console),
            Source::Debug => (&self.debug_lines, &mut self.waited.debug),
        };
        let found = lines[*cursor..].iter().position(|line| line.contains(text));
        if let Some(index) = found {
            *cursor += index + 1;
            return Some(lines[*cursor - 1].clone());
        }
        *cursor = lines.len();
        // A prompt is not followed by a line's end.
        let open = &state.open;
        (may_be_open && open.contains(text)).then(|| open.clone())
    }

    /// Types on L1's console.
    ///
    /// # Errors
    ///
    /// When the machine was started without input, or has ended.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let Some(input) = &mut self.input else {
            bail!("this machine takes no input")
        };
        input.write_all(text.as_bytes())?;
        input.flush()?;
        Ok(())
    }

    /// Connects to gnomon's debug console. Only one at a time can be connected.
    ///
    /// # Errors
    ///
    /// When the machine has no console socket, or gnomon does not answer on it.
    pub fn debug_console(&mut self) -> Result<Console> {
        let Some(socket) = &self.socket else {
            bail!("this machine has no console socket")
        };
        Console::connect(socket, self.limit)
            .with_context(|| format!("gnomon's console does not answer\n{}", self.report()))
    }

    /// The socket of gnomon's debug console, for those who want its bytes as they are.
    #[must_use]
    pub fn console_socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Waits until the machine has powered off, failed, or the limit is over. It is not
    /// running any more afterwards.
    ///
    /// # Errors
    ///
    /// When QEMU's state cannot be read.
    pub fn wait_until_off(&mut self) -> Result<Outcome> {
        let deadline = Instant::now() + self.limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.drain();
                self.look();
                return Ok(self.outcome(status));
            }
            self.look();
            if let Some(failure) = self.judge.failure() {
                let since = self.failed_at.get_or_insert_with(Instant::now).elapsed();
                if failure.grace.is_some_and(|grace| since > grace) {
                    let why = failure.line.clone();
                    self.stop();
                    return Ok(Outcome::Failed(why));
                }
            }
            if Instant::now() > deadline {
                self.stop();
                return Ok(Outcome::TimedOut(self.limit));
            }
            self.console.wait(POLL_INTERVAL);
        }
    }

    fn outcome(&self, status: ExitStatus) -> Outcome {
        match self.judge.failure() {
            Some(failure) => Outcome::Failed(failure.line.clone()),
            None if status.success() => Outcome::PoweredOff,
            None => Outcome::Failed(format!("QEMU ended with {status}")),
        }
    }

    /// Stops QEMU if it still runs, and reads what it left.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.drain();
        self.look();
        if let Some(socket) = &self.socket {
            let _ = fs::remove_file(socket);
        }
    }

    /// Waits for the reader to have everything; QEMU has ended, so it soon has.
    fn drain(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }

    /// Takes in what was printed since the last look, and lets the judge see it.
    fn look(&mut self) {
        if let Some(debug) = &mut self.debug {
            debug.read_into(&mut self.debug_lines);
        }
        let state = self.console.lock();
        for line in &state.lines[self.judged.console..] {
            self.judge.observe(Source::L1, line);
        }
        for line in &self.debug_lines[self.judged.debug..] {
            self.judge.observe(Source::Debug, line);
        }
        self.judged = Cursors {
            console: state.lines.len(),
            debug: self.debug_lines.len(),
        };
    }

    /// The ends of both consoles and of QEMU's messages, for a message about a failure.
    #[must_use]
    pub fn report(&self) -> String {
        let qemu = fs::read_to_string(self.log_dir.join("qemu.log")).unwrap_or_default();
        let qemu: Vec<String> = qemu.lines().map(str::to_owned).collect();
        let mut text = String::new();
        for (name, lines) in [
            ("L1's console", &self.console.lock().lines),
            ("the debug console", &self.debug_lines),
            ("QEMU", &qemu),
        ] {
            if !lines.is_empty() {
                let _ = writeln!(text, "--- the end of {name}");
                for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        let _ = write!(text, "--- logs are in {}", self.log_dir.display());
        text
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
    }
}
