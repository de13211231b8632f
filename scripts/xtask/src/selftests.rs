//! `xtask selftests`: KVM's own selftests, run by L1's Linux natively and under gnomon.
//!
//! They come from Debian's kernel source, built static for arm64 (`programs`). Which ones run, and with what arguments,
//! is a `list` in the project. A small init (`payload/selftests/init`) runs them one after the other and says how each
//! ended (`side`). What both sides said becomes a `report`.

mod list;
mod programs;
mod report;
mod side;

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::machine::Side;
use crate::project::Project;
use crate::setup::{qemu, toolchain};
use report::Row;
use side::Terms;

/// How long one test may take.
const DEFAULT_LIMIT: Duration = Duration::from_mins(10);

/// What `xtask selftests` is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only tests whose name contains this.
    pub filter: Option<String>,
    /// How long one test may take, instead of ten minutes.
    pub limit: Option<Duration>,
    /// L1's KVM is told `kvm-arm.mode=nested`, and with that the tests' guests run at an EL2 of theirs.
    pub nested: bool,
    /// One JSON object a test instead of a table.
    pub json: bool,
}

/// Runs the tests on both sides, prints the report, and returns whether gnomon passes all that pass natively.
///
/// # Errors
///
/// When something cannot be built, fetched or started, or the filter leaves nothing.
pub fn run(project: &Project, options: &Options) -> Result<bool> {
    let filter = options.filter.as_deref().unwrap_or_default();
    let mut tests = list::read(project)?;
    tests.retain(|test| test.name.contains(filter));
    ensure!(!tests.is_empty(), "no test of {} is called that", list::FILE);
    qemu::ensure(project)?;
    toolchain::ensure(project)?;
    let programs = programs::ensure(project, &tests)?;
    let terms = Terms {
        programs: &programs,
        limit: options.limit.unwrap_or(DEFAULT_LIMIT),
        nested: options.nested,
    };
    let native = side::run(project, Side::Native, &tests, &terms)?;
    let gnomon = side::run(project, Side::Gnomon, &tests, &terms)?;
    let results = native.into_iter().zip(gnomon);
    let rows: Vec<Row> = tests
        .iter()
        .zip(results)
        .map(|(test, (native, gnomon))| Row {
            test: &test.name,
            native,
            gnomon,
            hidden: test.hidden.as_deref(),
        })
        .collect();
    if options.json {
        print!("{}", report::json(&rows)?);
    } else {
        print!("{}", report::table(&rows));
    }
    Ok(!rows.iter().any(Row::is_worse))
}
