//! A kernel that prints its stage-2 tables, from Debian's source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt::{Archive, TRIXIE_BACKPORTS};
use crate::process::{self, find_program};
use crate::progress::{Step, say};
use crate::project::Project;
use crate::version::compare_debian;

/// The package with the source, of the series whose format gnomon prints.
const PACKAGE: &str = "linux-source-7.2";

/// Everything the kernel needs beside `allnoconfig`, in the project.
const CONFIG: &str = "tests/golden/kernel.config";

/// The cross compiler's prefix.
const CROSS: &str = "aarch64-linux-gnu-";

/// Programs that the build needs, and Debian's packages of them.
const TOOLS: [(&str, &str); 6] = [
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    ("gcc", "gcc"),
    ("make", "make"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
];

/// Builds it, or finds it built; returns its `Image`.
///
/// # Errors
///
/// When the source cannot be fetched or the build fails.
pub(super) fn build(project: &Project) -> Result<PathBuf> {
    let dir = project.cache_dir().join("golden");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    ensure_tools()?;
    let source = source(project, &dir)?;
    let config = project.root().join(CONFIG);
    let make = |arguments: &[&str]| {
        let mut command = Command::new("make");
        command
            .current_dir(&source)
            .args(["-s", "ARCH=arm64"])
            .arg(format!("CROSS_COMPILE={CROSS}"));
        // The same source gives the same image.
        command.args([
            "KBUILD_BUILD_TIMESTAMP=@0",
            "KBUILD_BUILD_USER=golden",
            "KBUILD_BUILD_HOST=golden",
        ]);
        process::run_quietly(
            command
                .arg(format!("KCONFIG_ALLCONFIG={}", config.display()))
                .args(arguments),
        )
    };
    make(&["allnoconfig"])?;
    check_config(&config, &source.join(".config"))?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let step = Step::begin("golden: building the kernel, which takes some minutes");
    make(&[&format!("-j{jobs}"), "Image"])?;
    step.end();
    Ok(source.join("arch/arm64/boot/Image"))
}

fn ensure_tools() -> Result<()> {
    let missing = TOOLS.iter().filter(|(program, _)| find_program(program).is_none());
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    say(&format!("golden: installing {}", packages.join(", ")));
    let mut command = process::as_root("apt-get")?;
    process::run_quietly(
        command
            .args(["install", "-q", "-y", "--no-install-recommends"])
            .args(&packages),
    )
    .with_context(|| format!("by hand: apt-get install {}", packages.join(" ")))
}

/// The source's directory, fetched and unpacked if it is not there yet.
fn source(project: &Project, dir: &Path) -> Result<PathBuf> {
    let source = dir.join(PACKAGE);
    if source.join("Makefile").exists() {
        return Ok(source);
    }
    let archive = Archive::open(project, TRIXIE_BACKPORTS, "arm64")?;
    let mut offers = archive.offers(PACKAGE)?;
    offers.sort_by(|a, b| compare_debian(&a.version, &b.version));
    let Some(newest) = offers.last() else {
        bail!("Debian has no {PACKAGE} any more");
    };
    let spec = format!("{PACKAGE}={}", newest.version);
    let remotes = archive.download(&[spec], dir, "golden: the kernel's source")?;
    let step = Step::begin("golden: unpacking the kernel's source");
    for remote in &remotes {
        let deb = dir.join(&remote.name);
        process::run_quietly(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(dir))?;
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

/// Whether the kernel's configuration has everything that ours asks for: one that depends on what is not there is
/// dropped without a word.
fn check_config(wanted: &Path, have: &Path) -> Result<()> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let (wanted, have) = (read(wanted)?, read(have)?);
    let lost = lost_options(&wanted, &have);
    if lost.is_empty() {
        Ok(())
    } else {
        bail!("the kernel's configuration lacks {}", lost.join(", "))
    }
}

fn lost_options<'a>(wanted: &'a str, have: &str) -> Vec<&'a str> {
    let options = wanted.lines().filter(|line| line.starts_with("CONFIG_"));
    options
        .filter(|option| !have.lines().any(|line| line == *option))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_were_dropped_are_named() {
        let wanted = "# why\nCONFIG_KVM=y\nCONFIG_PTDUMP_STAGE2_DEBUGFS=y\n";
        assert_eq!(
            lost_options(wanted, "CONFIG_KVM=y\n"),
            ["CONFIG_PTDUMP_STAGE2_DEBUGFS=y"]
        );
        assert!(lost_options(wanted, wanted).is_empty());
    }
}
