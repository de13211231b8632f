//! `xtask view`: a machine's stage-2 tables as a picture.
//!
//! The question behind nested stage 2 is always the same: where does this address of the L2 go,
//! through whose tables, and does the shadow agree? A dump answers it for an address at a time;
//! the picture for all of them at once: three columns of addresses, and a ribbon for each range
//! from where it is to where it leads.
//!
//! One way through, each step a module of its own:
//!
//! - a source becomes a [`model::Snapshot`]: a console ([`live`]) or what was saved of one
//!   ([`records`]), or the files of Linux's debugfs ([`debugfs`]);
//! - a [`scene::Scene`] says where everything stands ([`axis`], [`labels`]);
//! - [`svg`] draws it, and [`page`] puts it into an HTML file with the same numbers as tables.
//!
//! Only this module and the sources touch files or sockets; from the snapshot on, everything is a
//! function of it, so that the same tables always give the same file.

pub mod access;
pub mod axis;
pub mod data;
pub mod debugfs;
pub mod labels;
pub mod layer;
pub mod live;
pub mod model;
pub mod page;
pub mod records;
pub mod scene;
pub mod svg;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::progress::say;
use model::Snapshot;
use scene::Scene;

/// Where tables come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A running machine's debug console, a unix socket.
    Console(PathBuf),
    /// Records that a console printed, one a line.
    Records(PathBuf),
    /// A VM's directory of Linux's debugfs, or a copy of one.
    Debugfs(PathBuf),
}

/// What `xtask view` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where tables come from.
    pub source: Source,
    /// The page to write.
    pub html: Option<PathBuf>,
    /// The picture to write.
    pub svg: Option<PathBuf>,
    /// Where to keep the records of a console.
    pub save: Option<PathBuf>,
    /// The L2 in the picture: its number or a beginning of its name.
    pub l2: Option<String>,
}

/// The page that is written when nothing else is asked for.
pub const DEFAULT_PAGE: &str = "gnomon-view.html";

/// Reads the tables and writes what was asked for.
///
/// # Errors
///
/// When the source cannot be read, has no tables, or a file cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let snapshot = read(options)?;
    if snapshot.tables.iter().all(|table| table.ranges.is_empty()) {
        bail!("{}: nothing is mapped in any table", snapshot.source);
    }
    let is_nothing_asked = options.html.is_none() && options.svg.is_none() && options.save.is_none();
    let default = is_nothing_asked.then(|| PathBuf::from(DEFAULT_PAGE));
    if let Some(path) = options.html.as_ref().or(default.as_ref()) {
        write(path, &page::render(&snapshot)?)?;
    }
    if let Some(path) = &options.svg {
        let scene = Scene::new(&snapshot, chosen(&snapshot, options.l2.as_deref())?);
        write(path, &svg::file(&snapshot, &scene))?;
    }
    Ok(())
}

fn read(options: &Options) -> Result<Snapshot> {
    match &options.source {
        Source::Console(path) => {
            let session = live::ask(path)?;
            if let Some(save) = &options.save {
                write(save, &session.records)?;
            }
            let mut snapshot = records::read(&session.records)?;
            snapshot.notes.extend(session.notes);
            snapshot.source = format!("the console at {}", path.display());
            Ok(snapshot)
        }
        Source::Records(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let mut snapshot = records::read(&text).with_context(|| path.display().to_string())?;
            snapshot.source = format!("records in {}", file_name(path));
            Ok(snapshot)
        }
        Source::Debugfs(dir) => {
            let mut snapshot = debugfs::read(dir)?;
            snapshot.source = format!("KVM's debugfs files in {}", file_name(dir));
            Ok(snapshot)
        }
    }
}

/// The L2 that the user means; the first one when nothing is said.
fn chosen<'a>(snapshot: &'a Snapshot, wanted: Option<&str>) -> Result<Option<&'a str>> {
    let names = snapshot.l2_names();
    let Some(wanted) = wanted else {
        return Ok(names.first().copied());
    };
    if let Some(name) = wanted.parse().ok().and_then(|number: usize| names.get(number)) {
        return Ok(Some(name));
    }
    let mut fitting = names.iter().filter(|name| name.starts_with(wanted));
    match (fitting.next(), fitting.next()) {
        (Some(name), None) => Ok(Some(name)),
        (Some(_), Some(_)) => bail!("the names of several L2s begin with `{wanted}`"),
        (None, _) => bail!("there is no L2 `{wanted}`; there are: {}", names.join(", ")),
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("view: {} ({} K)", path.display(), text.len().div_ceil(1024)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_l2_is_meant_by_number_or_by_the_beginning_of_its_name() {
        let mut snapshot = Snapshot::default();
        for name in ["shadow/0x1-0x8", "shadow/0x12-0x8", "guest/0x1-0x8"] {
            snapshot.table_mut(name);
        }
        let chosen = |wanted| chosen(&snapshot, wanted).map_err(|error| error.to_string());
        assert_eq!(chosen(None), Ok(Some("0x1-0x8")));
        assert_eq!(chosen(Some("1")), Ok(Some("0x12-0x8")));
        assert_eq!(chosen(Some("0x1-")), Ok(Some("0x1-0x8")));
        assert!(chosen(Some("0x1")).unwrap_err().contains("several"));
        assert!(
            chosen(Some("0x9"))
                .unwrap_err()
                .contains("there are: 0x1-0x8, 0x12-0x8")
        );
    }
}
