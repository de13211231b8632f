//! Debian's archive, read through apt with a configuration of the project's own.
//!
//! Its own lists, cache and (empty) dpkg state under `.cache/apt/<release>`, its
//! own architecture, its own sources signed by Debian's keyring: nothing of the
//! host's apt state is read or changed and nothing is installed. What stays is
//! what apt is good at: reading the archive's index and verifying its signature.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::download::{self, Remote};
use crate::process::{self, find_program};
use crate::project::Project;

/// The key ring the archive's signatures are checked with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Mirror of the main archive; `GNOMON_DEBIAN_MIRROR` names another one.
const MIRROR: &str = "http://deb.debian.org/debian";

/// Mirror of the security archive; `GNOMON_DEBIAN_SECURITY_MIRROR` names another one.
const SECURITY_MIRROR: &str = "http://deb.debian.org/debian-security";

/// The suites that one apt configuration reads.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// Name of its directory under the cache.
    pub name: &'static str,
    /// Suites, as in `sources.list`.
    pub suites: &'static [&'static str],
}

/// The stable release the payload's programs come from.
pub const BOOKWORM: Release = Release {
    name: "bookworm",
    suites: &[
        "bookworm",
        "bookworm-updates",
        "bookworm-security",
        "bookworm-backports",
    ],
};

/// Where newer kernels come from.
pub const TRIXIE_BACKPORTS: Release = Release {
    name: "trixie-backports",
    suites: &["trixie-backports"],
};

/// Every suite that may have the Rust library's source in the compiler's version.
pub const RUST_SOURCES: Release = Release {
    name: "rust",
    suites: &[
        "bookworm-backports",
        "trixie",
        "trixie-backports",
        "forky",
        "sid",
        "experimental",
    ],
};

/// One version of a package that the archive offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Debian version.
    pub version: String,
    /// Suite it is in.
    pub suite: String,
}

/// A release of the archive as seen by our own apt.
#[derive(Debug)]
pub struct Archive {
    dir: PathBuf,
}

/// Why the archive cannot be used on this host, or nothing.
#[must_use]
pub fn unavailable() -> Option<String> {
    for program in ["apt-get", "apt-cache", "dpkg-deb"] {
        if find_program(program).is_none() {
            return Some(format!("`{program}` is not here: this is not a Debian-like host"));
        }
    }
    if !Path::new(KEYRING).exists() {
        return Some("Debian's archive keys are not here: apt-get install debian-archive-keyring".into());
    }
    None
}

impl Archive {
    /// Writes the configuration for `release` with packages for `arch`, and fetches the
    /// archive's signed indexes.
    ///
    /// # Errors
    ///
    /// When the host has no apt or the archive cannot be reached.
    pub fn open(project: &Project, release: Release, arch: &str) -> Result<Self> {
        if let Some(why) = unavailable() {
            bail!("{why}");
        }
        let dir = project.cache_dir().join("apt").join(release.name);
        for part in ["lists/partial", "cache/archives/partial", "state"] {
            fs::create_dir_all(dir.join(part))
                .with_context(|| format!("cannot create {}", dir.join(part).display()))?;
        }
        fs::write(dir.join("status"), "")?;
        fs::write(dir.join("sources.list"), sources(release, arch))?;
        fs::write(dir.join("apt.conf"), configuration(&dir, arch))?;
        let archive = Self { dir };
        process::run_quietly(
            archive
                .command("apt-get")
                .args(["update", "-o", "APT::Update::Error-Mode=any"]),
        )
        .context("cannot read Debian's archive (is the network up?)")?;
        Ok(archive)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.dir.join("apt.conf")).env("LC_ALL", "C");
        command
    }

    /// The versions of a package on offer; none when the archive does not know it.
    ///
    /// # Errors
    ///
    /// When apt fails.
    pub fn offers(&self, package: &str) -> Result<Vec<Offer>> {
        let text = process::capture(self.command("apt-cache").args(["madison", package]))?;
        Ok(parse_madison(&text))
    }

    /// Names of the packages that begin with `prefix`.
    ///
    /// # Errors
    ///
    /// When apt fails.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let text = process::capture(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Downloads packages, given as `name=version`, into a directory; `what` is shown
    /// meanwhile. Every file is verified against the archive's signed index.
    ///
    /// # Errors
    ///
    /// When the archive does not have a package, or the download fails.
    pub fn download(&self, specs: &[String], into: &Path, what: &str) -> Result<Vec<Remote>> {
        let text = process::capture(self.command("apt-get").args(["download", "--print-uris"]).args(specs))?;
        let remotes = parse_uris(&text);
        if remotes.len() != specs.len() {
            bail!("apt knows only {} of {} packages", remotes.len(), specs.len());
        }
        let megabytes = remotes
            .iter()
            .map(|remote| remote.bytes)
            .sum::<u64>()
            .div_ceil(1_000_000);
        let what = format!("{what} ({megabytes} MB)");
        let mut fallback = self.command("apt-get");
        fallback.args(["download", "-q"]).args(specs).current_dir(into);
        download::fetch(&remotes, into, &what, fallback)?;
        Ok(remotes)
    }
}

