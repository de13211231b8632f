//! `xtask bench`: what operations cost in instructions, natively and under gnomon.
//!
//! Programs that count ([`operations`]) run on one CPU under `-icount`, where a tick of the counter is an instruction,
//! and print a line for each operation ([`samples`]). Each runs twice, at QEMU's own EL2 and under gnomon, and what both
//! said becomes a [`report`]. A [`baseline`] is what a test compares with.

pub mod baseline;
pub mod operations;
pub mod report;
pub mod samples;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::firmware;
use crate::machine::builder::Request;
use crate::machine::config::{Console, DebugUart};
use crate::machine::running::{Machine, Watch};
use crate::machine::verdict::Outcome;
use crate::progress::say;
use crate::project::Project;
use crate::setup::{qemu, toolchain};
use operations::{OPERATIONS, Operation, Program};
use report::Row;
use samples::{Measured, Samples};

/// How long one program may run; the longest needs a tenth of it.
const LIMIT: Duration = Duration::from_mins(20);

/// What `xtask bench` is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only operations whose name or description contains this.
    pub filter: Option<String>,
    /// One JSON object a row instead of a table.
    pub json: bool,
}

/// Runs the programs, prints the report, and returns whether every budget was kept.
///
/// # Errors
///
/// When something cannot be built or started, a program fails, or the filter leaves nothing.
pub fn run(project: &Project, options: &Options) -> Result<bool> {
    let selected: Vec<&Operation> = OPERATIONS
        .iter()
        .filter(|operation| operation.matches(options.filter.as_deref().unwrap_or_default()))
        .collect();
    if selected.is_empty() {
        bail!("no operation is called that: `scripts/bench` without --filter lists them");
    }
    qemu::ensure(project)?;
    toolchain::ensure(project)?;
    let mut rows = Vec::new();
    for program in Program::ALL {
        let operations: Vec<&Operation> = selected.iter().copied().filter(|one| one.program == program).collect();
        if !operations.is_empty() {
            rows.extend(compare(project, program, &operations)?);
        }
    }
    if options.json {
        print!("{}", report::json(&rows)?);
    } else {
        print!("{}", report::table(&rows));
    }
    Ok(rows.iter().all(Row::is_within_budget))
}

/// Records what the bare program counts under gnomon, for the test that compares with it.
///
/// # Errors
///
/// When something cannot be built or started, the program fails, or the file cannot be written.
pub fn record(project: &Project) -> Result<()> {
    qemu::ensure(project)?;
    toolchain::ensure(project)?;
    let measured = measure(project, Program::Bare, false)?;
    let path = baseline::path(project);
    fs::write(&path, baseline::text(&measured)).with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("bench: recorded in {}", path.display()));
    Ok(())
}

/// Runs a program on both sides.
fn compare(project: &Project, program: Program, operations: &[&'static Operation]) -> Result<Vec<Row>> {
    let native = measure(project, program, true)?;
    let gnomon = measure(project, program, false)?;
    let row = |operation: &&'static Operation| {
        let find = |measured: &Measured, side: &str| -> Result<Samples> {
            let samples = measured.get(operation.name).copied();
            samples.with_context(|| format!("{side}: nothing was said of {}", operation.name))
        };
        Ok(Row {
            operation,
            native: find(&native, "native")?,
            gnomon: find(&gnomon, "gnomon")?,
        })
    };
    operations.iter().map(row).collect()
}

/// Runs a program on one side; its logs are in the target directory, under `bench`.
///
/// # Errors
///
/// When something cannot be built or started, or the program fails.
pub fn measure(project: &Project, program: Program, native: bool) -> Result<Measured> {
    let side = if native { "native" } else { "gnomon" };
    say(&format!("bench: {program}, {side}"));
    let request = Request {
        cpu_count: Some(1),
        headless: true,
        icount: true,
        native,
        ..request(project, program)?
    };
    let log_dir = project.target_dir().join("bench").join(format!("{program}-{side}"));
    let debug_uart = DebugUart::Log(log_dir.join("debug.log"));
    let config = request.config(project, Console::Stdio, debug_uart)?;
    let watch = Watch {
        log_dir,
        echo: false,
        input: false,
    };
    let mut machine = Machine::start(&config, &watch)?;
    machine.set_limit(LIMIT);
    let outcome = machine.wait_until_off()?;
    if outcome != Outcome::PoweredOff {
        bail!("{program}, {side}: {outcome}\n{}", machine.report());
    }
    Ok(samples::of(&machine.console_lines()))
}

/// What the program is booted from.
fn request(project: &Project, program: Program) -> Result<Request> {
    Ok(match program {
        Program::Bare => Request {
            kernel: Some(firmware::payload(project, firmware::BENCH)?),
            no_initrd: true,
            ..Request::default()
        },
    })
}
