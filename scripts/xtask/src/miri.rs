//! `xtask miri`: tests of the pure crates, executed by Miri.
//!
//! These crates have no `unsafe` code, so what Miri can find in them is little: data races and orders of memory that a host
//! happens not to show, where threads share atomics or a lock (the trace ring, the mailboxes, which CPUs are on), and
//! undefined behaviour in the crates they use. That is what is run; with `--all` all of their tests are, which takes hours.
//! Miri comes with nightly compilers only.

use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::project::Project;

/// Tests whose threads share memory: packages, and what the tests' names contain.
const TESTS: &[(&str, &str)] = &[
    ("trace", "ring::tests"),
    ("console-core", "mailbox"),
    ("power", "cpu::tests"),
];

/// The toolchain that has Miri, as an argument of cargo's.
///
/// # Errors
///
/// In words, what is missing.
pub fn find(project: &Project) -> Result<String, String> {
    let toolchain = "+nightly".to_owned();
    let is_there = process::capture(
        Command::new("cargo")
            .args([&toolchain, "miri", "--version"])
            .current_dir(project.root()),
    );
    match is_there {
        Ok(_) => Ok(toolchain),
        Err(_) => Err("no Miri here: rustup toolchain install nightly --component miri,rust-src".to_owned()),
    }
}

/// The command that runs the tests whose threads share memory.
#[must_use]
pub fn command(project: &Project, toolchain: &str) -> Command {
    let mut command = cargo(project, toolchain);
    for (package, _) in TESTS {
        command.args(["--package", package]);
    }
    command.arg("--").args(TESTS.iter().map(|(_, name)| name));
    command
}

/// The command that runs all tests of the pure crates, of a property with one case. What loom plays has stacks of its own,
/// which Miri does not know.
fn command_for_all(project: &Project, toolchain: &str) -> Command {
    let mut command = cargo(project, toolchain);
    command.env("PROPTEST_CASES", "1").args(["--", "--skip", "loom_tests"]);
    command
}

fn cargo(project: &Project, toolchain: &str) -> Command {
    let mut command = Command::new("cargo");
    command
        .current_dir(project.root())
        .args([toolchain, "miri", "test", "--lib"])
        // Cargo says which toolchain is in use by these; another one is meant.
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("CARGO_TARGET_DIR", project.target_dir().join("miri"));
    command
}

/// Runs those tests with our terminal, or `all`.
///
/// # Errors
///
/// When there is no Miri, or a test fails.
pub fn run(project: &Project, all: bool) -> Result<()> {
    let toolchain = find(project).map_err(anyhow::Error::msg)?;
    let command = if all { command_for_all } else { command };
    process::run(&mut command(project, &toolchain))
}
