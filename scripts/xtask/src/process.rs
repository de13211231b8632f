//! Running other programs, with errors that say which one and why.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// The first program of that name in `PATH`.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Whether there is a compiler for C++.
#[must_use]
pub fn has_cxx() -> bool {
    ["c++", "g++", "clang++"]
        .into_iter()
        .any(|name| find_program(name).is_some())
}

/// A command as a person would type it, for messages.
#[must_use]
pub fn display(command: &Command) -> String {
    let mut line = quote(command.get_program());
    for argument in command.get_args() {
        let _ = write!(line, " {}", quote(argument));
    }
    line
}

/// Quotes a word for the shell where that is needed.
#[must_use]
pub fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs a command quietly and returns what it printed on standard output.
///
/// # Errors
///
/// When it cannot be started or ends with a failure; the message carries what it
/// printed on standard error.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = finish(command)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command quietly for its effect. Errors as for [`capture`].
///
/// # Errors
///
/// As for [`capture`].
pub fn run_quietly(command: &mut Command) -> Result<()> {
    finish(command).map(drop)
}

/// Runs a command with our terminal as its own.
///
/// # Errors
///
/// When it cannot be started or ends with a failure.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", display(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", display(command));
    }
    Ok(())
}

fn finish(command: &mut Command) -> Result<Output> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", display(command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", display(command), reason(&output));
    }
    Ok(output)
}

/// The lines of a failed program that say why, without its warnings.
pub(crate) fn reason(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with("W:"))
        .collect();
    match lines.len() {
        0 => output.status.to_string(),
        count => lines[count.saturating_sub(3)..].join("; "),
    }
}

/// A command that needs root: as it is for root, through `sudo` for others.
///
/// # Errors
///
/// When the user is not root and there is no `sudo`.
pub fn as_root(program: &str) -> Result<Command> {
    let user = capture(Command::new("id").arg("-u"))?;
    if user.trim() == "0" {
        return Ok(Command::new(program));
    }
    if find_program("sudo").is_none() {
        bail!("`{program}` needs root, and there is no sudo here");
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_need_quotes_get_them() {
        for (word, quoted) in [
            ("-smp", "-smp"),
            ("virt,gic-version=3", "virt,gic-version=3"),
            ("a b", "'a b'"),
            ("", "''"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(quote(OsStr::new(word)), quoted);
        }
    }

    #[test]
    fn a_failure_names_the_program_and_its_complaint() {
        let error = capture(Command::new("sh").args(["-c", "echo 'W: noise' >&2; echo why >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("sh -c") && error.ends_with("failed: why"), "{error}");
        let error = capture(&mut Command::new("/no/such/program")).unwrap_err().to_string();
        assert!(error.contains("cannot start `/no/such/program`"), "{error}");
    }
}
