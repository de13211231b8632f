//! The debug console and people: whatever is typed, it answers the next sensible line.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::console::{Console, PROMPT};
use xtask::machine::{Builder, Machine, Outcome};

use crate::{Result, expect_none, trial};

/// How much nonsense is typed.
const GARBAGE_BYTES: usize = 100_000;

/// As many dumps as are typed ahead; their lines fit into the console's 256 bytes for that.
const DUMPS: usize = 20;

/// The commands that the console must have.
const COMMANDS: [&str; 9] = [
    "help",
    "ptdump",
    "levels",
    "ipa_range",
    "shadow",
    "exits",
    "stop",
    "cont",
    "poweroff",
];

/// A long wait, for a console that does not come back.
const LIMIT: Duration = Duration::from_mins(3);

const CTRL_C: u8 = 0x03;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("console_survives_bad_input", survives_bad_input)]
}

/// One machine for all of it: what survives one thing must survive the next.
fn survives_bad_input(name: &str) -> Result {
    let mut machine = Builder::new(name).append("gnomon.l2=off").interactive().start()?;
    machine.set_limit(crate::entry::LIMIT);
    machine.wait_for("L1 OK")?;

    let mut console = machine.debug_console()?;
    console.set_limit(LIMIT);
    check_help(&mut console)?;
    expect_none(&complaints_about_errors(&mut console)?)?;
    drop(console);

    type_garbage(&machine)?;
    check_help(&mut machine.debug_console()?).context("after garbage was typed")?;

    cancel_dumps(&machine)?;
    check_help(&mut machine.debug_console()?).context("after Ctrl-C")?;

    check_that_l1_lives(&mut machine)?;
    power_off(&mut machine)?;
    Ok(())
}

fn check_help(console: &mut Console) -> AnyResult<()> {
    let lines = console.command("help")?;
    for command in COMMANDS {
        let is_its = |line: &String| line.split_whitespace().next() == Some(command);
        ensure!(lines.iter().any(is_its), "help does not speak of {command}: {lines:?}");
        let more = console.command(&format!("help {command}"))?;
        ensure!(
            more.iter().any(|line| line.starts_with("usage: ")),
            "`help {command}` says: {more:?}"
        );
    }
    Ok(())
}

/// Lines that mean nothing, each of which must be answered by one line of error.
fn complaints_about_errors(console: &mut Console) -> AnyResult<Vec<String>> {
    let long = "x".repeat(200);
    let bad = [
        "bogus",
        "help bogus",
        "ptdump bogus",
        "ptdump shadow/99",
        "ptdump shadow/",
        "ptdump shadow/0x0123",
        "ptdump guest/-1",
        "ptdump host el2",
        "ptdump -x",
        "levels",
        "levels bogus",
        "ipa_range",
        "ipa_range el2",
        "exits vcpu9",
        "exits -1",
        "shadow 1",
        "stop now",
        "cont",
        "poweroff please",
        "ptdump host | bogus",
        "ptdump host |",
        "| head 1",
        &long,
    ];
    let mut wrong = Vec::new();
    for line in bad {
        let answer = console.command(line)?;
        if !matches!(&answer[..], [error] if error.starts_with("error: ") && error.len() > "error: ".len()) {
            wrong.push(format!("`{line}` was answered by {answer:?}"));
        }
    }
    Ok(wrong)
}

/// Types a hundred thousand bytes of every value, then drops what is left on the line.
fn type_garbage(machine: &Machine) -> AnyResult<()> {
    let mut state = 1_u32;
    let garbage: Vec<u8> = (0..GARBAGE_BYTES)
        .map(|_| {
            // Numerical Recipes' generator: the same bytes in every run.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    let mut line = Line::connect(machine)?;
    line.send(&garbage)?;
    // What was typed last decides whether the end of it is a line, so it is dropped. The answer to the
    // line after that shows that all has been read.
    line.send(&[CTRL_C, CTRL_C])?;
    line.send(b"\rlevels after-garbage\r")?;
    line.read_until("no table 'after-garbage'").map(drop)
}

/// Types many dumps ahead and ends the first one: none of the others may follow.
fn cancel_dumps(machine: &Machine) -> AnyResult<()> {
    let mut line = Line::connect(machine)?;
    line.send(&b"ptdump host\r".repeat(DUMPS))?;
    line.read_until("---[ Guest IPA ]---")?;
    line.send(&[CTRL_C])?;
    let text = line.read_until(&format!("^C\n{PROMPT}"))?;
    let begun = text.matches("---[ Guest IPA ]---").count();
    ensure!(begun < DUMPS, "all {DUMPS} dumps came in spite of Ctrl-C");
    Ok(())
}

fn check_that_l1_lives(machine: &mut Machine) -> AnyResult<()> {
    machine.send("echo L1 lives $((6 * 7))\n")?;
    machine.wait_for("L1 lives 42").map(drop)
}

fn power_off(machine: &mut Machine) -> AnyResult<()> {
    let mut line = Line::connect(machine)?;
    line.send(b"poweroff\r")?;
    let outcome = machine.wait_until_off()?;
    ensure!(outcome == Outcome::PoweredOff, "`poweroff`, but {outcome}");
    Ok(())
}

/// The console's bytes as they are. What it prints is taken in all the time, by a thread: QEMU
/// stands still while nobody does, and then takes in nothing either.
struct Line {
    stream: UnixStream,
    received: Receiver<Vec<u8>>,
    reader: Option<JoinHandle<()>>,
}

impl Line {
    fn connect(machine: &Machine) -> AnyResult<Self> {
        let path = machine.console_socket().context("the machine has no console socket")?;
        let stream = UnixStream::connect(path)?;
        let (sender, received) = mpsc::channel();
        let mut source = stream.try_clone()?;
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            stream,
            received,
            reader: Some(reader),
        })
    }

    fn send(&mut self, bytes: &[u8]) -> AnyResult<()> {
        self.stream.write_all(bytes).context("the console takes nothing more")
    }

    /// Reads until `text` has come; returns everything up to the end of what came with it.
    fn read_until(&mut self, text: &str) -> AnyResult<String> {
        let deadline = Instant::now() + LIMIT;
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
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
