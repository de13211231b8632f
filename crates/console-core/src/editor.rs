//! The line editor: keys change the line, and the terminal is told.
//!
//! The editor owns the line, the cursor and the history. A byte goes in with a
//! sink for the echo; what comes back says whether a line is complete. Echo is
//! sent for the change alone, never the whole line again where a character will
//! do, so that a slow UART and a program at the other end are both served. Only
//! `ESC [ n D` (cursor left), `ESC [ K` (erase to the end of the line) and, for
//! Ctrl-L, `ESC [ 2 J` and `ESC [ H` are asked of the terminal.
//!
//! A sink that fails loses the echo and nothing else. Lines end with `\n`: a
//! serial terminal needs [`CrLf`](crate::CrLf) around the sink.

use core::fmt::Write;

use crate::{
    PROMPT,
    complete::{Common, Completer, split_word},
    history::History,
    key::{Decoder, Key},
    line::Line,
};

/// Rung when a key can do nothing.
const BELL: &str = "\x07";

/// What a byte led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The line goes on.
    None,
    /// The line is complete: [`Editor::line`].
    Line,
    /// Ctrl-C: the line was dropped. While a command runs, it is to stop.
    Cancel,
}

/// A line being edited.
pub struct Editor {
    keys: Decoder,
    line: Line,
    /// Byte of the line the cursor is on, at most its length.
    cursor: usize,
    /// The line was given out; the next key begins another.
    is_complete: bool,
    history: History,
    /// Age of the recalled line, if one is.
    recalled: Option<usize>,
    /// The line as it was before one was recalled.
    draft: Line,
}

