//! What one step of a command prints, in memory: text for people, or JSON Lines for programs.
//!
//! A command prints rows, which are records of `crates/wire` and know both forms; headings, which only people need; and
//! plain text, which a program gets line by line as records of its own. So whatever a command does, JSON stays JSON.

use core::fmt::{self, Write};

use wire::{LINE_BYTES, Record};

use super::text::Text;

/// Most text that one step prints.
const STEP_BYTES: usize = 4096;
/// How many times as long the same is in JSON, at most.
const JSON_FACTOR: usize = 8;
/// Longest line of plain text that JSON takes whole.
const PLAIN_BYTES: usize = 256;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines for people.
    Text,
    /// JSON Lines for programs, as the answer to the command of this number.
    Json {
        /// The number.
        id: u64,
    },
}

/// What a step printed.
pub struct Output {
    form: Form,
    text: Text<{ STEP_BYTES * JSON_FACTOR }>,
    /// Plain text up to its line end, while in JSON.
    plain: Text<PLAIN_BYTES>,
}

impl Output {
    /// Nothing printed.
    pub const fn new() -> Self {
        Self {
            form: Form::Text,
            text: Text::new(),
            plain: Text::new(),
        }
    }

    /// Forgets what was printed, for the next step.
    pub fn clear(&mut self, form: Form) {
        self.form = form;
        self.text.clear();
        self.plain.clear();
    }

    /// What was printed.
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// Bytes of text that still fit, whatever the form.
    pub fn room(&self) -> usize {
        match self.form {
            Form::Text => self.text.room().saturating_sub(STEP_BYTES * (JSON_FACTOR - 1)),
            Form::Json { .. } => self.text.room() / JSON_FACTOR,
        }
    }

    /// Whether it is JSON Lines.
    pub fn is_for_programs(&self) -> bool {
        self.form != Form::Text
    }

    /// Prints a row.
    #[inline(never)]
    pub fn row(&mut self, row: &dyn Record) -> fmt::Result {
        match self.form {
            Form::Text => writeln!(self.text, "{row}"),
            Form::Json { id } => {
                let mut line = [0; LINE_BYTES];
                self.text.write_str(wire::write_line(&mut line, id, row)?)
            }
        }
    }

    /// Prints a line that says nothing to a program: names of columns, a sum of what the rows say.
    #[inline(never)]
    pub fn heading(&mut self, line: fmt::Arguments<'_>) -> fmt::Result {
        match self.form {
            Form::Text => writeln!(self.text, "{line}"),
            Form::Json { .. } => Ok(()),
        }
    }

    /// Makes the plain text gathered so far a record.
    fn end_plain_line(&mut self) -> fmt::Result {
        let plain = core::mem::replace(&mut self.plain, Text::new());
        self.row(&wire::Text { text: plain.as_str() })
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.form == Form::Text {
            return self.text.write_str(text);
        }
        for piece in text.split_inclusive('\n') {
            match piece.strip_suffix('\n') {
                None => self.plain.write_str(piece)?,
                Some(rest) => {
                    self.plain.write_str(rest)?;
                    self.end_plain_line()?;
                }
            }
        }
        Ok(())
    }
}
