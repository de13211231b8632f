//! One terminal for all: L1's console, QEMU's monitor and the debug console, as `scripts/run` gives them to a person.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::project::{CALLER_DIR_VARIABLE, Project};

use crate::line::{CTRL_A, Line};
use crate::{Result, entry, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("one_terminal_is_shared_by_l1_and_the_debug_console", is_shared)]
}

/// Ctrl-a c, which goes from one to the next.
const NEXT: &[u8] = &[CTRL_A, b'c'];

fn is_shared(_name: &str) -> Result {
    let (mut run, mut terminal) = start()?;
    terminal.read_until_within("This is L1.", entry::LIMIT)?;
    // All speak on one line: L1 is to have said what it has to say.
    terminal.send(b"echo L1 rests, $((6 * 7))\n")?;
    terminal.read_until("L1 rests, 42")?;
    terminal.read_until("# ")?;

    terminal.send(NEXT)?;
    terminal.read_until("(qemu) ")?;
    terminal.send(NEXT)?;
    terminal.send(b"\r")?;
    terminal.read_until("gnomon> ")?;
    terminal.send(b"levels host\r")?;
    let answer = terminal.read_until("gnomon> ")?;
    ensure_line(&answer, "4")?;

    // A word is completed, and a line is taken back and mended.
    terminal.send(b"ipa_r\thoxt\x1b[D\x7fs\r")?;
    let answer = terminal.read_until("gnomon> ")?;
    ensure_line(&answer, "48")?;

    terminal.send(NEXT)?;
    terminal.send(b"\necho L1 hears $((6 * 7))\n")?;
    terminal.read_until("L1 hears 42")?;
    terminal.send(b"exit\n")?;
    let status = run.0.wait()?;
    ensure_success(status.success())?;
    Ok(())
}

fn ensure_line(answer: &str, line: &str) -> AnyResult<()> {
    ensure!(answer.lines().any(|one| one == line), "no line {line:?} in {answer:?}");
    Ok(())
}

fn ensure_success(is_success: bool) -> AnyResult<()> {
    ensure!(is_success, "scripts/run did not end well");
    Ok(())
}

/// Runs `scripts/run` with pipes in the place of a terminal.
fn start() -> AnyResult<(Script, Line)> {
    let mut command = Command::new(Project::new().root().join("scripts/run"));
    command
        .args(["--smp", "1", "--append", "gnomon.l2=off"])
        .env_remove(CALLER_DIR_VARIABLE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().context("cannot start scripts/run")?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let script = Script(child);
    let input = input.context("no standard input")?;
    let output = output.context("no standard output")?;
    Ok((script, Line::new(output, input)))
}

/// Ends with the case.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
