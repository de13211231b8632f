//! From the lock file to verified package files on disk.
//!
//! A file in `.cache/debs` has been checked, always: downloads arrive in
//! `.cache/debs/incoming` and are moved only when their checksum is right. So
//! finding all of them there is the whole idempotent fast path, without network
//! and without reading hundreds of megabytes again.
//!
//! Debian removes a package's old versions when a point release replaces them.
//! Then the newest of the same package (for a kernel, of the same series) is
//! taken instead, the user is told, and what was taken is written to
//! `.cache/debs/replaced.lock` so that the next run agrees with this one. Its
//! checksum then comes from the archive's signed index, which apt verified.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};

use super::read_lock;
use crate::apt::{Archive, BOOKWORM, Release, TRIXIE_BACKPORTS};
use crate::download::Remote;
use crate::lock::{self, Package};
use crate::progress::{Step, say};
use crate::project::Project;
use crate::version::compare_debian;

/// Names of kernel packages end so; `-rt`, `-cloud` and 16 KiB page flavours do not count.
const KERNEL_SUFFIX: &str = "-arm64";

const LOCK_HEAD: &str = "\
The packages the default payload is made from: suite, package, version,
architecture, SHA-256. `cargo xtask setup --repin` rewrites this file with the
newest versions the archive has.
";

/// Which of the pinned kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// What L1 boots by default.
    Default,
    /// A 7.x kernel, for trying gnomon with what comes next.
    Seven,
}

impl Kernel {
    /// Whether a package of the lock file is this kernel. Until 6.x the kernel lies in
    /// `linux-image-*`; from 7.x on that is an empty shell and `linux-binary-*` has it.
    pub(super) fn is_package(self, package: &Package) -> bool {
        package.name.starts_with(match self {
            Self::Default => "linux-image-",
            Self::Seven => "linux-binary-7",
        })
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Seven => "7.x",
        })
    }
}

/// Whether a package of the lock file goes into the ramdisks.
pub(super) fn is_userland(package: &Package) -> bool {
    !is_kernel_name(&package.name)
}

fn is_kernel_name(name: &str) -> bool {
    name.starts_with("linux-image-") || name.starts_with("linux-binary-")
}

/// Whether [`fetch`] would find everything in the cache.
pub(super) fn all_cached(project: &Project, wanted: impl Fn(&Package) -> bool) -> bool {
    Store::open(project)
        .and_then(|store| Ok(store.locate(&store.pinned(wanted)?).1.is_empty()))
        .unwrap_or(false)
}

/// The verified files of the pinned packages that `wanted` chooses, in the lock's order.
///
/// # Errors
///
/// When something is missing and cannot be downloaded, or is not what the lock says.
pub(super) fn fetch(project: &Project, wanted: impl Fn(&Package) -> bool) -> Result<Vec<PathBuf>> {
    let store = Store::open(project)?;
    let pinned = store.pinned(wanted)?;
    let (found, missing) = store.locate(&pinned);
    if missing.is_empty() {
        return Ok(found);
    }
    let _lock = project.lock_cache()?;
    // Another run may have fetched them while this one waited for the lock.
    let (_, missing) = store.locate(&pinned);
    for release in [BOOKWORM, TRIXIE_BACKPORTS] {
        let of_release: Vec<&Package> = missing.iter().filter(|p| release_of(p).name == release.name).collect();
        if !of_release.is_empty() {
            store.download(project, release, &of_release)?;
        }
    }
    let (found, missing) = store.locate(&pinned);
    if let Some(package) = missing.first() {
        bail!("apt did not bring {} {}", package.name, package.version);
    }
    Ok(found)
}

/// Rewrites the lock file with the newest versions of the same packages.
///
/// # Errors
///
/// When the archive cannot be reached or lacks a package.
pub fn repin(project: &Project) -> Result<()> {
    let store = Store::open(project)?;
    let mut pinned = Vec::new();
    for release in [BOOKWORM, TRIXIE_BACKPORTS] {
        let archive = Archive::open(project, release, "arm64")?;
        let mut packages = Vec::new();
        for package in store.pinned(|package| release_of(package).name == release.name)? {
            packages.push(newest(&archive, &package)?);
        }
        let arrived = store.receive(&archive, &packages)?;
        for mut package in packages {
            let name = package.file_name();
            package.sha256 = checksum_of(&arrived, &name)?;
            fs::rename(store.incoming().join(&name), store.dir.join(&name))?;
            pinned.push(package);
        }
    }
    fs::write(
        project.payload_dir().join("packages.lock"),
        lock::format(LOCK_HEAD, &pinned),
    )?;
    let _ = fs::remove_file(store.replaced_path());
    Ok(())
}

