//! `xtask profile`: where gnomon's instructions go, by function.
//!
//! The machine runs under `-icount` with a plugin that counts each executed instruction of gnomon's text
//! (`scripts/plugin`). What is counted lies between two lines of L1's console, so that one kind of work can be looked
//! at: the boot of an L2, or the loop of a payload of one's own. The counts are the same in every run.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use addr2line::Loader;
use anyhow::{Context, Result, bail, ensure};

use crate::elf::{self, Functions};
use crate::firmware::{self, Firmware};
use crate::machine::builder::Request;
use crate::machine::config::{Console, DebugUart};
use crate::machine::running::{Machine, Watch};
use crate::process;
use crate::progress::say;
use crate::project::Project;
use crate::setup::{qemu, toolchain};

/// The vectors' symbol in `boot/vectors.S`.
const VECTORS: &str = "exception_vectors";
/// Vectors of exceptions from a lower level lie in this half of the table; each has this many bytes.
const FROM_LOWER: u64 = 0x400;
const VECTOR_BYTES: u64 = 0x80;

/// What to run and what to count.
#[derive(Clone, Debug)]
pub struct Options {
    /// The machine.
    pub request: Request,
    /// Counting begins when L1's console prints a line with this.
    pub from: String,
    /// It ends when L1's console prints a line with this.
    pub to: String,
    /// Functions to show.
    pub top: usize,
    /// Whether instructions count for the function that was inlined, not for the one it was inlined into.
    pub inlined: bool,
}

/// How often each instruction was executed, by address.
type Counts = BTreeMap<u64, u64>;

/// Runs the machine and prints the profile.
///
/// # Errors
///
/// When something cannot be built or started, or one of the lines does not come.
pub fn run(project: &Project, options: &Options) -> Result<()> {
    qemu::ensure(project)?;
    toolchain::ensure(project)?;
    let firmware = firmware::build(project)?;
    let elf = fs::read(&firmware.elf)?;
    let image = Image::parse(&elf)?;
    let counts = count(project, options, &image)?;
    let profile = if options.inlined {
        by_inlined_function(&counts, &firmware)?
    } else {
        image.by_function(&counts)
    };
    print!("{}", table(&profile, options.top, image.entries(&counts)));
    Ok(())
}

/// Runs the machine between the two lines.
fn count(project: &Project, options: &Options, image: &Image) -> Result<Counts> {
    let log_dir = project.target_dir().join("profile");
    let socket = env::temp_dir().join(format!("gnomon-counter-{}.sock", std::process::id()));
    let _ = fs::remove_file(&socket);
    let mut request = options.request.clone();
    request.icount = true;
    request.cpu_count = Some(request.cpu_count.unwrap_or(1));
    request.headless = true;
    let plugin = format!(
        "file={},base={:#x},bytes={:#x},socket={}",
        plugin(project)?.display(),
        image.text.start,
        image.text.end - image.text.start,
        socket.display()
    );
    request.extra.extend(["-plugin".into(), plugin.into()]);
    let config = request.config(project, Console::Stdio, DebugUart::Log(log_dir.join("debug.log")))?;
    let watch = Watch {
        log_dir,
        echo: false,
        input: false,
    };
    let mut machine = Machine::start(&config, &watch)?;
    say(&format!("profile: waiting for `{}`", options.from));
    machine.wait_for(&options.from)?;
    let mut counter = Counter::connect(&socket)?;
    counter.take()?;
    say(&format!("profile: counting until `{}`", options.to));
    machine.wait_for(&options.to)?;
    let counts = counter.take();
    let _ = fs::remove_file(&socket);
    counts
}

/// QEMU's argument for the plugin that writes how often gnomon was entered from a lower level, to `marks`, each time the
/// program that counts says so.
///
/// # Errors
///
/// When it cannot be built, or `firmware` is not gnomon's.
pub fn entries_plugin(project: &Project, firmware: &Firmware, marks: &Path) -> Result<String> {
    let image = Image::parse(&fs::read(&firmware.elf)?)?;
    Ok(format!(
        "file={},base={:#x},bytes={FROM_LOWER:#x},step={VECTOR_BYTES:#x},marks={}",
        plugin(project)?.display(),
        image.vectors + FROM_LOWER,
        marks.display()
    ))
}

/// Builds the plugin.
fn plugin(project: &Project) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(project.root())
        .args(["build", "--quiet", "--release", "--package", "instruction-counter"]);
    process::run(&mut cargo)?;
    Ok(project.target_dir().join("release/libinstruction_counter.so"))
}

/// A connection to the plugin.
struct Counter {
    sink: UnixStream,
    source: BufReader<UnixStream>,
}

impl Counter {
    fn connect(socket: &Path) -> Result<Self> {
        let sink = UnixStream::connect(socket).context("the plugin does not listen")?;
        let source = BufReader::new(sink.try_clone()?);
        Ok(Self { sink, source })
    }

    /// What was counted since the last time.
    fn take(&mut self) -> Result<Counts> {
        self.sink.write_all(b"take\n")?;
        let mut counts = Counts::new();
        for line in self.source.by_ref().lines() {
            let line = line?;
            if line == "end" {
                return Ok(counts);
            }
            let (address, count) = parse_count(&line).with_context(|| format!("the plugin said {line:?}"))?;
            counts.insert(address, count);
        }
        bail!("the plugin is gone (QEMU ended)")
    }
}

/// A line `ADDRESS COUNT`, hexadecimal and decimal.
fn parse_count(line: &str) -> Option<(u64, u64)> {
    let (address, count) = line.split_once(' ')?;
    Some((u64::from_str_radix(address, 16).ok()?, count.parse().ok()?))
}

