//! Machine profiles: `qemu/<name>.profile`, one `key = value` a line.
//!
//! A profile has what describes the machine and nothing about one run of it, so
//! that a second board is a second file and not a second code path.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};

use crate::memory::MemorySize;
use crate::project::Project;

/// The machine everything runs on unless told otherwise.
pub const DEFAULT_PROFILE: &str = "virt";

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// QEMU's `-M`.
    pub board: String,
    /// QEMU's `-cpu`.
    pub cpu: String,
    /// CPUs by default.
    pub cpu_count: u32,
    /// RAM by default.
    pub memory: MemorySize,
    /// Physical address at which RAM begins.
    pub ram_base: u64,
}

/// What is wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadProfile {
    /// A line that is not `key = value`, by its number from 1.
    NotAPair(usize),
    /// A key that no profile has.
    UnknownKey(String),
    /// A key without which there is no machine.
    Missing(&'static str),
    /// A value that cannot be read, by its key.
    BadValue(String),
}

impl fmt::Display for BadProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPair(line) => write!(f, "line {line} is not `key = value`"),
            Self::UnknownKey(key) => write!(f, "there is no key `{key}`"),
            Self::Missing(key) => write!(f, "`{key}` is missing"),
            Self::BadValue(key) => write!(f, "the value of `{key}` cannot be read"),
        }
    }
}

impl std::error::Error for BadProfile {}

impl Profile {
    /// Reads `qemu/<name>.profile`.
    ///
    /// # Errors
    ///
    /// When there is none or it is damaged.
    pub fn load(project: &Project, name: &str) -> Result<Self> {
        let path = project.qemu_dir().join(format!("{name}.profile"));
        let text =
            fs::read_to_string(&path).with_context(|| format!("there is no machine profile {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Reads a profile's text.
    ///
    /// # Errors
    ///
    /// [`BadProfile`] for the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, BadProfile> {
        let (mut board, mut cpu, mut cpu_count, mut memory, mut ram_base) = (None, None, None, None, None);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once('=').ok_or(BadProfile::NotAPair(index + 1))?;
            let (key, value) = (key.trim(), value.trim());
            let bad = || BadProfile::BadValue(key.to_owned());
            match key {
                "board" => board = Some(value.to_owned()),
                "cpu" => cpu = Some(value.to_owned()),
                "cpus" => cpu_count = Some(value.parse().map_err(|_| bad())?),
                "memory" => memory = Some(value.parse().map_err(|_| bad())?),
                "ram-base" => ram_base = Some(parse_address(value).ok_or_else(bad)?),
                _ => return Err(BadProfile::UnknownKey(key.to_owned())),
            }
        }
        Ok(Self {
            board: board.ok_or(BadProfile::Missing("board"))?,
            cpu: cpu.ok_or(BadProfile::Missing("cpu"))?,
            cpu_count: cpu_count.ok_or(BadProfile::Missing("cpus"))?,
            memory: memory.ok_or(BadProfile::Missing("memory"))?,
            ram_base: ram_base.ok_or(BadProfile::Missing("ram-base"))?,
        })
    }
}

fn parse_address(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "# a board\nboard = virt,gic-version=3\ncpu=max\n\ncpus = 2\nmemory = 1G\nram-base = 0x40000000\n";

    #[test]
    fn a_value_may_have_equals_signs_of_its_own() {
        let profile = Profile::parse(GOOD).unwrap();
        assert_eq!(profile.board, "virt,gic-version=3");
        assert_eq!((profile.cpu_count, profile.ram_base), (2, 0x4000_0000));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(Profile::parse("cpu max"), Err(BadProfile::NotAPair(1)));
        assert_eq!(
            Profile::parse("colour = red"),
            Err(BadProfile::UnknownKey("colour".into()))
        );
        assert_eq!(Profile::parse("cpus = two"), Err(BadProfile::BadValue("cpus".into())));
        assert_eq!(Profile::parse("cpu = max"), Err(BadProfile::Missing("board")));
    }

    #[test]
    fn the_shipped_profile_is_whole() {
        Profile::load(&Project::new(), DEFAULT_PROFILE).unwrap();
    }
}
