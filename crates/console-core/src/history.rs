//! The lines entered before, newest first.

use crate::line::Line;

/// Lines remembered.
pub const ENTRIES: usize = 16;

/// A ring of the last [`ENTRIES`] lines.
pub struct History {
    entries: [Line; ENTRIES],
    /// Where the next line goes.
    next: usize,
    /// Lines in the ring.
    count: usize,
}

impl History {
    /// Nothing remembered.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: [Line::new(); ENTRIES],
            next: 0,
            count: 0,
        }
    }

    /// Remembers a line, unless it is blank or the one just before.
    pub fn push(&mut self, line: &Line) {
        let text = line.as_str();
        if text.trim().is_empty() || self.get(0) == Some(text) {
            return;
        }
        if let Some(entry) = self.entries.get_mut(self.next) {
            *entry = *line;
            self.next = (self.next + 1) % ENTRIES;
            self.count = (self.count + 1).min(ENTRIES);
        }
    }

    /// The line entered `age` lines before the newest, which is age 0.
    #[must_use]
    pub fn get(&self, age: usize) -> Option<&str> {
        if age >= self.count {
            return None;
        }
        let index = (self.next + ENTRIES - 1 - age) % ENTRIES;
        self.entries.get(index).map(Line::as_str)
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

    fn line(text: &str) -> Line {
        let mut line = Line::new();
        line.set(text);
        line
    }

    #[test]
    fn newest_is_age_zero_and_the_oldest_falls_out() {
        let mut history = History::new();
        for n in 0..ENTRIES + 3 {
            history.push(&line(&format!("cmd {n}")));
        }
        assert_eq!(history.get(0), Some(format!("cmd {}", ENTRIES + 2).as_str()));
        assert_eq!(history.get(ENTRIES - 1), Some("cmd 3"));
        assert_eq!(history.get(ENTRIES), None);
    }

    #[test]
    fn blank_and_repeated_lines_are_not_remembered() {
        let mut history = History::new();
        for text in ["a", "a", "  ", "", "b", "a"] {
            history.push(&line(text));
        }
        let all: std::vec::Vec<_> = (0..).map_while(|age| history.get(age)).collect();
        assert_eq!(all, ["a", "b", "a"]);
    }
}
