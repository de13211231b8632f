//! A kernel that prints its stage-2 tables, from Debian's source.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::linux_source::{self, TOOLS, Tool};
use crate::process;
use crate::progress::Step;
use crate::project::Project;

/// Everything the kernel needs beside `allnoconfig`, in the project.
const CONFIG: &str = "tests/golden/kernel.config";

/// Programs that a kernel needs beside the compilers.
const KERNEL_TOOLS: [Tool; 3] = [("flex", "flex"), ("bison", "bison"), ("bc", "bc")];

/// Builds it, or finds it built; returns its `Image`.
///
/// # Errors
///
/// When the source cannot be fetched or the build fails.
pub(super) fn build(project: &Project) -> Result<PathBuf> {
    linux_source::ensure_tools("golden", &[&TOOLS[..], &KERNEL_TOOLS].concat())?;
    let source = linux_source::ensure(project, "golden")?;
    let config = project.root().join(CONFIG);
    let make = |target: &str| {
        let mut command = linux_source::make(&source);
        // The same source gives the same image.
        command.args([
            "KBUILD_BUILD_TIMESTAMP=@0",
            "KBUILD_BUILD_USER=golden",
            "KBUILD_BUILD_HOST=golden",
        ]);
        process::run_quietly(
            command
                .arg(format!("KCONFIG_ALLCONFIG={}", config.display()))
                .arg(target),
        )
    };
    make("allnoconfig")?;
    check_config(&config, &source.join(".config"))?;
    let step = Step::begin("golden: building the kernel, which takes some minutes");
    make("Image")?;
    step.end();
    Ok(source.join("arch/arm64/boot/Image"))
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
