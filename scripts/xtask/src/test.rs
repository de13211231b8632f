//! `xtask test`: everything that must pass, in the order in which it fails fastest.
//!
//! Formatting, lints, documentation, host tests, Miri, fuzzing on the host, the viewer in a browser, the
//! firmware build, then the system tests, one QEMU each. A step that fails does not stop the later ones,
//! but for a build without which they cannot run. The last line counts: a step without tests of
//! its own is one. What could not be run for want of a program is named before it.

mod tally;

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::browser;
use crate::census;
use crate::firmware::{self, IMAGE_VARIABLE};
use crate::miri;
use crate::payload::Payload;
use crate::process;
use crate::progress::say;
use crate::project::Project;
use crate::setup::{self, qemu, toolchain};
use tally::Tally;

/// The package whose tests boot machines.
const SYSTEM_TESTS: &str = "system-tests";

/// What `xtask test` is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Leave out the system tests.
    pub quick: bool,
    /// Only the system tests whose name contains this.
    pub filter: Option<String>,
}

/// Runs the tests, prints the summary, and returns whether all passed.
///
/// # Errors
///
/// When the tests cannot be run at all (no compiler, no QEMU).
pub fn run(project: &Project, options: &Options) -> Result<bool> {
    toolchain::ensure(project)?;
    let mut session = Session {
        project,
        total: Tally::default(),
        failed: Vec::new(),
        skipped: Vec::new(),
    };
    if options.filter.is_none() {
        session.host_steps();
        if !options.quick {
            session.miri_step();
            session.fuzzing_step();
        }
        session.browser_step(options.quick);
    }
    let built = session.step("firmware build", |project| {
        firmware::build(project).map(|_| Tally::one(true))
    });
    if !options.quick {
        if built {
            session.step("system tests", |project| system_tests(project, options));
        } else {
            session.total.add(Tally::one(false));
            session.failed.push("system tests (not run)");
        }
    }
    for skipped in &session.skipped {
        println!("skipped: {skipped}");
    }
    if !session.failed.is_empty() {
        println!("failed: {}", session.failed.join(", "));
    }
    println!("{}", session.total);
    Ok(session.total.failed == 0)
}

struct Session<'a> {
    project: &'a Project,
    total: Tally,
    failed: Vec<&'static str>,
    /// Steps that were not run, and why. They count neither as passed nor as failed.
    skipped: Vec<String>,
}