/// The package files on disk.
struct Store {
    dir: PathBuf,
    lock: PathBuf,
}

impl Store {
    fn open(project: &Project) -> Result<Self> {
        let dir = project.cache_dir().join("debs");
        let store = Self {
            dir,
            lock: project.payload_dir().join("packages.lock"),
        };
        fs::create_dir_all(store.incoming())
            .with_context(|| format!("cannot create {}", store.incoming().display()))?;
        Ok(store)
    }

    fn incoming(&self) -> PathBuf {
        self.dir.join("incoming")
    }

    fn replaced_path(&self) -> PathBuf {
        self.dir.join("replaced.lock")
    }

    fn pinned(&self, wanted: impl Fn(&Package) -> bool) -> Result<Vec<Package>> {
        Ok(read_lock(&self.lock)?.into_iter().filter(wanted).collect())
    }

    /// Packages taken in place of pinned ones that are gone.
    fn replaced(&self) -> Vec<Package> {
        fs::read_to_string(self.replaced_path())
            .ok()
            .and_then(|text| lock::parse(&text).ok())
            .unwrap_or_default()
    }

    /// The files that are there, and the packages that have none.
    fn locate(&self, pinned: &[Package]) -> (Vec<PathBuf>, Vec<Package>) {
        let replaced = self.replaced();
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for package in pinned {
            let stand_ins = replaced.iter().filter(|other| same_series(other, package));
            let file = std::iter::once(package)
                .chain(stand_ins)
                .map(|package| self.dir.join(package.file_name()))
                .find(|file| file.exists());
            match file {
                Some(file) => found.push(file),
                None => missing.push(package.clone()),
            }
        }
        (found, missing)
    }

    /// Downloads packages of one release, or what the archive has in their place.
    fn download(&self, project: &Project, release: Release, missing: &[&Package]) -> Result<()> {
        let step = Step::begin("payload: reading Debian's package index");
        let archive = Archive::open(project, release, "arm64")?;
        let mut chosen = Vec::new();
        for package in missing {
            let offered = archive.offers(&package.name)?;
            if offered.iter().any(|offer| offer.version == package.version) {
                chosen.push((*package).clone());
            } else {
                let newer = newest(&archive, package)?;
                say(&format!(
                    "payload: {} {} is gone from the archive, taking {} {}",
                    package.name, package.version, newer.name, newer.version
                ));
                chosen.push(newer);
            }
        }
        step.end();
        let arrived = self.receive(&archive, &chosen)?;
        self.accept(chosen, &arrived)
    }

    fn receive(&self, archive: &Archive, packages: &[Package]) -> Result<Vec<Remote>> {
        let specs: Vec<String> = packages.iter().map(spec).collect();
        let what = match packages {
            [package] => format!("payload: downloading {}", package.name),
            _ => format!("payload: downloading {} packages", packages.len()),
        };
        archive.download(&specs, &self.incoming(), &what)
    }

    /// Compares what has arrived with the lock and moves it to where verified files are. A
    /// package without a checksum stands in for a pinned one and is recorded as such.
    fn accept(&self, chosen: Vec<Package>, arrived: &[Remote]) -> Result<()> {
        let mut replaced = self.replaced();
        for mut package in chosen {
            let name = package.file_name();
            let have = checksum_of(arrived, &name)?;
            if package.sha256.is_empty() {
                package.sha256 = have;
                replaced.push(package);
            } else if package.sha256 != have {
                fs::remove_file(self.incoming().join(&name))?;
                bail!("{name} has checksum {have}, packages.lock says {}", package.sha256);
            }
            fs::rename(self.incoming().join(&name), self.dir.join(&name))?;
        }
        if !replaced.is_empty() {
            let head = "Packages taken because the pinned versions are gone from the archive.";
            fs::write(self.replaced_path(), lock::format(head, &replaced))?;
        }
        Ok(())
    }
}

/// The checksum of the file `name` among those that were downloaded and verified.
fn checksum_of(arrived: &[Remote], name: &str) -> Result<String> {
    let remote = arrived.iter().find(|remote| remote.name == name);
    Ok(remote
        .with_context(|| format!("apt did not bring {name}"))?
        .sha256
        .clone())
}

fn spec(package: &Package) -> String {
    format!("{}={}", package.name, package.version)
}

fn release_of(package: &Package) -> Release {
    if package.suite.starts_with("trixie") {
        TRIXIE_BACKPORTS
    } else {
        BOOKWORM
    }
}

