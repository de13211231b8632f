//! The compiler's library for gnomon's target.
//!
//! `rustup target add` is the normal way. Where it does not work (a compiler that
//! did not come from rustup, a network that only has package mirrors), the three
//! libraries gnomon needs are built from the library's source in exactly the
//! compiler's version, which Debian packages as `rust-src`, and put where the
//! compiler looks for them.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::apt::{self, Archive};
use crate::elf;
use crate::process::{self, find_program};
use crate::progress::{Step, say};
use crate::project::{FIRMWARE_TARGET, Project};

/// The libraries gnomon links.
const LIBRARIES: [&str; 3] = ["libcore-", "liballoc-", "libcompiler_builtins-"];

/// State of the target in the compiler's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// Usable.
    Good,
    /// Not there.
    Missing,
    /// There twice, which the compiler refuses; the directory says where.
    Twice(PathBuf),
    /// There, without the bitcode that link-time optimisation needs; the directory says where.
    WithoutBitcode(PathBuf),
}

/// Looks for the target's libraries.
///
/// # Errors
///
/// When there is no compiler.
pub fn installed(project: &Project) -> Result<Installed> {
    let dir = target_dir(&sysroot(project)?).join("lib");
    let names = match fs::read_dir(&dir) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>(),
        Err(_) => return Ok(Installed::Missing),
    };
    let names: Vec<String> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    Ok(match core_count(names.iter().cloned()) {
        0 => Installed::Missing,
        1 if has_bitcode(&dir, &names)? => Installed::Good,
        1 => Installed::WithoutBitcode(dir),
        _ => Installed::Twice(dir),
    })
}

/// Whether `core` can take part in link-time optimisation. Of libraries that were built here by an earlier version of
/// this, it cannot.
fn has_bitcode(dir: &Path, names: &[String]) -> Result<bool> {
    let is_core = |name: &&String| name.starts_with(LIBRARIES[0]) && name.ends_with(".rlib");
    let Some(name) = names.iter().find(is_core) else {
        return Ok(false);
    };
    let path = dir.join(name);
    let file = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    elf::archive_has_section(&file, ".llvmbc").with_context(|| path.display().to_string())
}

/// How many different builds of `core` a directory's file names tell of.
fn core_count(names: impl Iterator<Item = String>) -> usize {
    let mut stems: Vec<String> = names
        .filter(|name| name.starts_with(LIBRARIES[0]))
        .filter_map(|name| name.split_once('.').map(|(stem, _)| stem.to_owned()))
        .collect();
    stems.sort();
    stems.dedup();
    stems.len()
}

/// Makes sure that the compiler can build for [`FIRMWARE_TARGET`].
///
/// # Errors
///
/// When neither way works; the message says what each said.
pub fn ensure(project: &Project) -> Result<()> {
    match installed(project)? {
        Installed::Good => return Ok(()),
        Installed::Twice(dir) => bail!("{}", advice_twice(&dir)),
        Installed::Missing => {}
        Installed::WithoutBitcode(dir) => {
            say("toolchain: the target's libraries are from before gnomon was optimised as a whole: making them anew");
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
    }
    let rustup = match find_program("rustup") {
        Some(_) => add_with_rustup(project),
        None => Err(anyhow::anyhow!("rustup is not installed")),
    };
    let Err(rustup) = rustup else { return Ok(()) };
    say(&format!("toolchain: {rustup:#}"));
    say("toolchain: building the target's libraries from source instead");
    build_from_source(project).with_context(|| {
        format!("the target {FIRMWARE_TARGET} is missing; by hand: rustup target add {FIRMWARE_TARGET}")
    })
}

/// What to do about two builds of the target in one place.
#[must_use]
pub fn advice_twice(dir: &Path) -> String {
    format!(
        "the target {FIRMWARE_TARGET} is installed twice, which the compiler refuses: \
         rm -r {} && scripts/setup",
        dir.display()
    )
}

fn add_with_rustup(project: &Project) -> Result<()> {
    let _step = Step::begin(&format!("toolchain: rustup target add {FIRMWARE_TARGET}"));
    let rustup = |action| {
        let mut command = Command::new("rustup");
        command
            .args(["target", action, FIRMWARE_TARGET])
            .current_dir(project.root());
        process::run_quietly(&mut command)
    };
    rustup("add")?;
    if installed(project)? == Installed::Missing {
        // rustup takes its own record for the truth; make it forget files that are gone.
        rustup("remove")?;
        rustup("add")?;
    }
    match installed(project)? {
        Installed::Good => Ok(()),
        _ => bail!("rustup added the target, but the compiler does not see it"),
    }
}

fn sysroot(project: &Project) -> Result<PathBuf> {
    let text = process::capture(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(project.root()),
    )?;
    Ok(PathBuf::from(text.trim()))
}

fn target_dir(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib").join(FIRMWARE_TARGET)
}

/// Builds `core`, `alloc` and `compiler_builtins`, and installs them in the sysroot.
fn build_from_source(project: &Project) -> Result<()> {
    let sysroot = sysroot(project)?;
    let source_place = sysroot.join("lib/rustlib/src/rust");
    let source = if source_place.join("library").is_dir() {
        None
    } else {
        Some(Link::place(&fetch_source(project)?, &source_place)?)
    };
    let step = Step::begin("toolchain: building core, alloc and compiler_builtins");
    let built = build_libraries(project)?;
    drop(source);
    install_libraries(&built, &target_dir(&sysroot).join("lib"))?;
    step.end();
    Ok(())
}

/// Unpacks Debian's `rust-src` of the compiler's version; returns the directory to link.
fn fetch_source(project: &Project) -> Result<PathBuf> {
    let release = compiler_release(project)?;
    let dir = project.cache_dir().join("rust-src").join(&release);
    if !dir.join(".complete").exists() {
        let step = Step::begin(&format!("toolchain: fetching the library source of {release}"));
        let archive = Archive::open(project, apt::RUST_SOURCES, "arm64")?;
        let offers = archive.offers("rust-src")?;
        let Some(offer) = offers.iter().find(|offer| is_release(&offer.version, &release)) else {
            bail!("no suite of Debian has rust-src {release}");
        };
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let spec = format!("rust-src={}", offer.version);
        archive.download(&[spec], &dir, "toolchain: downloading the source")?;
        let deb = only_entry(&dir, "rust-src_")?;
        process::run_quietly(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&dir))?;
        fs::remove_file(&deb)?;
        fs::write(dir.join(".complete"), "")?;
        step.end();
    }
    only_entry(&dir.join("usr/src"), "rustc-")
}

