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
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::firmware;
use crate::hotspots;
use crate::machine::Side;
use crate::machine::builder::Request;
use crate::machine::config::{Console, DebugUart};
use crate::machine::running::{Machine, Watch};
use crate::machine::verdict::Outcome;
use crate::memory::MemorySize;
use crate::payload::{self, Kernel};
use crate::progress::say;
use crate::project::Project;
use crate::setup::{qemu, toolchain};
use operations::{OPERATIONS, Operation, Program};
use report::Row;
use samples::{Entries, Measured, Samples};

/// How long one program may run; the longest needs a tenth of it.
const LIMIT: Duration = Duration::from_mins(20);

/// The machine's RAM. Boot takes longer with more.
const RAM_MIB: u64 = 1024;

/// How often the guest of a Linux does each operation.
const LINUX_COUNT: u32 = 1000;

/// What `xtask bench` is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only operations whose name or description contains this.
    pub filter: Option<String>,
    /// L1's Linux instead of Debian's 7.x, with which the budgets were laid down.
    pub kernel: Option<PathBuf>,
    /// gnomon's own options.
    pub hyp: Option<String>,
    /// One JSON object a row instead of a table.
    pub json: bool,
}

/// Runs the programs, prints the report, and returns whether every budget was kept.
///
/// # Errors
///
/// When something cannot be built or started, a program fails, or the filter leaves nothing.
pub fn run(project: &Project, options: &Options) -> Result<bool> {
    let filter = options.filter.as_deref().unwrap_or_default();
    let selected: Vec<&Operation> = OPERATIONS.iter().filter(|one| one.matches(filter)).collect();
    if selected.is_empty() {
        bail!("no operation is called that: `scripts/bench` without --filter lists them");
    }
    prepare(project)?;
    let mut rows = Vec::new();
    for program in Program::ALL {
        let operations: Vec<&Operation> = selected.iter().copied().filter(|one| one.program == program).collect();
        if !operations.is_empty() {
            let mut payload = payload(project, program, options.kernel.as_deref())?;
            let native = measure(project, program, &payload, Side::Native)?;
            payload.hyp.extend(options.hyp.clone());
            let (gnomon, entries) = measure_with_entries(project, program, &payload)?;
            rows.extend(compare(&operations, &native, &gnomon, &entries)?);
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
/// As for [`bare_under_gnomon`], and when the file cannot be written.
pub fn record(project: &Project) -> Result<()> {
    prepare(project)?;
    let measured = bare_under_gnomon(project)?;
    let path = baseline::path(project);
    fs::write(&path, baseline::text(&measured)).with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("bench: recorded in {}", path.display()));
    Ok(())
}

/// What the bare program counts under gnomon.
///
/// # Errors
///
/// When something cannot be built or started, or the program fails.
pub fn bare_under_gnomon(project: &Project) -> Result<Measured> {
    let payload = payload(project, Program::Bare, None)?;
    measure(project, Program::Bare, &payload, Side::Gnomon)
}

/// Installs what is missing.
fn prepare(project: &Project) -> Result<()> {
    qemu::ensure(project)?;
    toolchain::ensure(project)
}

/// What the program is booted from; a Linux from `kernel` if there is one.
fn payload(project: &Project, program: Program, kernel: Option<&Path>) -> Result<Request> {
    let mut request = Request::default();
    match program {
        Program::Bare => {
            request.kernel = Some(firmware::payload(project, firmware::BENCH)?);
            request.no_initrd = true;
        }
        Program::Linux => {
            request.kernel = Some(linux(project, kernel)?);
            request.initrd = Some(payload::vmm_initrd(project)?);
            request
                .append
                .push(format!("{} -- bench all {LINUX_COUNT}", payload::COMMAND_LINE));
        }
        Program::Guest => {
            let kernel = linux(project, kernel)?;
            request.initrd = Some(payload::nested_vmm_initrd(project, &kernel, 1)?);
            request.kernel = Some(kernel);
            request
                .append
                .push(format!("{} -- guest 1 bench l2-boot 1", payload::COMMAND_LINE));
        }
    }
    Ok(request)
}

/// `kernel`, if there is one, or Debian's 7.x.
fn linux(project: &Project, kernel: Option<&Path>) -> Result<PathBuf> {
    kernel.map_or_else(
        || payload::kernel_image(project, Kernel::Seven),
        |path| Ok(path.to_owned()),
    )
}

/// Runs a program on one side; its logs are in the target directory, under `bench`.
fn measure(project: &Project, program: Program, payload: &Request, side: Side) -> Result<Measured> {
    say(&format!("bench: {program}, {side}"));
    let request = Request {
        cpu_count: Some(1),
        memory: Some(MemorySize::from_mib(RAM_MIB)),
        headless: true,
        icount: true,
        native: side == Side::Native,
        ..payload.clone()
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

/// [`measure`] under gnomon, with the entries per operation where the program marks them.
fn measure_with_entries(project: &Project, program: Program, payload: &Request) -> Result<(Measured, Entries)> {
    let marked = OPERATIONS.iter().filter(|one| one.program == program && one.is_marked);
    let marked: Vec<&str> = marked.map(|one| one.name).collect();
    if marked.is_empty() {
        return Ok((measure(project, program, payload, Side::Gnomon)?, Entries::new()));
    }
    let path = project.target_dir().join("bench").join(format!("{program}.marks"));
    fs::create_dir_all(project.target_dir().join("bench"))?;
    let plugin = hotspots::entries_plugin(project, &firmware::build(project)?, &path)?;
    let mut payload = payload.clone();
    payload.extra.extend(["-plugin".into(), plugin.into()]);
    let measured = measure(project, program, &payload, Side::Gnomon)?;
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let marks: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let entries = samples::entries(&marked, &measured, &marks);
    let entries =
        entries.with_context(|| format!("{program}: {} marks are not two for each operation", marks.len()))?;
    Ok((measured, entries))
}

/// Both sides of each operation.
fn compare(
    operations: &[&'static Operation],
    native: &Measured,
    gnomon: &Measured,
    entries: &Entries,
) -> Result<Vec<Row>> {
    let find = |measured: &Measured, side: Side, name: &str| -> Result<Samples> {
        let samples = measured.get(name).copied();
        samples.with_context(|| format!("{side}: nothing was said of {name}"))
    };
    let row = |operation: &&'static Operation| {
        Ok(Row {
            operation,
            native: find(native, Side::Native, operation.name)?,
            gnomon: find(gnomon, Side::Gnomon, operation.name)?,
            entries: entries.get(operation.name).copied(),
        })
    };
    operations.iter().map(row).collect()
}
