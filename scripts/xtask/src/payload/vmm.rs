//! The ramdisk of the small VMM: that one program, and where to mount what it needs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{payload_cache, write_whole};
use crate::cpio::Archive;
use crate::firmware;
use crate::project::Project;

/// Builds the VMM of `tests/payloads/vmm` and a ramdisk around it. Its arguments go on L1's command line behind `--`.
///
/// # Errors
///
/// When the build fails.
pub fn vmm_initrd(project: &Project) -> Result<PathBuf> {
    let elf = firmware::vmm(project)?;
    let program = fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let bytes = pack(&program, &[]);
    let path = payload_cache(project)?.join("vmm.cpio");
    if fs::read(&path).is_ok_and(|old| old == bytes) {
        return Ok(path);
    }
    write_whole(&path, &bytes)?;
    Ok(path)
}

/// Builds the ramdisk of an L1 that boots another Linux, in a guest or in its own place: the VMM, the kernel `kernel` for
/// that, and a ramdisk with the VMM once more. That one boots another in its turn if `depth` is 2, and so on.
///
/// # Errors
///
/// When the build fails, or the kernel cannot be read.
pub fn nested_vmm_initrd(project: &Project, kernel: &Path, depth: u32) -> Result<PathBuf> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let program = read(&firmware::vmm(project)?)?;
    let image = read(kernel)?;
    let mut ramdisk = pack(&program, &[]);
    for _ in 0..depth {
        ramdisk = pack(&program, &[("kernel", &image), ("ramdisk", &ramdisk)]);
    }
    let stem = kernel.file_stem().unwrap_or_default().to_string_lossy();
    let path = payload_cache(project)?.join(format!("{stem}.vmm-{depth}.cpio"));
    write_whole(&path, &ramdisk)?;
    Ok(path)
}

/// A ramdisk with `program` as init, and `files`.
fn pack(program: &[u8], files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Archive::new();
    for dir in ["dev", "proc", "sys"] {
        archive.directory(dir);
    }
    // The kernel opens it for init before anything is mounted on /dev.
    archive.char_device("dev/console", 0o600, 5, 1);
    archive.file("init", 0o755, program);
    for (name, bytes) in files {
        archive.file(name, 0o644, bytes);
    }
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_init() {
        let bytes = pack(b"ELF", &[("kernel", b"Image")]);
        let name = bytes.windows(5).position(|window| window == b"init\0");
        let name = name.expect("there is an init");
        assert!(
            bytes[name..].starts_with(b"init\0\0ELF"),
            "padded to four, then the data"
        );
        assert!(bytes[name..].windows(15).any(|window| window == b"kernel\0\0\0\0Image"));
    }
}
