//! Driving gnomon's debug console as a program: a command in, its lines out.
//!
//! The console is made for people: it echoes what is typed, edits the line, and
//! prints its log in between, in the middle of an echo, too. So an answer is what
//! stands between the line that ends with the command's echo and the next prompt,
//! without the log. Nothing depends on how fast either side is.

mod json;
mod plain;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use json::JsonConsole;
use plain::PlainText;

/// What the console prints when it is ready for a command.
pub const PROMPT: &str = "gnomon> ";

/// How lines of gnomon's log begin, which may come between any two pieces of what the console prints.
const LOG_PREFIX: &str = "[gnomon]";

/// How often a socket that is not there yet is tried, and the longest single read.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// A connection to the debug console.
#[derive(Debug)]
pub struct Console {
    stream: UnixStream,
    received: PlainText,
    limit: Duration,
}

impl Console {
    /// Connects to the socket at `path`, waiting for QEMU to make it and for gnomon to
    /// answer, each at most `limit`. Later answers may take as long.
    ///
    /// # Errors
    ///
    /// When nobody listens or nothing answers in that time.
    pub fn connect(path: &Path, limit: Duration) -> Result<Self> {
        let deadline = Instant::now() + limit;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => {
                    return Err(error).with_context(|| format!("nobody listens on {}", path.display()));
                }
                Err(_) => thread::sleep(RETRY_INTERVAL),
            }
        };
        stream.set_read_timeout(Some(RETRY_INTERVAL))?;
        let mut console = Self {
            stream,
            received: PlainText::default(),
            limit,
        };
        // Whatever was printed before is lost, the prompt with it: ask for a new one.
        console.type_line("")?;
        let has_prompt = console.read_until(|text| match text {
            _ if is_ready(text) => Some(true),
            _ if text.ends_with(json::END) => Some(false),
            _ => None,
        })?;
        // A program that went away left the console in JSON.
        if !has_prompt {
            console.type_line("set json off")?;
            console.read_until(|text| is_ready(text).then_some(()))?;
        }
        Ok(console)
    }

    /// Sets how long each later answer may take.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Gives a command and returns the lines of its answer.
    ///
    /// # Errors
    ///
    /// When the console goes away or does not come back to its prompt in time.
    pub fn command(&mut self, command: &str) -> Result<Vec<String>> {
        self.received.clear();
        self.type_line(command)?;
        self.read_until(|text| answer(text, command))
            .with_context(|| format!("no answer to `{command}`"))
    }

    fn type_line(&mut self, line: &str) -> Result<()> {
        self.stream.write_all(format!("{line}\r").as_bytes())?;
        Ok(())
    }

    /// Reads until `done` finds what it looks for in the text received so far. It is asked each time something comes, so
    /// it looks at the end only.
    fn read_until<T>(&mut self, mut done: impl FnMut(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + self.limit;
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the console is gone (QEMU ended)"),
                Ok(count) => {
                    self.received.push(&buffer[..count]);
                    if let Some(found) = done(self.received.as_str()) {
                        return Ok(found);
                    }
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error.into()),
            }
            if Instant::now() > deadline {
                let last = self.received.as_str().lines().last().unwrap_or("nothing");
                bail!("{} s went by; last came: {last}", self.limit.as_secs());
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// Whether there is nothing but the log behind the last prompt, which is not printed anew then.
fn is_ready(text: &str) -> bool {
    text.rsplit_once(PROMPT).is_some_and(|(_, behind)| is_log(behind))
}

/// Whether it is lines of the log, or nothing.
fn is_log(text: &str) -> bool {
    text.split_inclusive('\n')
        .all(|line| line.starts_with(LOG_PREFIX) && line.ends_with('\n'))
}

/// What was printed beside the log, each line of which ends.
fn without_log(text: &str) -> String {
    let mut parts = text.split(LOG_PREFIX);
    let first = parts.next().into_iter();
    let others = parts.filter_map(|part| Some(part.split_once('\n')?.1));
    first.chain(others).collect()
}

/// The answer to `command` in everything received since it was typed, once it is complete.
fn answer(text: &str, command: &str) -> Option<Vec<String>> {
    let (body, behind) = text.rsplit_once(&format!("\n{PROMPT}"))?;
    if !is_log(behind) {
        return None;
    }
    let body = without_log(&text[..=body.len()]);
    let mut lines = body.lines();
    // The echo. Prompts left over from before may stand in front of it, on the same line.
    lines
        .by_ref()
        .find(|line| line.trim_end().ends_with(command.trim_end()))?;
    Some(lines.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn an_answer_is_between_the_echo_and_the_next_prompt() {
        let lines = answer("gnomon> help\nptdump\nlevels\ngnomon> ", "help");
        assert_eq!(lines, Some(vec!["ptdump".into(), "levels".into()]));
        assert_eq!(answer("gnomon> stop\ngnomon> ", "stop"), Some(vec![]));
    }

    #[test]
    fn an_unfinished_answer_is_none() {
        for text in [
            "",
            "help",
            "help\n",
            "help\nptdump\n",
            "help\nptdump\ngnomon>",
            "gnomon> ",
        ] {
            assert_eq!(answer(text, "help"), None, "{text:?}");
        }
    }

    #[test]
    fn left_over_prompts_and_log_lines_are_no_part_of_it() {
        let text = "[gnomon] late\ngnomon> gnomon> shadow\n[gnomon] L2 exit\n0: x\n\ngnomon> ";
        assert_eq!(answer(text, "shadow"), Some(vec!["0: x".into(), String::new()]));
        let text = "gnomon> stop\nstopped\ngnomon> [gnomon] late\n[gnomon] later\n";
        assert_eq!(answer(text, "stop"), Some(vec!["stopped".into()]));
        assert_eq!(answer("\ngnomon> [gnomon] early\nstop\nstop", "stop"), None);
    }

    #[test]
    fn the_log_may_come_in_the_middle_of_an_echo() {
        let text = "gnomon> st[gnomon] late\n[gnomon] later\nop\nstopped\n[gnomon] last\ngnomon> ";
        assert_eq!(answer(text, "stop"), Some(vec!["stopped".into()]));
        assert!(is_ready("gnomon> [gnomon] late\n") && !is_ready("gnomon> [gnomon] la") && !is_ready("gnomon> st"));
    }

    /// Listens on a socket, answers each line that is typed by what `reply` makes of it, and lets `client` have a console
    /// on it.
    fn converse(name: &str, mut reply: impl FnMut(&str) -> String + Send + 'static, client: impl FnOnce(Console)) {
        let path = std::env::temp_dir().join(format!("xtask-console-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let gnomon = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut typed = Vec::new();
            let mut byte = [0];
            while stream.read(&mut byte).unwrap_or(0) == 1 {
                if byte[0] == b'\r' {
                    let line = String::from_utf8(std::mem::take(&mut typed)).unwrap();
                    stream.write_all(reply(&line).as_bytes()).unwrap();
                } else {
                    typed.push(byte[0]);
                }
            }
        });
        client(Console::connect(&path, Duration::from_mins(1)).unwrap());
        gnomon.join().unwrap();
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_whole_conversation_over_a_socket() {
        let reply = |line: &str| {
            let answer = if line.is_empty() { "" } else { "first\r\nsecond\r\n" };
            format!("{line}\r\n{answer}{PROMPT}")
        };
        converse("text", reply, |mut console| {
            assert_eq!(console.command("ptdump host").unwrap(), ["first", "second"]);
            assert_eq!(console.command("levels host").unwrap(), ["first", "second"]);
        });
    }

    #[test]
    fn a_console_that_was_left_in_json_is_taken_back() {
        let mut id = 7;
        let reply = move |line: &str| {
            id += 1;
            let end = format!("{{\"v\":1,\"id\":{id},\"k\":\"end\"}}\r\n");
            match line {
                "set json off" => format!("{end}{PROMPT}"),
                "levels host" => format!("{line}\r\n4\r\n{PROMPT}"),
                _ => end,
            }
        };
        converse("json", reply, |mut console| {
            assert_eq!(console.command("levels host").unwrap(), ["4"]);
        });
    }
}
