//! Building what runs on the machine itself, gnomon and the tests' payloads, and making the raw images that are booted
//! from the ELFs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::elf;
use crate::process;
use crate::project::{FIRMWARE_TARGET, Project};
use crate::symbols;

/// Names a raw image to boot instead of building one; `xtask test` sets it so that the
/// system tests do not each ask cargo.
pub const IMAGE_VARIABLE: &str = "GNOMON_IMAGE";

/// Something built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// With symbols, for gdb.
    pub elf: PathBuf,
    /// What QEMU boots: an arm64 `Image`, by Linux's boot protocol.
    pub image: PathBuf,
}

/// The package that is gnomon.
pub const GNOMON: &str = "gnomon";

/// The packages that are for nothing but the machine: that one, and what it is made of.
pub const IMAGE_PACKAGES: [&str; 3] = [GNOMON, "hyp", "console"];

/// gnomon's raw image is never larger.
const IMAGE_BYTES_MAX: u64 = 512 << 10;

/// Where an image may be: the boot protocol's boundary.
const BASE_ALIGNMENT: u64 = 2 << 20;

/// The bare-metal guest hypervisors under `tests/payloads`, by package.
pub const PAYLOADS: [&str; 7] = ["faulty", "conform", "features", "dma", "hostile", "storm", BENCH];

/// The one of them that counts what operations cost.
pub const BENCH: &str = "bench";

/// The package that is the small VMM, a program for L1's Linux; it needs nothing that the bare target has not.
pub const VMM: &str = "vmm";

/// The command that builds a package for the machine.
#[must_use]
pub fn cargo(project: &Project, subcommand: &str, package: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(project.root()).args([
        subcommand,
        "--release",
        "--package",
        package,
        "--target",
        FIRMWARE_TARGET,
    ]);
    command
}

/// Where a build of gnomon puts its files.
#[must_use]
pub fn outputs(project: &Project) -> Firmware {
    outputs_of(project, GNOMON)
}

fn outputs_of(project: &Project, package: &str) -> Firmware {
    outputs_in(&project.target_dir(), package)
}

fn outputs_in(target_dir: &Path, package: &str) -> Firmware {
    let elf = target_dir.join(FIRMWARE_TARGET).join("release").join(package);
    Firmware {
        image: elf.with_extension("img"),
        elf,
    }
}

/// Builds the firmware and its raw image.
///
/// # Errors
///
/// When the build fails, what it built cannot be made into an image, or that is larger than it may be.
pub fn build(project: &Project) -> Result<Firmware> {
    finish(compile(project, GNOMON)?)
}

/// Makes the raw image of an ELF.
fn finish(firmware: Firmware) -> Result<Firmware> {
    symbols::embed(&firmware.elf)?;
    write_image(&firmware.elf, &firmware.image)?;
    check_size(fs::metadata(&firmware.image)?.len())?;
    Ok(firmware)
}

/// Builds the firmware for another address than QEMU's own, `base`, as the L1 of another gnomon.
///
/// # Errors
///
/// As for [`build`], and when no image can be there.
pub fn build_at(project: &Project, base: u64) -> Result<Firmware> {
    ensure!(
        base.is_multiple_of(BASE_ALIGNMENT),
        "an image cannot be at {base:#x}: it is loaded to a boundary of 2 MiB"
    );
    let base_argument = format!("link-arg=--defsym=IMAGE_BASE={base:#x}");
    let arguments = ["--", "-C", &base_argument];
    finish(compile_apart(
        project,
        &format!("at-{base:x}"),
        "rustc",
        GNOMON,
        &arguments,
    )?)
}

/// Builds a package in another way than usual, in a directory of its own: neither build replaces the other.
fn compile_apart(
    project: &Project,
    dir: &str,
    subcommand: &str,
    package: &str,
    arguments: &[&str],
) -> Result<Firmware> {
    let target_dir = project.target_dir().join(dir);
    let mut command = cargo(project, subcommand, package);
    command.args(["--quiet", "--target-dir"]).arg(&target_dir);
    process::run(command.args(arguments))?;
    Ok(outputs_in(&target_dir, package))
}

fn check_size(bytes: u64) -> Result<()> {
    ensure!(
        bytes <= IMAGE_BYTES_MAX,
        "gnomon's image has {bytes} bytes, and may have {IMAGE_BYTES_MAX}"
    );
    Ok(())
}

fn compile(project: &Project, package: &str) -> Result<Firmware> {
    process::run(cargo(project, "build", package).arg("--quiet"))?;
    Ok(outputs_of(project, package))
}

/// Builds one of [`PAYLOADS`]; returns its raw image, which boots as an L1 kernel without a ramdisk.
///
/// # Errors
///
/// As for [`build`].
pub fn payload(project: &Project, package: &str) -> Result<PathBuf> {
    raw_image(compile(project, package)?)
}

/// Makes the raw image of a payload.
fn raw_image(payload: Firmware) -> Result<PathBuf> {
    write_image(&payload.elf, &payload.image)?;
    Ok(payload.image)
}

/// Builds one of [`PAYLOADS`] that can do with `HCR_EL2.E2H` = 0, for that; returns its raw image.
///
/// # Errors
///
/// As for [`build`].
pub fn payload_without_vhe(project: &Project, package: &str) -> Result<PathBuf> {
    raw_image(compile_apart(
        project,
        "nvhe",
        "build",
        package,
        &["--features", "nvhe"],
    )?)
}

/// Builds the small VMM; returns its ELF.
///
/// # Errors
///
/// When the build fails.
pub fn vmm(project: &Project) -> Result<PathBuf> {
    process::run(cargo(project, "build", VMM).arg("--quiet"))?;
    Ok(outputs_of(project, VMM).elf)
}

/// The raw image to boot: the one [`IMAGE_VARIABLE`] names, or a fresh build.
///
/// # Errors
///
/// As for [`build`].
pub fn image(project: &Project) -> Result<PathBuf> {
    match env::var_os(IMAGE_VARIABLE) {
        Some(path) => Ok(path.into()),
        None => Ok(build(project)?.image),
    }
}

/// Writes the raw image of an ELF, leaving the file alone when it already is that.
fn write_image(elf: &Path, image: &Path) -> Result<()> {
    let file = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let bytes = elf::flatten(&file).with_context(|| elf.display().to_string())?;
    if fs::read(image).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(image, bytes).with_context(|| format!("cannot write {}", image.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_image_is_refused_with_both_sizes() {
        assert!(check_size(512 << 10).is_ok());
        let error = check_size((512 << 10) + 1).unwrap_err().to_string();
        assert_eq!(error, "gnomon's image has 524289 bytes, and may have 524288");
    }
}
