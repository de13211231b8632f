//! The default ramdisk with modules for virtio devices in it, for L1 and for its L2.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Kernel, Payload, packages, payload_cache, write_whole};
use crate::cpio::Archive;
use crate::deb;
use crate::project::Project;

/// The modules, each after those that it needs. virtio by PCI is part of the kernel.
const MODULES: [&str; 5] = ["failover", "net_failover", "virtio_net", "virtio_blk", "virtio_mmio"];

/// Loads them.
const LOAD: &str = "/modules/load";

/// The default payload, whose L1 finds a script `/modules/load` that loads what virtio devices need. What L2 needs beside its
/// ramdisk to have the same is `/modules/l2.cpio`.
///
/// # Errors
///
/// When packages cannot be fetched, or have no such modules.
pub fn virtio_initrd(project: &Project) -> Result<PathBuf> {
    let payload = Payload::default_for(project)?;
    let debs = packages::fetch(project, |package| Kernel::Default.is_package(package))?;
    let deb = debs.first().context("payload/packages.lock has no kernel")?;
    let files = deb::read_files(deb, |path| MODULES.iter().any(|module| path.ends_with(&file(module))))?;
    let mut modules = Vec::new();
    for module in MODULES {
        let data = deb::find(&files, &format!("{module}.ko.xz"));
        modules.push((module, data.with_context(|| format!("the kernel has no {module}"))?));
    }
    let mut l1 = with_modules(&modules);
    l1.file("modules/l2.cpio", 0o644, &with_modules(&modules).finish());
    // One archive behind the other is what the kernel unpacks as one.
    let mut bytes = fs::read(&payload.initrd)?;
    bytes.extend(l1.finish());
    let path = payload_cache(project)?.join("virtio.cpio");
    write_whole(&path, &bytes)?;
    Ok(path)
}

/// A module's file.
fn file(module: &str) -> String {
    format!("/{module}.ko.xz")
}

fn with_modules(modules: &[(&str, &[u8])]) -> Archive {
    let mut archive = Archive::new();
    let mut script = String::from("#!/bin/sh\n");
    archive.directory("modules");
    for (module, data) in modules {
        archive.file(&format!("modules{}", file(module)), 0o644, data);
        script.push_str(&format!(
            "xzcat /modules{} >/tmp/module && insmod /tmp/module\n",
            file(module)
        ));
    }
    archive.file(LOAD.trim_start_matches('/'), 0o755, script.as_bytes());
    archive
}