/// A line for the host's own `sources.list` that adds a suite of the main archive.
#[must_use]
pub fn host_source(suite: &str) -> String {
    format!("deb [signed-by={KEYRING}] {MIRROR} {suite} main\n")
}

/// `sources.list` for a release.
fn sources(release: Release, arch: &str) -> String {
    let variable = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.into());
    let mirror = variable("GNOMON_DEBIAN_MIRROR", MIRROR);
    let security = variable("GNOMON_DEBIAN_SECURITY_MIRROR", SECURITY_MIRROR);
    release
        .suites
        .iter()
        .map(|suite| {
            let from = if suite.ends_with("-security") {
                &security
            } else {
                &mirror
            };
            format!("deb [arch={arch} signed-by={KEYRING}] {from} {suite} main\n")
        })
        .collect()
}

/// An `apt.conf` that keeps apt away from everything of the host's.
fn configuration(dir: &Path, arch: &str) -> String {
    let dir = dir.display();
    format!(
        r#"APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::Etc::SourceList "{dir}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{dir}/state";
Dir::State::Lists "{dir}/lists";
Dir::State::Status "{dir}/status";
Dir::Cache "{dir}/cache";
"#
    )
}

/// Reads `apt-cache madison`: `name | version | mirror suite/component arch Packages`.
fn parse_madison(text: &str) -> Vec<Offer> {
    text.lines()
        .filter_map(|line| {
            let mut columns = line.split('|').map(str::trim);
            let version = columns.nth(1)?;
            let suite = columns.next()?.split_whitespace().nth(1)?.split('/').next()?;
            Some(Offer {
                version: version.to_owned(),
                suite: suite.to_owned(),
            })
        })
        .collect()
}

/// Reads `apt-get download --print-uris`: `'uri' file size SHA256:hash`.
fn parse_uris(text: &str) -> Vec<Remote> {
    text.lines()
        .filter_map(|line| {
            let mut columns = line.split_whitespace();
            Some(Remote {
                uri: columns.next()?.strip_prefix('\'')?.strip_suffix('\'')?.to_owned(),
                name: columns.next()?.to_owned(),
                bytes: columns.next()?.parse().ok()?,
                sha256: columns.next()?.strip_prefix("SHA256:")?.to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_read_from_madison() {
        let text = " libc6 | 2.36-9+deb12u14 | http://deb.debian.org/debian bookworm/main arm64 Packages\n \
                    libc6 | 2.36-9+deb12u7 | http://deb.debian.org/debian-security bookworm-security/main arm64 Packages\n";
        assert_eq!(
            parse_madison(text),
            [
                Offer {
                    version: "2.36-9+deb12u14".into(),
                    suite: "bookworm".into()
                },
                Offer {
                    version: "2.36-9+deb12u7".into(),
                    suite: "bookworm-security".into()
                },
            ]
        );
        assert_eq!(parse_madison("N: Unable to locate package nothing\n"), []);
    }

    #[test]
    fn files_are_read_from_printed_uris() {
        let text = "'http://deb.debian.org/x_1%253a1.deb' x_1%3a1_arm64.deb 857920 SHA256:968d\n";
        let remote = Remote {
            uri: "http://deb.debian.org/x_1%253a1.deb".into(),
            name: "x_1%3a1_arm64.deb".into(),
            bytes: 857_920,
            sha256: "968d".into(),
        };
        assert_eq!(parse_uris(text), [remote]);
        assert_eq!(parse_uris("'http://x' x 1 MD5Sum:968d\n"), [], "too weak to trust");
    }

    #[test]
    fn security_suites_come_from_the_security_mirror() {
        let text = sources(BOOKWORM, "arm64");
        assert_eq!(text.lines().count(), BOOKWORM.suites.len());
        for line in text.lines() {
            assert_eq!(
                line.contains("-security main"),
                line.contains("debian-security "),
                "{line}"
            );
            assert!(line.contains("signed-by=") && line.contains("arch=arm64"), "{line}");
        }
    }
}
