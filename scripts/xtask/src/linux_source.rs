//! Linux's source, as Debian has it, and what is built from it for arm64.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt::{Archive, TRIXIE_BACKPORTS};
use crate::process::{self, find_program};
use crate::progress::{Step, say};
use crate::project::Project;
use crate::version::compare_debian;

/// The package with the source, of the series that the 7.x kernel is of, and whose page-table dump gnomon prints.
const PACKAGE: &str = "linux-source-7.2";

/// The cross compiler's prefix.
pub const CROSS: &str = "aarch64-linux-gnu-";

/// What a build may need, a program or the path of a file, and Debian's package of it.
pub type Tool = (&'static str, &'static str);

/// What every build needs.
pub const TOOLS: [Tool; 3] = [
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    ("gcc", "gcc"),
    ("make", "make"),
];

/// Installs what is missing.
///
/// # Errors
///
/// When something is missing and cannot be installed.
pub fn ensure_tools(who: &str, tools: &[Tool]) -> Result<()> {
    let missing = tools.iter().filter(|(tool, _)| find_program(tool).is_none());
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    say(&format!("{who}: installing {}", packages.join(", ")));
    let mut command = process::as_root("apt-get")?;
    process::run_quietly(
        command
            .args(["install", "-q", "-y", "--no-install-recommends"])
            .args(&packages),
    )
    .with_context(|| format!("by hand: apt-get install {}", packages.join(" ")))
}

/// The source's directory, fetched and unpacked if it is not there yet.
///
/// # Errors
///
/// When the archive cannot be reached or has no such source.
pub fn ensure(project: &Project, who: &str) -> Result<PathBuf> {
    let dir = project.cache_dir().join("linux");
    let source = dir.join(PACKAGE);
    if source.join("Makefile").exists() {
        return Ok(source);
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let archive = Archive::open(project, TRIXIE_BACKPORTS, "arm64")?;
    let mut offers = archive.offers(PACKAGE)?;
    offers.sort_by(|a, b| compare_debian(&a.version, &b.version));
    let Some(newest) = offers.last() else {
        bail!("Debian has no {PACKAGE} any more");
    };
    let spec = format!("{PACKAGE}={}", newest.version);
    let remotes = archive.download(&[spec], &dir, &format!("{who}: the kernel's source"))?;
    let step = Step::begin(&format!("{who}: unpacking the kernel's source"));
    for remote in &remotes {
        let deb = dir.join(&remote.name);
        process::run_quietly(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&dir))?;
        fs::remove_file(deb)?;
    }
    let tarball = dir.join(format!("usr/src/{PACKAGE}.tar.xz"));
    let unpacking = dir.join("unpacking");
    fs::create_dir_all(&unpacking)?;
    process::run_quietly(Command::new("tar").arg("-xJf").arg(&tarball).arg("-C").arg(&unpacking))?;
    fs::rename(unpacking.join(PACKAGE), &source)?;
    fs::remove_dir(unpacking)?;
    fs::remove_dir_all(dir.join("usr"))?;
    step.end();
    Ok(source)
}

/// `make` for arm64 in a directory of the source, on all CPUs.
#[must_use]
pub fn make(dir: &Path) -> Command {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = Command::new("make");
    command
        .current_dir(dir)
        .args(["-s", "ARCH=arm64"])
        .arg(format!("CROSS_COMPILE={CROSS}"))
        .arg(format!("-j{jobs}"));
    command
}