/// Whether `other` may stand in for `package`: the same package, or a kernel of the same
/// series (`linux-image-6.12.`).
fn same_series(other: &Package, package: &Package) -> bool {
    other.name == package.name
        || kernel_series(&package.name)
            .is_some_and(|series| other.name.starts_with(&series) && is_plain_kernel(&other.name, &series))
}

/// `linux-image-6.12.117+deb12-arm64` is of the series `linux-image-6.12.`.
fn kernel_series(name: &str) -> Option<String> {
    if !is_kernel_name(name) {
        return None;
    }
    let end = name.match_indices('.').nth(1)?.0;
    Some(name[..=end].to_owned())
}

/// Whether a kernel of `series` is the plain arm64 flavour.
fn is_plain_kernel(name: &str, series: &str) -> bool {
    name.strip_prefix(series)
        .and_then(|rest| rest.strip_suffix(KERNEL_SUFFIX))
        .is_some_and(|release| !release.contains('-'))
}

/// The newest package of the archive that may stand in for `package`, its checksum unknown.
fn newest(archive: &Archive, package: &Package) -> Result<Package> {
    let names = match kernel_series(&package.name) {
        Some(series) => {
            let mut names = archive.names(&series)?;
            names.retain(|name| is_plain_kernel(name, &series));
            names
        }
        None => vec![package.name.clone()],
    };
    let backports = package.suite.ends_with("-backports");
    let mut best: Option<Package> = None;
    for name in names {
        for offer in archive.offers(&name)? {
            // A library of the stable release must not be replaced by one from backports: the
            // others were not built with it. A kernel depends on nothing.
            let foreign = offer.suite.ends_with("-backports") && !backports;
            if foreign && !is_kernel_name(&name) {
                continue;
            }
            let newer = |best: &Package| compare_debian(&offer.version, &best.version).is_gt();
            if best.as_ref().is_none_or(newer) {
                best = Some(Package {
                    suite: offer.suite,
                    name: name.clone(),
                    version: offer.version,
                    arch: package.arch.clone(),
                    sha256: String::new(),
                });
            }
        }
    }
    best.ok_or_else(|| {
        anyhow!(
            "the archive has no {} any more: edit payload/packages.lock, then \
             `cargo xtask setup --repin`",
            package.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, suite: &str) -> Package {
        Package {
            suite: suite.into(),
            name: name.into(),
            version: "1".into(),
            arch: "arm64".into(),
            sha256: String::new(),
        }
    }

    #[test]
    fn a_kernel_is_replaced_only_by_the_plain_flavour_of_its_series() {
        let pinned = package("linux-image-6.12.117+deb12-arm64", "bookworm-security");
        for (name, stands_in) in [
            ("linux-image-6.12.120+deb12-arm64", true),
            ("linux-image-6.12.90+deb12.1-arm64", true),
            ("linux-image-6.12.120+deb12-rt-arm64", false),
            ("linux-image-6.12.120+deb12-arm64-16k", false),
            ("linux-image-6.12.120+deb12-arm64-unsigned", false),
            ("linux-image-6.1.0-50-arm64", false),
            ("linux-image-7.2.1+deb13-arm64", false),
            ("libc6", false),
        ] {
            assert_eq!(same_series(&package(name, "bookworm"), &pinned), stands_in, "{name}");
        }
    }

    #[test]
    fn a_library_is_replaced_only_by_itself() {
        let pinned = package("libc6", "bookworm");
        assert!(same_series(&package("libc6", "bookworm-security"), &pinned));
        assert!(!same_series(&package("libc6-dev", "bookworm"), &pinned));
    }

    #[test]
    fn every_package_has_exactly_one_use() {
        let old = package("linux-image-6.12.117+deb12-arm64", "bookworm-security");
        let new = package("linux-binary-7.2.12+deb13-arm64", "trixie-backports");
        let library = package("libc6", "bookworm");
        assert!(Kernel::Default.is_package(&old) && !Kernel::Seven.is_package(&old));
        assert!(Kernel::Seven.is_package(&new) && !Kernel::Default.is_package(&new));
        assert!(is_userland(&library) && !is_userland(&old) && !is_userland(&new));
    }

    #[test]
    fn the_shipped_lock_file_is_complete() {
        let pinned = read_lock(&Project::new().payload_dir().join("packages.lock")).unwrap();
        for kernel in [Kernel::Default, Kernel::Seven] {
            assert_eq!(pinned.iter().filter(|p| kernel.is_package(p)).count(), 1, "{kernel}");
        }
        for name in ["busybox-static", "qemu-system-arm", "libc6"] {
            assert!(pinned.iter().any(|p| p.name == name), "{name}");
        }
    }
}