/// The compiler's version, such as `1.95.0`.
fn compiler_release(project: &Project) -> Result<String> {
    let text = process::capture(Command::new("rustc").arg("-vV").current_dir(project.root()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("release: "))
        .map(str::to_owned)
        .context("rustc does not say its version")
}

/// Whether a Debian version is of an upstream release: `1.95.0+dfsg1-2~bpo13+1` of `1.95.0`.
fn is_release(version: &str, release: &str) -> bool {
    version
        .strip_prefix(release)
        .is_some_and(|rest| rest.starts_with(['+', '-', '~']))
}

/// The one entry of a directory whose name begins with `prefix`.
fn only_entry(dir: &Path, prefix: &str) -> Result<PathBuf> {
    fs::read_dir(dir)
        .with_context(|| format!("cannot read {}", dir.display()))?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .with_context(|| format!("{} has no {prefix}*", dir.display()))
}

/// Lets cargo build the libraries for an empty crate; returns the directory they are in.
fn build_libraries(project: &Project) -> Result<PathBuf> {
    let dir = project.cache_dir().join("rust-target");
    fs::create_dir_all(dir.join("src"))?;
    // A workspace of its own, so that cargo does not look for one further up.
    let manifest = "[package]\nname = \"empty\"\nedition = \"2024\"\n\n[workspace]\n";
    fs::write(dir.join("Cargo.toml"), manifest)?;
    fs::write(dir.join("src/lib.rs"), "#![no_std]\n")?;
    let output = dir.join("target");
    process::run_quietly(
        Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(&dir)
            // -Zbuild-std is for nightly compilers only; this is the documented way to have it.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", &output)
            // As in the libraries that rustup installs: without it they could not be optimised together with gnomon.
            .env("RUSTFLAGS", "-Cembed-bitcode=yes")
            .args(["build", "--release", "--target", FIRMWARE_TARGET])
            .arg("-Zbuild-std=core,alloc,compiler_builtins")
            .arg("-Zbuild-std-features=compiler-builtins-mem")
            .stderr(Stdio::piped()),
    )?;
    Ok(output.join(FIRMWARE_TARGET).join("release/deps"))
}

fn install_libraries(built: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into).with_context(|| format!("cannot create {}", into.display()))?;
    for library in LIBRARIES {
        let entry = fs::read_dir(built)?.flatten().find(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(library) && name.ends_with(".rlib")
        });
        let entry = entry.with_context(|| format!("the build made no {library}*.rlib"))?;
        let to = into.join(entry.file_name());
        fs::copy(entry.path(), &to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

/// A symbolic link that lasts as long as this value: cargo looks for the library's source in
/// one place only, and a source that is not rustup's must not stay there.
struct Link {
    at: PathBuf,
}

impl Link {
    fn place(target: &Path, at: &Path) -> Result<Self> {
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        // A link that a run which was broken off has left behind.
        if at.is_symlink() {
            fs::remove_file(at)?;
        }
        symlink(target, at).with_context(|| format!("cannot link {}", at.display()))?;
        Ok(Self { at: at.to_path_buf() })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.at);
    }
}

fn symlink(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_versions_match_only_their_own_release() {
        assert!(is_release("1.95.0+dfsg1-2~bpo13+1", "1.95.0"));
        assert!(is_release("1.95.0-1", "1.95.0"));
        assert!(!is_release("1.95.01-1", "1.95.0"));
        assert!(!is_release("1.96.0+dfsg1-1", "1.95.0"));
    }

    #[test]
    fn a_library_beside_its_metadata_counts_once() {
        let count = |names: &[&str]| core_count(names.iter().map(|&name| name.to_owned()));
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&["libcore-1f.rlib", "libcore-1f.rmeta", "liballoc-2.rlib"]), 1);
        assert_eq!(count(&["libcore-1f.rlib", "libcore-2e.rlib"]), 2);
    }

    #[test]
    fn the_source_link_is_gone_afterwards() {
        let dir = env::temp_dir().join(format!("xtask-link-{}", std::process::id()));
        let at = dir.join("src/rust");
        let link = Link::place(Path::new("/tmp"), &at).unwrap();
        assert!(at.is_symlink());
        drop(link);
        assert!(!at.is_symlink());
        fs::remove_dir_all(&dir).unwrap();
    }
}
