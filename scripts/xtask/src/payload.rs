//! The default L1 payload: Debian's kernel, and a ramdisk that runs an L2.
//!
//! L1 is an unmodified Debian arm64 kernel with a ramdisk of busybox and
//! Debian's own `qemu-system-aarch64`; inside lie L2's kernel (the same one) and
//! L2's ramdisk. `payload/` in the project has the scripts that run in both,
//! `payload/packages.lock` the packages they are made from.
//!
//! What is made is kept under `.cache/payload`, named by a hash of everything
//! that went in, so that asking for it a second time costs nothing and a change
//! of any script, package or kernel makes a new one.

mod initrd;
mod packages;
mod selftests;
mod virtio;
mod vmm;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::deb;
use crate::download::hex;
use crate::lock;
use crate::progress::{Step, say};
use crate::project::Project;

pub use packages::{Kernel, repin};
pub use selftests::selftests_initrd;
pub use virtio::virtio_initrd;
pub use vmm::{nested_vmm_initrd, vmm_initrd};

/// What L1's command line always has with the default payload.
///
/// `panic=-1` makes a crashed L1 reset at once, which ends the machine. With `watchdog_thresh=40` it complains of a CPU that
/// does not move after 80 s instead of 20: a host that has other things to do may leave a CPU standing for so long.
pub const COMMAND_LINE: &str = "console=ttyAMA0 panic=-1 watchdog_thresh=40";

/// Added to the command line to power off after the L2 instead of offering a shell.
pub const HEADLESS_OPTION: &str = "gnomon.headless";

/// As many ramdisks as are kept; each is about 100 MB.
const KEPT_RAMDISKS: usize = 4;

/// A kernel and a ramdisk for L1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// L1's kernel, an arm64 `Image`.
    pub kernel: PathBuf,
    /// L1's ramdisk.
    pub initrd: PathBuf,
}

impl Payload {
    /// The default payload, made if it is not there yet.
    ///
    /// # Errors
    ///
    /// When packages cannot be fetched or do not hold what they should.
    pub fn default_for(project: &Project) -> Result<Self> {
        let kernel = kernel_image(project, Kernel::Default)?;
        Self::with_kernel(project, &kernel)
    }

    /// The default ramdisk around another kernel, which L2 runs as well.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be read, and as for [`Payload::default_for`].
    pub fn with_kernel(project: &Project, kernel: &Path) -> Result<Self> {
        let image = fs::read(kernel).with_context(|| format!("cannot read the kernel {}", kernel.display()))?;
        let debs = packages::fetch(project, packages::is_userland)?;
        let scripts = initrd::Scripts::read(&project.payload_dir())?;
        let mut hash = Sha256::new();
        hash.update(initrd::LAYOUT_VERSION);
        for deb in &debs {
            hash.update(deb.file_name().unwrap_or_default().as_encoded_bytes());
        }
        scripts.add_to(&mut hash);
        hash.update(&image);
        let name = format!("initrd-{}.cpio", &hex(&hash.finalize())[..16]);
        let initrd = payload_cache(project)?.join(name);
        if !initrd.exists() {
            let progress = Step::begin("payload: building L1's and L2's ramdisks");
            let bytes = initrd::build(&debs, &scripts, &image)?;
            write_whole(&initrd, &bytes)?;
            progress.end();
            prune(&payload_cache(project)?)?;
        }
        Ok(Self {
            kernel: kernel.to_path_buf(),
            initrd,
        })
    }

    /// Whether the default payload could be given without the network.
    #[must_use]
    pub fn is_cached(project: &Project) -> bool {
        packages::all_cached(project, packages::is_userland)
            && packages::all_cached(project, |package| Kernel::Default.is_package(package))
    }
}

/// The `Image` of one of the pinned kernels, fetched if it is not there yet.
///
/// # Errors
///
/// When the package cannot be fetched or has no kernel in it.
pub fn kernel_image(project: &Project, kernel: Kernel) -> Result<PathBuf> {
    let debs = packages::fetch(project, |package| kernel.is_package(package))?;
    let [deb] = &debs[..] else {
        bail!("payload/packages.lock must have exactly one package for the {kernel} kernel");
    };
    let stem = deb.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let image = payload_cache(project)?.join(format!("{stem}.Image"));
    if !image.exists() {
        let progress = Step::begin("payload: taking the kernel out of its package");
        let is_kernel = |path: &str| {
            let name = path.rsplit('/').next().unwrap_or(path);
            name == "vmlinuz" || name.starts_with("vmlinuz-")
        };
        let files = deb::read_files(deb, is_kernel)?;
        let Some(deb::Entry::File(data)) = files.into_values().next() else {
            bail!("there is no kernel in {}", deb.display());
        };
        write_whole(&image, &data)?;
        progress.end();
    }
    Ok(image)
}

/// Where made payloads are kept; created when missing.
fn payload_cache(project: &Project) -> Result<PathBuf> {
    let dir = project.cache_dir().join("payload");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// Writes a file so that nobody ever sees half of it, not even after a power cut.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Removes all but the newest ramdisks.
fn prune(dir: &Path) -> Result<()> {
    let mut ramdisks: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("initrd-") {
            ramdisks.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    ramdisks.sort_by(|a, b| b.cmp(a));
    for (_, path) in ramdisks.into_iter().skip(KEPT_RAMDISKS) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                say(&format!("payload: cannot remove {}: {error}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads the project's lock file.
fn read_lock(path: &Path) -> Result<Vec<lock::Package>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    lock::parse(&text).with_context(|| format!("{} is damaged", path.display()))
}
