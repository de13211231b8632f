//! Building gnomon, and making the raw image that is booted from the ELF.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::elf;
use crate::process;
use crate::project::{FIRMWARE_TARGET, Project};

/// Names a raw image to boot instead of building one; `xtask test` sets it so that the
/// system tests do not each ask cargo.
pub const IMAGE_VARIABLE: &str = "GNOMON_IMAGE";

/// A built gnomon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// With symbols, for gdb.
    pub elf: PathBuf,
    /// What QEMU boots: an arm64 `Image`, by Linux's boot protocol.
    pub image: PathBuf,
}

/// The command that builds the firmware package for its target.
#[must_use]
pub fn cargo(project: &Project, subcommand: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(project.root()).args([
        subcommand,
        "--release",
        "--package",
        "gnomon",
        "--target",
        FIRMWARE_TARGET,
    ]);
    command
}

/// Where a build of the firmware puts its files.
#[must_use]
pub fn outputs(project: &Project) -> Firmware {
    let dir = project.target_dir().join(FIRMWARE_TARGET).join("release");
    Firmware {
        elf: dir.join("gnomon"),
        image: dir.join("gnomon.img"),
    }
}

/// Builds the firmware and its raw image.
///
/// # Errors
///
/// When the build fails or what it built cannot be made into an image.
pub fn build(project: &Project) -> Result<Firmware> {
    process::run(cargo(project, "build").arg("--quiet"))?;
    let firmware = outputs(project);
    write_image(&firmware.elf, &firmware.image)?;
    Ok(firmware)
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
