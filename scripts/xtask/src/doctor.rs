//! `xtask doctor`: what is missing, and the exact command that brings it.

use std::path::Path;

use anyhow::Result;

use crate::apt;
use crate::browser;
use crate::payload::Payload;
use crate::process::find_program;
use crate::project::{FIRMWARE_TARGET, Project};
use crate::setup::{self, qemu, toolchain};
use crate::version::QEMU_MINIMUM;

/// One thing that gnomon's scripts need.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    what: String,
    /// What to do, when it is not there.
    fix: Option<String>,
}

impl Check {
    fn new(what: impl Into<String>, fix: Option<String>) -> Self {
        Self { what: what.into(), fix }
    }
}

/// Prints one line for each thing that is needed; returns whether all are there.
///
/// # Errors
///
/// When the compiler cannot be asked.
pub fn doctor(project: &Project) -> Result<bool> {
    let checks = [
        linker(),
        target(project)?,
        host_qemu(),
        payload(project),
        debugger(),
        test_browser(),
    ];
    for check in &checks {
        match &check.fix {
            None => println!("ok       {}", check.what),
            Some(fix) => println!("missing  {}\n         {fix}", check.what),
        }
    }
    Ok(checks.iter().all(|check| check.fix.is_none()))
}

fn linker() -> Check {
    let fix = find_program("cc")
        .is_none()
        .then(|| "apt-get install gcc libc6-dev".to_owned());
    Check::new("a C compiler, which Rust links host programs with", fix)
}

fn target(project: &Project) -> Result<Check> {
    let fix = match toolchain::installed(project)? {
        toolchain::Installed::Good => None,
        toolchain::Installed::Missing => Some(format!("rustup target add {FIRMWARE_TARGET}")),
        toolchain::Installed::WithoutBitcode(_) => Some("scripts/setup".to_owned()),
        toolchain::Installed::Twice(dir) => Some(toolchain::advice_twice(&dir)),
    };
    Ok(Check::new(format!("Rust's target {FIRMWARE_TARGET}"), fix))
}

fn host_qemu() -> Check {
    match qemu::installed() {
        qemu::Installed::Good(version) => Check::new(format!("QEMU {version}"), None),
        qemu::Installed::Old(version) => Check::new(
            format!("QEMU {QEMU_MINIMUM} or newer (here is {version})"),
            Some(qemu::advice()),
        ),
        qemu::Installed::Missing => Check::new(format!("QEMU {QEMU_MINIMUM} or newer"), Some(qemu::advice())),
    }
}

fn payload(project: &Project) -> Check {
    let fix = if Payload::is_cached(project) {
        None
    } else {
        Some(match apt::unavailable() {
            None => "scripts/setup".to_owned(),
            Some(why) => format!("{why}; or bring your own: scripts/run --kernel F --initrd F"),
        })
    };
    Check::new("the default L1 payload", fix)
}

fn test_browser() -> Check {
    let fix = (!browser::is_installed())
        .then(|| format!("{} (only for the tests of scripts/view)", setup::browser::advice()));
    Check::new("a browser that tests can drive", fix)
}

fn debugger() -> Check {
    let there = ["gdb-multiarch", "aarch64-none-elf-gdb", "gdb"].map(find_program);
    let fix = if there
        .iter()
        .flatten()
        .any(|path: &std::path::PathBuf| Path::exists(path))
    {
        None
    } else {
        Some("apt-get install gdb-multiarch (only for scripts/gdb)".to_owned())
    };
    Check::new("a debugger", fix)
}
