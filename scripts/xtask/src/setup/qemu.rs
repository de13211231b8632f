//! QEMU for the host: the one in `PATH` when it is new enough, else Debian's.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::process::{self, find_program};
use crate::progress::{Step, say};
use crate::project::Project;
use crate::version::{QEMU_MINIMUM, QemuVersion};

/// The program.
pub const PROGRAM: &str = "qemu-system-aarch64";

/// Debian's package of it.
const PACKAGE: &str = "qemu-system-arm";

/// Where the host's apt has its sources: one file, and a directory of more.
const HOST_SOURCES: &str = "/etc/apt/sources.list";
const HOST_SOURCE_PARTS: &str = "/etc/apt/sources.list.d";

/// What is in `PATH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// New enough.
    Good(QemuVersion),
    /// Too old.
    Old(QemuVersion),
    /// Not there, or it does not say its version.
    Missing,
}

/// Looks at the QEMU in `PATH`.
#[must_use]
pub fn installed() -> Installed {
    let version = process::capture(Command::new(PROGRAM).arg("--version"))
        .ok()
        .and_then(|text| QemuVersion::parse(&text));
    match version {
        Some(version) if version >= QEMU_MINIMUM => Installed::Good(version),
        Some(version) => Installed::Old(version),
        None => Installed::Missing,
    }
}

/// Makes sure that QEMU is there, installing Debian's where that is possible.
///
/// # Errors
///
/// When it cannot be installed; the message says how the user can.
pub fn ensure(project: &Project) -> Result<()> {
    let found = installed();
    if let Installed::Good(_) = found {
        return Ok(());
    }
    let had = match found {
        Installed::Old(version) => format!("QEMU {version} is too old"),
        _ => "QEMU is not installed".to_owned(),
    };
    let host = Host::detect();
    let Some(suite) = host.suite_with_qemu() else {
        bail!("{had}, {QEMU_MINIMUM} or newer is needed: {}", host.advice());
    };
    say(&format!("{had}; installing {PACKAGE} from {suite}"));
    install(project, suite)
        .with_context(|| format!("{had} and could not be installed; by hand: apt-get install -t {suite} {PACKAGE}"))?;
    match installed() {
        Installed::Good(version) => {
            say(&format!("QEMU {version} is installed"));
            Ok(())
        }
        _ => bail!("{PACKAGE} of {suite} brought no QEMU of {QEMU_MINIMUM} or newer"),
    }
}

/// How the user can get a good QEMU, for messages.
#[must_use]
pub fn advice() -> String {
    Host::detect().advice()
}

/// Installs the package on the host. A suite that the host's sources do not have is added to
/// them for these two commands only.
fn install(project: &Project, suite: &str) -> Result<()> {
    let _step = Step::begin(&format!("qemu: installing {PACKAGE} from {suite}"));
    let mut options = vec!["-q".to_owned()];
    if !is_configured(suite) {
        let parts = project.cache_dir().join("apt/host-sources");
        prepare_sources(&parts, suite)?;
        options.push(format!("-oDir::Etc::SourceParts={}", parts.display()));
    }
    let apt_get = |arguments: &[&str]| {
        let mut command = process::as_root("apt-get")?;
        process::run_quietly(command.args(&options).args(arguments))
    };
    // Some other source of the host's may be out of order; what counts is the next command.
    if let Err(error) = apt_get(&["update"]) {
        say(&format!("qemu: {error:#}"));
    }
    apt_get(&["install", "-y", "--no-install-recommends", "-t", suite, PACKAGE])
}

/// Whether the host's own sources name the suite. It must not be added twice: apt refuses the
/// same suite with different keys.
fn is_configured(suite: &str) -> bool {
    let mut files = vec![Path::new(HOST_SOURCES).to_path_buf()];
    if let Ok(entries) = fs::read_dir(HOST_SOURCE_PARTS) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .any(|text| names_suite(&text, suite))
}

/// Whether a file of sources, in either of apt's formats, names the suite.
fn names_suite(text: &str, suite: &str) -> bool {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .any(|word| word == suite)
}

/// A copy of the host's extra sources, with the suite added.
fn prepare_sources(parts: &Path, suite: &str) -> Result<()> {
    let _ = fs::remove_dir_all(parts);
    fs::create_dir_all(parts).with_context(|| format!("cannot create {}", parts.display()))?;
    if let Ok(entries) = fs::read_dir(HOST_SOURCE_PARTS) {
        for entry in entries.flatten() {
            fs::copy(entry.path(), parts.join(entry.file_name()))?;
        }
    }
    fs::write(parts.join("gnomon.list"), apt::host_source(suite))?;
    Ok(())
}

/// What matters of the host's operating system.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    id: String,
    codename: String,
}

impl Host {
    fn detect() -> Self {
        let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let mut host = Self::parse(&text);
        if find_program("apt-get").is_none() {
            host.codename.clear();
        }
        host
    }

    /// Reads `/etc/os-release`.
    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map(|value| value.trim_matches('"').to_owned())
                .unwrap_or_default()
        };
        Self {
            id: value("ID"),
            codename: value("VERSION_CODENAME"),
        }
    }

    /// The suite of this Debian that has a good QEMU.
    fn suite_with_qemu(&self) -> Option<&'static str> {
        match (self.id.as_str(), self.codename.as_str()) {
            ("debian", "bookworm") => Some("bookworm-backports"),
            ("debian", "trixie") => Some("trixie"),
            _ => None,
        }
    }

    fn advice(&self) -> String {
        let how = match self.id.as_str() {
            "fedora" | "rhel" | "centos" => "dnf install qemu-system-aarch64",
            "arch" | "manjaro" => "pacman -S qemu-system-aarch64",
            "opensuse-tumbleweed" | "opensuse-leap" => "zypper install qemu-arm",
            "alpine" => "apk add qemu-system-aarch64",
            "nixos" => "nix-shell -p qemu",
            "debian" | "ubuntu" => "apt-get install qemu-system-arm",
            _ if cfg!(target_os = "macos") => "brew install qemu",
            _ => "https://www.qemu.org/download/",
        };
        format!("{how} (version {QEMU_MINIMUM} or newer, {PROGRAM} in PATH)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_debian_with_a_good_qemu_is_installed_on() {
        let bookworm = Host::parse("NAME=\"Debian\"\nID=debian\nVERSION_CODENAME=bookworm\n");
        assert_eq!(bookworm.suite_with_qemu(), Some("bookworm-backports"));
        let ubuntu = Host::parse("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n");
        assert_eq!(ubuntu.suite_with_qemu(), None);
        assert_eq!(Host::parse("").suite_with_qemu(), None);
    }

    #[test]
    fn a_suite_is_found_in_both_formats_and_not_in_comments() {
        let list = "deb http://deb.debian.org/debian bookworm-backports main\n";
        let deb822 = "Types: deb\nSuites: bookworm bookworm-backports\nComponents: main\n";
        for text in [list, deb822] {
            assert!(names_suite(text, "bookworm-backports"), "{text}");
            assert!(!names_suite(text, "trixie"), "{text}");
        }
        assert!(!names_suite(
            "# deb http://x bookworm-backports main\n",
            "bookworm-backports"
        ));
        assert!(!names_suite(
            "Suites: bookworm-backports-sloppy\n",
            "bookworm-backports"
        ));
    }

    #[test]
    fn advice_names_the_hosts_own_package_manager() {
        let fedora = Host::parse("ID=fedora\n");
        assert!(fedora.advice().contains("dnf install"));
        assert!(Host::parse("ID=\"arch\"").advice().contains("pacman"));
        assert!(fedora.advice().contains("10.0 or newer"));
    }
}
