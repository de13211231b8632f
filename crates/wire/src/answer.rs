//! What frames an answer, and what any command may say.

use core::fmt;

use serde::Serialize;

use crate::Record;

/// The answer to `set json on`: who speaks.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Hello<'a> {
    /// `gnomon`
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
}

impl Record for Hello<'_> {
    const KIND: &'static str = "hello";
}

impl fmt::Display for Hello<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// The end of an answer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct End {}

impl Record for End {
    const KIND: &'static str = "end";
}

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

impl Record for Error<'_> {
    const KIND: &'static str = "error";
}

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

impl Record for Note<'_> {
    const KIND: &'static str = "note";
}

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

impl Record for Text<'_> {
    const KIND: &'static str = "text";
}

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

impl Record for Count {
    const KIND: &'static str = "count";
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.count, f)
    }
}
