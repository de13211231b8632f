//! Taking files out of a Debian package without installing or unpacking it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Files by their path in the package, without a leading `./` or `/`.
pub type Files = BTreeMap<String, Entry>;

/// One file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A regular file's contents.
    File(Vec<u8>),
    /// A symbolic link's target.
    Link(String),
}

/// Reads the files of the package at `path` that `wanted` chooses by their path.
///
/// # Errors
///
/// When `dpkg-deb` is missing or the package is damaged.
pub fn read_files(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Files> {
    let mut child = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start dpkg-deb")?;
    let Some(stdout) = child.stdout.take() else {
        bail!("dpkg-deb has no output")
    };
    let files = read_tar(stdout, wanted).with_context(|| format!("cannot read the package {}", path.display()));
    // A reader that has failed may leave dpkg-deb with something to write.
    if files.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    let files = files?;
    if !status.success() {
        bail!("dpkg-deb cannot read {}: {status}", path.display());
    }
    Ok(files)
}

fn read_tar(reader: impl Read, wanted: impl Fn(&str) -> bool) -> Result<Files> {
    let mut files = Files::new();
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let path = path.trim_start_matches("./").trim_start_matches('/').to_owned();
        if !wanted(&path) {
            continue;
        }
        if let Some(target) = entry.link_name()? {
            files.insert(path, Entry::Link(target.to_string_lossy().into_owned()));
        } else if entry.header().entry_type().is_file() {
            let mut data = Vec::new();
            entry.read_to_end(&mut data)?;
            files.insert(path, Entry::File(data));
        }
    }
    Ok(files)
}

/// The file called `name`, in whatever directory, through links inside the same directory.
#[must_use]
pub fn find<'a>(files: &'a Files, name: &str) -> Option<&'a [u8]> {
    let mut name = name.to_owned();
    // As many steps as a chain of links can have; a circle ends too.
    for _ in 0..8 {
        let wanted = |path: &str| path.rsplit('/').next() == Some(name.as_str());
        match files.iter().find(|(path, _)| wanted(path))? {
            (_, Entry::File(data)) => return Some(data),
            (_, Entry::Link(target)) => name = target.rsplit('/').next()?.to_owned(),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let link = |target: &str| Entry::Link(target.into());
        Files::from([
            ("usr/lib/aarch64-linux-gnu/libx.so.1".into(), link("libx.so.1.2")),
            ("usr/lib/aarch64-linux-gnu/libx.so.1.2".into(), Entry::File(b"x".into())),
            ("usr/lib/loop.so".into(), link("pool.so")),
            ("usr/lib/pool.so".into(), link("loop.so")),
            ("usr/lib/broken.so".into(), link("nowhere.so")),
        ])
    }

    #[test]
    fn a_library_is_found_through_its_links() {
        assert_eq!(find(&files(), "libx.so.1"), Some(&b"x"[..]));
        assert_eq!(find(&files(), "libx.so.1.2"), Some(&b"x"[..]));
    }

    #[test]
    fn missing_broken_and_circular_links_are_none() {
        for name in ["liby.so", "broken.so", "loop.so"] {
            assert_eq!(find(&files(), name), None, "{name}");
        }
    }

    #[test]
    fn only_wanted_entries_are_read_and_paths_are_bare() {
        let mut builder = tar::Builder::new(Vec::new());
        for name in ["./usr/bin/a", "./usr/share/doc/b"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(2);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &b"hi"[..]).unwrap();
        }
        let bytes = builder.into_inner().unwrap();
        let files = read_tar(&bytes[..], |path| path.starts_with("usr/bin/")).unwrap();
        assert_eq!(files, Files::from([("usr/bin/a".into(), Entry::File(b"hi".into()))]));
    }
}
