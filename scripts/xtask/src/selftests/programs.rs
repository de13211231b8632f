//! The selftests' programs, built from Debian's kernel source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::list::Test;
use crate::linux_source::{self, CROSS, TOOLS, Tool};
use crate::process;
use crate::progress::Step;
use crate::project::Project;

/// What they need beside the compilers: a C library to link with.
const LIBRARY: Tool = ("/usr/aarch64-linux-gnu/lib/libc.a", "libc6-dev-arm64-cross");

/// Where they are in the source.
const DIR: &str = "tools/testing/selftests/kvm";

/// The directory with the programs of all these tests, by their names; built if one is missing.
///
/// # Errors
///
/// When the source cannot be fetched or the build fails.
pub(super) fn ensure(project: &Project, tests: &[Test]) -> Result<PathBuf> {
    let dir = project.cache_dir().join("selftests");
    if tests.iter().any(|test| !dir.join(&test.name).exists()) {
        build(project, tests, &dir)?;
    }
    Ok(dir)
}

fn build(project: &Project, tests: &[Test], dir: &Path) -> Result<()> {
    let _lock = project.lock_cache()?;
    linux_source::ensure_tools("selftests", &[&TOOLS[..], &[LIBRARY]].concat())?;
    let source = linux_source::ensure(project, "selftests")?;
    let step = Step::begin("selftests: building, which takes some minutes");
    process::run_quietly(linux_source::make(&source).arg("headers"))?;
    let built = source.join(DIR);
    process::run_quietly(
        linux_source::make(&built)
            .arg("LDFLAGS=-static")
            .arg(format!("KHDR_INCLUDES=-I{}", source.join("usr/include").display())),
    )?;
    for test in tests {
        let program = dir.join(&test.name);
        if let Some(parent) = program.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        // Without symbols they are half the size.
        let unfinished = program.with_extension("part");
        process::run_quietly(
            Command::new(format!("{CROSS}strip"))
                .arg("-o")
                .arg(&unfinished)
                .arg(built.join(&test.name)),
        )?;
        fs::rename(unfinished, program)?;
    }
    step.end();
    Ok(())
}