impl Session<'_> {
    /// Formatting, lints and everything that needs no machine.
    fn host_steps(&mut self) {
        self.step("formatting", |project| {
            status(cargo(project, &["fmt", "--all", "--check"]))
        });
        self.step("lints, host", |project| {
            status(on_host(project, &["clippy", "--quiet", "--all-targets"]))
        });
        self.step("lints, firmware", |project| {
            let mut tally = Tally::default();
            for package in firmware::PAYLOADS.into_iter().chain([firmware::GNOMON, firmware::VMM]) {
                let mut command = firmware::cargo(project, "clippy", package);
                command.arg("--quiet");
                tally.add(status(command)?);
            }
            Ok(tally)
        });
        self.step("documentation", |project| {
            let mut command = on_host(project, &["doc", "--quiet", "--no-deps"]);
            command.env("RUSTDOCFLAGS", "-D warnings");
            status(command)
        });
        self.step("unsafe code", |project| {
            let (total, is_listed) = census::check(project)?;
            println!(
                "{total}{}",
                if is_listed {
                    ""
                } else {
                    "; docs/unsafe.md is out of date: cargo xtask unsafe"
                }
            );
            Ok(Tally::one(is_listed))
        });
        self.step("host tests", |project| {
            let arguments = ["test", "--quiet", "--exclude", SYSTEM_TESTS, "--no-fail-fast"];
            counted(on_host(project, &arguments))
        });
        self.step("host tests of the system tests' readers", |project| {
            counted(cargo(project, &["test", "--quiet", "--package", SYSTEM_TESTS, "--lib"]))
        });
    }

    /// What Miri can find in the pure crates, where there is a Miri.
    fn miri_step(&mut self) {
        let name = "Miri";
        match miri::find(self.project) {
            Ok(toolchain) => {
                self.step(name, |project| counted(miri::command(project, &toolchain)));
            }
            Err(why) => self.skip(name, &why),
        }
    }

    /// As many inputs as there are in the short run, guided by what they reach.
    fn fuzzing_step(&mut self) {
        let name = "fuzzing on the host";
        if !process::has_cxx() {
            return self.skip(name, "no C++ compiler here: apt-get install g++");
        }
        self.step(name, |project| {
            let arguments = ["run", "--quiet", "--package", "fuzz", "--", "--short"];
            status(cargo(project, &arguments))
        });
    }

    fn skip(&mut self, name: &str, why: &str) {
        say(&format!("== {name}: skipped, {why}"));
        self.skipped.push(format!("{name} ({why})"));
    }

    /// The viewer's page in a browser. `--quick` does not install one.
    fn browser_step(&mut self, is_quick: bool) {
        let name = "the viewer in a browser";
        let ready = if is_quick && !browser::is_installed() {
            Err(format!("no Chromium here: {}", setup::browser::advice()))
        } else {
            setup::browser::ensure()
        };
        if let Err(why) = ready {
            return self.skip(name, &why);
        }
        self.step(name, |project| {
            let arguments = ["test", "--quiet", "--package", "xtask", "--test", "browser", "--"];
            let mut command = cargo(project, &arguments);
            // One after the other: each browser uses all the CPUs there are.
            command.args(["--ignored", "--test-threads=1"]);
            counted(command)
        });
    }

    /// Runs one step, counts it, and says whether it passed.
    fn step(&mut self, name: &'static str, work: impl FnOnce(&Project) -> Result<Tally>) -> bool {
        say(&format!("== {name}"));
        let begin = Instant::now();
        let tally = work(self.project).unwrap_or_else(|error| {
            say(&format!("{name}: {error:#}"));
            Tally::one(false)
        });
        say(&format!("== {name}: {tally}, {:.1} s", begin.elapsed().as_secs_f32()));
        self.total.add(tally);
        if tally.failed != 0 {
            self.failed.push(name);
        }
        tally.failed == 0
    }
}

fn cargo(project: &Project, arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(project.root()).args(arguments);
    command
}

/// The same for all packages but those that are gnomon, which no host can compile.
fn on_host(project: &Project, arguments: &[&str]) -> Command {
    let mut command = cargo(project, arguments);
    command.arg("--workspace");
    for package in firmware::IMAGE_PACKAGES {
        command.args(["--exclude", package]);
    }
    command
}

/// A step that passes or fails as a whole.
fn status(mut command: Command) -> Result<Tally> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", process::display(&command)))?;
    Ok(Tally::one(status.success()))
}

/// A step whose tests are counted from what it prints. One that fails without a failed
/// test (it did not compile) counts as one failure.
fn counted(mut command: Command) -> Result<Tally> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::display(&command)))?;
    let mut tally = Tally::default();
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? != 0 {
            io::stdout().write_all(&line)?;
            if let Some(found) = Tally::parse_libtest(&String::from_utf8_lossy(&line)) {
                tally.add(found);
            }
            line.clear();
        }
    }
    if !child.wait()?.success() && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// One QEMU after the other: they use all the CPUs there are.
fn system_tests(project: &Project, options: &Options) -> Result<Tally> {
    qemu::ensure(project)?;
    Payload::default_for(project)?;
    let mut command = cargo(project, &["test", "--package", SYSTEM_TESTS, "--test", "system", "--"]);
    command.args(&options.filter).arg("--test-threads=1");
    command.env(IMAGE_VARIABLE, firmware::outputs(project).image);
    counted(command)
}
