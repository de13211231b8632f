//! Fetching files that are known by size and checksum.
//!
//! curl does the transport where it is installed, because it goes on with a file
//! that was broken off; `apt-get download` begins such a file anew. Either way
//! nothing counts as downloaded before its checksum has been seen to be right.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::process::{self, find_program};
use crate::progress::Step;

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where it is.
    pub uri: String,
    /// What it is called on disk.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// Fetches files into a directory, showing `what` and how far it is, and verifies them.
/// `fallback` is a command that fetches the same files, for hosts without curl.
///
/// # Errors
///
/// When the transfer breaks off (running the same again resumes it), or a file is not what
/// its checksum says; that file is then gone.
pub fn fetch(remotes: &[Remote], into: &Path, what: &str, fallback: Command) -> Result<()> {
    let total = remotes.iter().map(|remote| remote.bytes).sum();
    let step = Step::begin_bytes(what, total);
    let missing: Vec<&Remote> = remotes
        .iter()
        .filter(|remote| size_of(remote, into) != remote.bytes)
        .collect();
    if !missing.is_empty() {
        let command = match find_program("curl") {
            Some(_) => curl(&missing, into),
            None => fallback,
        };
        transfer(command, || {
            step.set_bytes(remotes.iter().map(|r| size_of(r, into)).sum());
        })?;
    }
    step.end();
    let step = Step::begin_bytes("verifying checksums", total);
    let mut verified = 0;
    for remote in remotes {
        verify(remote, into)?;
        verified += remote.bytes;
        step.set_bytes(verified);
    }
    step.end();
    Ok(())
}

/// One curl for all files, so that they share a connection.
fn curl(remotes: &[&Remote], into: &Path) -> Command {
    let mut command = Command::new("curl");
    command.current_dir(into);
    command.args(["--fail", "--location", "--silent", "--show-error", "--retry", "3"]);
    command.args(["--continue-at", "-"]);
    for remote in remotes {
        // A file that is longer than it should be cannot be gone on with.
        if size_of(remote, into) > remote.bytes {
            let _ = fs::remove_file(into.join(&remote.name));
        }
        command.args(["--output", &remote.name, &remote.uri]);
    }
    command
}

/// Runs a transfer, calling `progress` while it is under way.
fn transfer(mut command: Command, progress: impl Fn()) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{program}`"))?;
    while child.try_wait()?.is_none() {
        progress();
        thread::sleep(Duration::from_millis(100));
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let why = process::reason(&output);
        bail!("the download broke off ({program}: {why}); run the same command again to resume it");
    }
    Ok(())
}

fn size_of(remote: &Remote, dir: &Path) -> u64 {
    fs::metadata(dir.join(&remote.name)).map_or(0, |metadata| metadata.len())
}

fn verify(remote: &Remote, dir: &Path) -> Result<()> {
    let path = dir.join(&remote.name);
    let have = checksum(&path)?;
    if have != remote.sha256 {
        fs::remove_file(&path)?;
        bail!(
            "{} arrived damaged (checksum {have}, expected {}); run the same command again",
            remote.name,
            remote.sha256
        );
    }
    Ok(())
}

/// SHA-256 of a file, in lower-case hexadecimal.
///
/// # Errors
///
/// When the file cannot be read.
pub fn checksum(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("xtask-download-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn remote(sha256: &str) -> Remote {
        Remote {
            uri: "http://localhost:1/never".into(),
            name: "file".into(),
            bytes: 3,
            sha256: sha256.into(),
        }
    }

    #[test]
    fn a_file_that_is_there_whole_is_verified_and_not_fetched() {
        let dir = scratch("whole");
        fs::write(dir.join("file"), "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        fetch(&[remote(abc)], &dir, "test", Command::new("false")).unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_file_with_a_wrong_checksum_does_not_stay() {
        let dir = scratch("damaged");
        fs::write(dir.join("file"), "abd").unwrap();
        let error = fetch(&[remote("0")], &dir, "test", Command::new("false")).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        assert!(!dir.join("file").exists());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_transfer_that_fails_says_how_to_go_on() {
        let error = transfer(Command::new("false"), || ()).unwrap_err().to_string();
        assert!(error.contains("run the same command again"), "{error}");
    }
}