impl Editor {
    /// An empty line, nothing remembered.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            keys: Decoder::new(),
            line: Line::new(),
            cursor: 0,
            is_complete: false,
            history: History::new(),
            recalled: None,
            draft: Line::new(),
        }
    }

    /// The line: after [`Event::Line`] the complete one, until the next key.
    #[must_use]
    pub fn line(&self) -> &str {
        self.line.as_str()
    }

    /// The lines entered before.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Prints the prompt and what has been typed of the line. To be called when
    /// the console is ready for a line, and after something else was printed
    /// over a line being edited.
    pub fn prompt(&self, out: &mut dyn Write) {
        let _ = out.write_str(PROMPT);
        if !self.is_complete {
            let _ = out.write_str(self.line.as_str());
            self.left(self.line.len() - self.cursor, out);
        }
    }

    /// Takes a byte from the terminal.
    pub fn input(&mut self, byte: u8, completer: &dyn Completer, out: &mut dyn Write) -> Event {
        let Some(key) = self.keys.decode(byte) else {
            return Event::None;
        };
        if self.is_complete {
            self.reset();
        }
        match key {
            Key::Enter => {
                let _ = out.write_str("\n");
                self.history.push(&self.line);
                self.is_complete = true;
                return Event::Line;
            }
            Key::Cancel => {
                let _ = out.write_str("^C\n");
                self.reset();
                return Event::Cancel;
            }
            Key::Char(byte) => self.insert(byte, out),
            Key::Tab => self.complete(completer, out),
            Key::Backspace => self.delete(self.cursor.saturating_sub(1), self.cursor, out),
            Key::Delete => self.delete(self.cursor, self.cursor + 1, out),
            Key::KillToStart => self.delete(0, self.cursor, out),
            Key::KillToEnd => self.delete(self.cursor, self.line.len(), out),
            Key::KillWord => self.delete(self.word_start(), self.cursor, out),
            Key::Left => self.move_to(self.cursor.saturating_sub(1), out),
            Key::Right => self.move_to(self.cursor + 1, out),
            Key::Home => self.move_to(0, out),
            Key::End => self.move_to(self.line.len(), out),
            Key::Up => self.recall(self.recalled.map_or(0, |age| age + 1), out),
            Key::Down => self.recall_newer(out),
            Key::ClearScreen => {
                let _ = out.write_str("\x1b[2J\x1b[H");
                self.prompt(out);
            }
        }
        Event::None
    }

    /// Begins another line.
    fn reset(&mut self) {
        self.line.clear();
        self.cursor = 0;
        self.is_complete = false;
        self.recalled = None;
    }

    /// Inserts a character at the cursor.
    fn insert(&mut self, byte: u8, out: &mut dyn Write) {
        if self.line.insert(self.cursor, byte).is_err() {
            let _ = out.write_str(BELL);
            return;
        }
        let _ = out.write_str(self.line.from(self.cursor));
        self.cursor += 1;
        self.left(self.line.len() - self.cursor, out);
    }

    /// Deletes a range that the cursor is in or at the end of, and leaves the
    /// cursor at its start.
    fn delete(&mut self, start: usize, end: usize, out: &mut dyn Write) {
        if start >= end.min(self.line.len()) {
            return;
        }
        self.left(self.cursor - start, out);
        self.line.delete(start, end);
        self.cursor = start;
        let tail = self.line.from(start);
        let _ = out.write_str(tail);
        let _ = out.write_str("\x1b[K");
        self.left(tail.len(), out);
    }

    /// Moves the cursor, as far as the line goes.
    fn move_to(&mut self, to: usize, out: &mut dyn Write) {
        let to = to.min(self.line.len());
        if to < self.cursor {
            self.left(self.cursor - to, out);
        } else {
            // The way right is over the text itself.
            let passed = self.line.before(to).get(self.cursor..).unwrap_or_default();
            let _ = out.write_str(passed);
        }
        self.cursor = to;
    }

    /// Moves the terminal's cursor left.
    #[expect(clippy::unused_self, reason = "reads as an action of the editor")]
    fn left(&self, columns: usize, out: &mut dyn Write) {
        if columns > 0 {
            let _ = write!(out, "\x1b[{columns}D");
        }
    }

    /// Start of the word before the cursor, blanks after it included.
    fn word_start(&self) -> usize {
        let text = self.line.before(self.cursor).trim_end_matches(' ');
        text.rfind(' ').map_or(0, |at| at + 1)
    }

    /// Shows the line of that age.
    fn recall(&mut self, age: usize, out: &mut dyn Write) {
        let Some(text) = self.history.get(age) else {
            let _ = out.write_str(BELL);
            return;
        };
        if self.recalled.is_none() {
            self.draft = self.line;
        }
        let mut line = Line::new();
        line.set(text);
        self.recalled = Some(age);
        self.replace(&line, out);
    }

    /// Shows the line after the recalled one, at last the draft.
    fn recall_newer(&mut self, out: &mut dyn Write) {
        match self.recalled {
            None => {
                let _ = out.write_str(BELL);
            }
            Some(0) => {
                self.recalled = None;
                let draft = self.draft;
                self.replace(&draft, out);
            }
            Some(age) => self.recall(age - 1, out),
        }
    }

    /// Puts another line in place of this one, the cursor at its end.
    fn replace(&mut self, line: &Line, out: &mut dyn Write) {
        self.left(self.cursor, out);
        self.line = *line;
        self.cursor = self.line.len();
        let _ = out.write_str(self.line.as_str());
        let _ = out.write_str("\x1b[K");
    }

    /// Completes the word before the cursor, as far as it is certain; lists the
    /// candidates when nothing is.
    fn complete(&mut self, completer: &dyn Completer, out: &mut dyn Write) {
        // A copy, because the line changes while its words are in use.
        let line = self.line;
        let (before, word) = split_word(line.before(self.cursor));
        let common = Common::of(completer, before, word);
        let added = common.prefix.from(word.len());
        match common.count {
            0 => {
                let _ = out.write_str(BELL);
            }
            1 => {
                self.insert_all(added, out);
                self.insert(b' ', out);
            }
            _ if !added.is_empty() => self.insert_all(added, out),
            _ => {
                let _ = out.write_str("\n");
                completer.complete(before, word, &mut |candidate| {
                    if candidate.starts_with(word) {
                        let _ = write!(out, "{candidate}  ");
                    }
                });
                let _ = out.write_str("\n");
                self.prompt(out);
            }
        }
    }

    /// Inserts text at the cursor.
    fn insert_all(&mut self, text: &str, out: &mut dyn Write) {
        for byte in text.bytes() {
            self.insert(byte, out);
        }
    }
}

impl Default for Editor {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
