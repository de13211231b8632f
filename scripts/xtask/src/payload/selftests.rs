//! The ramdisk of the L1 that runs KVM's selftests.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{packages, payload_cache, write_whole};
use crate::cpio::Archive;
use crate::deb;
use crate::project::Project;

/// Builds a ramdisk with the programs, which are in `programs` under their names, and a list of what to run: names and
/// arguments.
///
/// # Errors
///
/// When busybox cannot be fetched, or a file cannot be read or written.
pub fn selftests_initrd(project: &Project, tests: &[(&str, String)], programs: &Path) -> Result<PathBuf> {
    let read = |path: PathBuf| fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
    let mut archive = Archive::new();
    for dir in ["bin", "dev", "lib", "proc", "sys", "tmp", "tests"] {
        archive.directory(dir);
    }
    // The kernel opens it for init before anything is mounted on /dev.
    archive.char_device("dev/console", 0o600, 5, 1);
    let debs = packages::fetch(project, |package| package.name == "busybox-static")?;
    let deb = debs.first().context("payload/packages.lock has no busybox-static")?;
    let files = deb::read_files(deb, |path| path.ends_with("/busybox"))?;
    let busybox = deb::find(&files, "busybox").context("busybox-static has no busybox")?;
    archive.file("bin/busybox", 0o755, busybox);
    archive.symlink("bin/sh", "busybox");
    let payload = project.payload_dir();
    archive.file("lib/cmdline.sh", 0o644, &read(payload.join("cmdline.sh"))?);
    archive.file("init", 0o755, &read(payload.join("selftests/init"))?);
    let mut list = String::new();
    let mut dirs = Vec::new();
    for (name, arguments) in tests {
        let dir = name.rsplit_once('/').map(|(dir, _)| dir);
        if let Some(dir) = dir.filter(|dir| !dirs.contains(dir)) {
            archive.directory(&format!("tests/{dir}"));
            dirs.push(dir);
        }
        archive.file(&format!("tests/{name}"), 0o755, &read(programs.join(name))?);
        let _ = writeln!(list, "{name} {arguments}");
    }
    archive.file("tests/list", 0o644, list.as_bytes());
    let path = payload_cache(project)?.join("selftests.cpio");
    write_whole(&path, &archive.finish())?;
    Ok(path)
}
