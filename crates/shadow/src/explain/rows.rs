//! The lines of an explanation before its sentence.

use core::fmt;

/// Which translation a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A stage 1.
    First,
    /// The stage 2 that L1 made.
    Guest,
    /// The stage 2 under L1.
    Host,
    /// The shadow.
    Shadow,
}

impl Stage {
    /// The name, in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "stage1",
            Self::Guest => "guest",
            Self::Host => "host",
            Self::Shadow => "shadow",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A descriptor that was read.
#[derive(Clone, Copy, Debug)]
pub struct StepRow<W> {
    /// Of which translation.
    pub stage: Stage,
    /// Its level, −1 to 3.
    pub level: i8,
    /// Where its table begins.
    pub table: u64,
    /// Its index in the table.
    pub index: u64,
    /// The descriptor; `None` where it cannot be read.
    pub raw: Option<u64>,
    /// What it says.
    pub words: W,
}

impl<W: fmt::Display> fmt::Display for StepRow<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stage,
            level,
            table,
            index,
            raw,
            words,
        } = self;
        write!(f, "{stage:<7} level {level:<2} {table:#x}[{index}] = ")?;
        match raw {
            Some(raw) => write!(f, "{raw:#018x}  {words}"),
            None => write!(f, "?  {words}"),
        }
    }
}

/// What a translation is walked by, or what it gave.
#[derive(Clone, Copy, Debug)]
pub struct NoteRow<W> {
    /// Which translation.
    pub stage: Stage,
    /// What there is to say.
    pub words: W,
}

impl<W: fmt::Display> fmt::Display for NoteRow<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7} {}", self.stage, self.words)
    }
}
