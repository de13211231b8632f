//! Where things of the project lie on the host.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The triple gnomon is built for. Soft float: the compiler must never touch the
/// guest's floating-point registers.
pub const FIRMWARE_TARGET: &str = "aarch64-unknown-none-softfloat";

/// Set by the shell scripts to the directory the user called them from; relative
/// paths on the command line are meant from there.
pub const CALLER_DIR_VARIABLE: &str = "GNOMON_CALLER_DIR";

/// A checkout of the project.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// The checkout this tool was built from.
    #[must_use]
    pub fn new() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        // scripts/xtask lies two levels below the root.
        let root = manifest.ancestors().nth(2).unwrap_or(manifest);
        Self {
            root: root.to_path_buf(),
        }
    }

    /// The top directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Downloads and what is made from them. Ignored by git; may be deleted at any time.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.root.join(".cache")
    }

    /// Keeps other runs of this tool from changing the cache until the result is dropped.
    ///
    /// # Errors
    ///
    /// When the cache cannot be written.
    pub fn lock_cache(&self) -> Result<File> {
        let path = self.cache_dir().join("lock");
        fs::create_dir_all(self.cache_dir())
            .and_then(|()| File::create(&path))
            .and_then(|file| file.lock().map(|()| file))
            .with_context(|| format!("cannot lock {}", path.display()))
    }

    /// Sources of the default payload, and its lock file.
    #[must_use]
    pub fn payload_dir(&self) -> PathBuf {
        self.root.join("payload")
    }

    /// Machine profiles.
    #[must_use]
    pub fn qemu_dir(&self) -> PathBuf {
        self.root.join("qemu")
    }

    /// Cargo's target directory.
    #[must_use]
    pub fn target_dir(&self) -> PathBuf {
        match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => self.root.join(dir),
            None => self.root.join("target"),
        }
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}
