//! The debug console and programs: after `set json on` whatever is sent is answered by records, and by nothing else.

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use xtask::machine::Builder;

use crate::line::{self, Line};
use crate::{Result, entry, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("in_json_every_line_is_answered_by_records", answers_in_records)]
}

/// What stops or changes the machine, or does not end by itself.
const NOT_TRIED: [&str; 9] = [
    "stop", "cont", "panic", "poweroff", "reset", "drop", "dirty", "split", "watch",
];

fn answers_in_records(name: &str) -> Result {
    let mut machine = Builder::new(name).append("gnomon.hold=600").interactive().start()?;
    machine.set_limit(entry::LIMIT);
    machine.wait_for("L2 OK")?;
    // A prompt, so that nothing of the boot comes in between.
    drop(machine.debug_console()?);

    let mut program = Program::begin(line::to_console(&machine)?)?;
    check_frames(&mut program)?;
    check_all_commands(&mut program)?;
    end_by_ctrl_c(&mut program)?;
    program.end()?;
    Ok(())
}

/// The other end, of a program.
struct Program {
    line: Line,
    /// The number of the last answer.
    id: u64,
}

impl Program {
    fn begin(line: Line) -> AnyResult<Self> {
        let mut program = Self { line, id: 0 };
        program.line.send(b"set json on\r")?;
        let text = program.read_answer()?;
        let (_, answer) = text.split_once("set json on\n").context("no echo of `set json on`")?;
        ensure!(kinds(&program.records(answer)?) == ["hello", "end"], "{text}");
        Ok(program)
    }

    /// Goes back to text, after one more record.
    fn end(mut self) -> AnyResult<()> {
        self.line.send(b"set json off\r")?;
        let text = self.line.read_until("gnomon> ")?;
        let records = text.lines().filter(|line| line.starts_with('{')).count();
        ensure!(records == 1, "{text}");
        Ok(())
    }

    /// Sends a line and returns the records of its answer.
    fn ask(&mut self, line: &str) -> AnyResult<Vec<Value>> {
        self.line.send(format!("{line}\r").as_bytes())?;
        let text = self.read_answer()?;
        self.records(&text).with_context(|| format!("the answer to `{line}`"))
    }

    fn read_answer(&mut self) -> AnyResult<String> {
        self.id += 1;
        let end = format!("{{\"v\":{},\"id\":{},\"k\":\"end\"}}\n", wire::VERSION, self.id);
        self.line.read_until(&end)
    }

    /// The records of an answer, in which there must be nothing else but the log.
    fn records(&self, answer: &str) -> AnyResult<Vec<Value>> {
        let lines = answer.lines().filter(|line| !line.starts_with("[gnomon] "));
        lines.map(|line| self.record(line)).collect()
    }

    fn record(&self, line: &str) -> AnyResult<Value> {
        let record: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line:?}"))?;
        ensure!(line.len() < wire::LINE_BYTES, "a line of {} bytes: {line}", line.len());
        ensure!(record["v"] == wire::VERSION, "another version: {line}");
        ensure!(record["id"] == self.id, "not of answer {}: {line}", self.id);
        ensure!(record["k"].is_string(), "no kind: {line}");
        Ok(record)
    }
}

fn kinds(records: &[Value]) -> Vec<&str> {
    records.iter().filter_map(|record| record["k"].as_str()).collect()
}

/// What frames answers: the end, errors, filters.
fn check_frames(program: &mut Program) -> AnyResult<()> {
    for (line, expected) in [
        ("", &["end"][..]),
        ("bogus", &["error", "end"]),
        ("ptdump host | bogus", &["error", "end"]),
        ("levels host", &["levels", "end"]),
        ("help | count", &["count", "end"]),
        ("help | head 2", &["command", "command", "end"]),
        ("help ptdump", &["command", "end"]),
        ("help | grep nothing-like-this", &["end"]),
        ("trace", &["trace", "end"]),
        ("stop", &["state", "end"]),
        ("cont", &["state", "end"]),
    ] {
        let records = program.ask(line)?;
        ensure!(kinds(&records) == expected, "`{line}` is answered by {records:?}");
    }
    Ok(())
}

/// Whatever command it is: its example has an answer, and that is in records.
fn check_all_commands(program: &mut Program) -> AnyResult<()> {
    let shadows = program.ask("shadow")?;
    let is_l2s = |row: &&Value| row["name"].as_str().is_some_and(|name| name.ends_with("-s2-enabled"));
    let number = &shadows.iter().find(is_l2s).context("L2 has no shadow")?["number"];
    let help = program.ask("help")?;
    let commands: Vec<_> = help.iter().filter(|record| record["k"] == "command").collect();
    ensure!(!commands.is_empty(), "`help` is answered by {help:?}");
    for command in commands {
        let field = |name: &str| {
            command[name]
                .as_str()
                .with_context(|| format!("no {name} in {command}"))
        };
        if NOT_TRIED.contains(&field("name")?) {
            continue;
        }
        // Without its filter, so that all of it is seen, and about the shadow that there is.
        let example = field("example")?.split('|').next().unwrap_or_default();
        let example = &example.replace("shadow/1", &format!("shadow/{number}"));
        let records = program.ask(example)?;
        let raw = kinds(&records).into_iter().filter(|kind| *kind == "text").count();
        ensure!(raw == 0, "`{example}` has {raw} lines without fields: {records:?}");
        ensure!(!kinds(&records).contains(&"error"), "`{example}` fails: {records:?}");
    }
    Ok(())
}

fn end_by_ctrl_c(program: &mut Program) -> AnyResult<()> {
    program.line.send(b"ptdump host\r\x03")?;
    let text = program.read_answer()?;
    let records = program.records(&text)?;
    ensure!(kinds(&records).ends_with(&["error", "end"]), "{records:?}");
    Ok(())
}