/// What of the ELF matters here.
struct Image {
    text: std::ops::Range<u64>,
    /// Start and name of each function, in order.
    functions: Functions,
    vectors: u64,
}

impl Image {
    fn parse(elf: &[u8]) -> Result<Self> {
        let (text, functions) = elf::functions(elf)?;
        let vectors = functions.iter().find(|(_, name)| name == VECTORS);
        let vectors = vectors.context("gnomon's ELF has no vectors")?.0;
        ensure!(!text.is_empty(), "gnomon's ELF has an empty .text");
        Ok(Self {
            text,
            functions,
            vectors,
        })
    }

    /// Counts by the function whose symbol is nearest.
    fn by_function(&self, counts: &Counts) -> Profile {
        let mut profile = Profile::new();
        for (&address, &count) in counts {
            let after = self.functions.partition_point(|(start, _)| *start <= address);
            let Some((start, name)) = after.checked_sub(1).and_then(|index| self.functions.get(index)) else {
                continue;
            };
            let row = profile.entry(name.clone()).or_default();
            row.instructions += count;
            if *start == address {
                row.calls += count;
            }
        }
        profile
    }

    /// How often an exception brought a CPU from a lower level to EL2.
    fn entries(&self, counts: &Counts) -> u64 {
        let vectors = (self.vectors + FROM_LOWER..self.vectors + 2 * FROM_LOWER).step_by(VECTOR_BYTES as usize);
        vectors.filter_map(|vector| counts.get(&vector)).sum()
    }
}

/// A function's part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    instructions: u64,
    /// 0 where that is not known: the function was inlined.
    calls: u64,
}

type Profile = BTreeMap<String, Row>;

/// Counts by the function that was written, wherever the compiler put it.
fn by_inlined_function(counts: &Counts, firmware: &Firmware) -> Result<Profile> {
    let loader = Loader::new(&firmware.elf).map_err(|error| anyhow::anyhow!("{}: {error}", firmware.elf.display()))?;
    let mut profile = Profile::new();
    for (&address, &count) in counts {
        let mut frames = loader
            .find_frames(address)
            .map_err(|error| anyhow::anyhow!("{address:#x}: {error}"))?;
        let name = match frames.next() {
            Ok(Some(frame)) => frame.function.map(|function| {
                let name = function.demangle().map(|name| name.into_owned());
                name.unwrap_or_default()
            }),
            _ => None,
        };
        let name = name.or_else(|| loader.find_symbol(address).map(str::to_owned));
        profile.entry(name.unwrap_or_default()).or_default().instructions += count;
    }
    Ok(profile)
}

/// The profile as text, the dearest function first.
fn table(profile: &Profile, top: usize, entries: u64) -> String {
    let mut rows: Vec<(&String, &Row)> = profile.iter().collect();
    rows.sort_by_key(|(name, row)| (std::cmp::Reverse(row.instructions), *name));
    let total: u64 = rows.iter().map(|(_, row)| row.instructions).sum();
    let mut text = format!(
        "{:>14} {:>6} {:>10} {:>9}  function\n",
        "instructions", "share", "calls", "per call"
    );
    for (name, row) in rows.iter().take(top) {
        let share = percent(row.instructions, total);
        let per_call = row.instructions.checked_div(row.calls);
        let per_call = per_call.map_or_else(String::new, |count| count.to_string());
        let _ = writeln!(
            text,
            "{:>14} {share:>6} {:>10} {per_call:>9}  {name}",
            row.instructions, row.calls
        );
    }
    let mean = total.checked_div(entries).unwrap_or(0);
    let _ = writeln!(
        text,
        "{total} instructions in {entries} entries from a lower exception level, {mean} on average"
    );
    text
}

/// A share with one decimal.
fn percent(part: u64, whole: u64) -> String {
    let tenths = (part * 1000).checked_div(whole).unwrap_or(0);
    format!("{}.{}%", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            text: 0x1000..0x3000,
            functions: vec![
                (0x1000, "first".to_owned()),
                (0x1800, VECTORS.to_owned()),
                (0x2800, "last".to_owned()),
            ],
            vectors: 0x1800,
        }
    }

    #[test]
    fn an_instruction_counts_for_the_function_it_is_in() {
        let counts = Counts::from([(0x1000, 2), (0x1004, 3), (0x2ffc, 5)]);
        let profile = image().by_function(&counts);
        let row = |instructions, calls| Row { instructions, calls };
        assert_eq!(profile.get("first"), Some(&row(5, 2)));
        assert_eq!(profile.get("last"), Some(&row(5, 0)));
        assert_eq!(profile.len(), 2);
    }

    #[test]
    fn entries_are_executions_of_the_vectors_for_lower_levels() {
        let counts = Counts::from([(0x1800, 100), (0x1c00, 7), (0x1c04, 7), (0x1c80, 2), (0x2000, 50)]);
        assert_eq!(image().entries(&counts), 9);
    }

    #[test]
    fn the_dearest_function_comes_first_and_shares_are_of_all() {
        let row = |instructions, calls| Row { instructions, calls };
        let profile = Profile::from([("a".to_owned(), row(10, 0)), ("b".to_owned(), row(30, 3))]);
        let text = table(&profile, 1, 4);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["30", "75.0%", "3", "10", "b"]
        );
        assert_eq!(
            lines[2],
            "40 instructions in 4 entries from a lower exception level, 10 on average"
        );
    }

    #[test]
    fn what_the_plugin_says_is_read() {
        assert_eq!(parse_count("40200abc 12"), Some((0x4020_0abc, 12)));
        assert_eq!(parse_count("nonsense"), None);
    }
}
