//! What frames an answer, and what any command may say.

use core::fmt;

use serde::Serialize;

/// The answer to `set json on`: who speaks.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Hello<'a> {
    /// `gnomon`
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
}

record!(Hello<'_>, "hello");

impl fmt::Display for Hello<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// The end of an answer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct End {}

record!(End, "end");

impl fmt::Display for End {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// Why there is no answer, or no more of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Error<'a> {
    /// In words.
    pub text: &'a str,
}

record!(Error<'_>, "error");

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.text)
    }
}

/// What the reader should know of the answer, beside the answer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Note<'a> {
    /// In words.
    pub text: &'a str,
}

record!(Note<'_>, "note");

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "note: {}", self.text)
    }
}

/// A line that has no fields.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Text<'a> {
    /// The line.
    pub text: &'a str,
}

record!(Text<'_>, "text");

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// How many records there are, in place of them: what the filter `count` leaves.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Count {
    /// As many.
    pub count: u64,
}

record!(Count, "count");

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.count, f)
    }
}

/// Whether the vCPUs go on, after `stop` or `cont`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct State {
    /// Whether they do.
    pub running: bool,
}

record!(State, "state");

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.running { "running" } else { "stopped" })
    }
}

/// What was thrown away of a shadow.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Dropped {
    /// Bytes that its leaves mapped.
    pub bytes: u64,
}

record!(Dropped, "dropped");

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB dropped", self.bytes >> 10)
    }
}

/// What was given back before a reset of the machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Reset {
    /// Shadows that ended.
    pub shadows: usize,
    /// Frames for tables that are free now.
    pub frames_free: usize,
    /// How many fewer that are than after boot.
    pub frames_lost: i64,
}

record!(Reset, "reset");

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} shadows ended, ", self.shadows)?;
        match self.frames_lost {
            0 => write!(f, "{} frames are free as after boot", self.frames_free)?,
            lost @ 1.. => write!(f, "{lost} frames for tables are LOST")?,
            _ => f.write_str("more frames are free than after boot")?,
        }
        f.write_str("; resetting")
    }
}
