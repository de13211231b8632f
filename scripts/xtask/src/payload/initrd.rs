//! The two ramdisks: L1's, with L2's inside.
//!
//! Neither is compressed. Under emulation, unpacking a compressed ramdisk costs
//! L1 more time than all the rest of its boot, and nothing here is ever sent over
//! a wire.
//!
//! Of the packages only what `qemu-system-aarch64` really links is taken: the
//! walk follows `DT_NEEDED` from the program through its libraries. The full
//! closure of package dependencies would be three times the size.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use sha2::{Digest, Sha256};

use crate::cpio::Archive;
use crate::deb::{self, Files};
use crate::elf;

/// Changed whenever the ramdisks' layout changes, so that old ones are not reused.
pub(super) const LAYOUT_VERSION: &[u8] = b"1";

/// What L1 starts its guests with.
const VMM: &str = "qemu-system-aarch64";

/// Where Debian's dynamic linker looks for arm64 libraries first.
const LIBRARY_DIR: &str = "lib/aarch64-linux-gnu";

/// The scripts of the payload, by their path under `payload/`.
pub(super) struct Scripts(BTreeMap<&'static str, Vec<u8>>);

impl Scripts {
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let mut scripts = BTreeMap::new();
        for name in ["cmdline.sh", "l1/init", "l1/l2", "l2/init"] {
            let path = dir.join(name);
            let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            scripts.insert(name, text);
        }
        Ok(Self(scripts))
    }

    pub(super) fn add_to(&self, hash: &mut Sha256) {
        for (name, text) in &self.0 {
            hash.update(name);
            hash.update(text);
        }
    }

    fn text(&self, name: &str) -> &[u8] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Builds L1's ramdisk from package files, the scripts and the kernel for L2.
pub(super) fn build(debs: &[PathBuf], scripts: &Scripts, kernel: &[u8]) -> Result<Vec<u8>> {
    let mut files = Files::new();
    for deb in debs {
        files.append(&mut deb::read_files(deb, is_interesting)?);
    }
    let busybox = deb::find(&files, "busybox").context("busybox-static has no busybox")?;

    let mut l2 = root(busybox, scripts);
    l2.file("init", 0o755, scripts.text("l2/init"));

    let mut l1 = root(busybox, scripts);
    l1.file("init", 0o755, scripts.text("l1/init"));
    l1.file("bin/l2", 0o755, scripts.text("l1/l2"));
    add_program(&mut l1, &files, VMM)?;
    l1.directory("l2");
    l1.file("l2/Image", 0o644, kernel);
    l1.file("l2/initrd.cpio", 0o644, &l2.finish());
    Ok(l1.finish())
}

/// Programs and shared libraries, without the hundreds of other files.
fn is_interesting(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == VMM || name == "busybox" || name.contains(".so")
}

/// What both ramdisks have in common. busybox makes its own links when it runs.
fn root(busybox: &[u8], scripts: &Scripts) -> Archive {
    let mut archive = Archive::new();
    for dir in ["bin", "dev", "lib", "proc", "root", "run", "sys", "tmp"] {
        archive.directory(dir);
    }
    // The kernel opens it for init before anything is mounted on /dev.
    archive.char_device("dev/console", 0o600, 5, 1);
    archive.file("bin/busybox", 0o755, busybox);
    archive.symlink("bin/sh", "busybox");
    archive.file("lib/cmdline.sh", 0o644, scripts.text("cmdline.sh"));
    archive
}

/// Adds a program and everything it links, directly or through a library.
fn add_program(archive: &mut Archive, files: &Files, program: &str) -> Result<()> {
    let missing = |name: &str, by: &str| anyhow!("{by} needs {name}, which no package of payload/packages.lock has");
    let data = deb::find(files, program).ok_or_else(|| missing(program, "L1"))?;
    archive.directory(LIBRARY_DIR);
    archive.file(&format!("bin/{program}"), 0o755, data);

    let needs = elf::needs(data).with_context(|| program.to_owned())?;
    let linker = needs.interpreter.unwrap_or_default().trim_start_matches('/').to_owned();
    let linker_name = linker.rsplit('/').next().unwrap_or_default().to_owned();
    let mut wanted: Vec<(String, String)> = needs
        .libraries
        .into_iter()
        .map(|name| (name, program.to_owned()))
        .collect();
    wanted.push((linker_name.clone(), program.to_owned()));
    let mut added = BTreeSet::new();
    while let Some((name, by)) = wanted.pop() {
        if !added.insert(name.clone()) {
            continue;
        }
        let data = deb::find(files, &name).ok_or_else(|| missing(&name, &by))?;
        let path = if name == linker_name {
            linker.clone()
        } else {
            format!("{LIBRARY_DIR}/{name}")
        };
        archive.file(&path, 0o755, data);
        let needs = elf::needs(data).with_context(|| name.clone())?;
        wanted.extend(needs.libraries.into_iter().map(|library| (library, name.clone())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::Entry;

    #[test]
    fn a_library_that_no_package_has_is_named_with_who_needs_it() {
        let this_test = fs::read(std::env::current_exe().unwrap()).unwrap();
        let files = Files::from([(format!("usr/bin/{VMM}"), Entry::File(this_test))]);
        let error = add_program(&mut Archive::new(), &files, VMM).unwrap_err().to_string();
        assert!(error.starts_with(VMM) && error.contains("needs"), "{error}");
    }

    #[test]
    fn documentation_and_modules_are_not_read() {
        assert!(is_interesting("usr/lib/aarch64-linux-gnu/libz.so.1.2.13"));
        assert!(is_interesting("usr/bin/qemu-system-aarch64"));
        assert!(!is_interesting("usr/bin/qemu-system-arm"));
        assert!(!is_interesting("usr/share/doc/zlib1g/copyright"));
    }
}
