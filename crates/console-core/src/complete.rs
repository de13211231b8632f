//! What Tab adds to the line.

use crate::line::Line;

/// Knows the words that may stand at a place of the line: commands, table
/// names, registers.
///
/// It is asked twice when there is a choice to be listed, and should answer the
/// same both times.
pub trait Completer {
    /// Calls `found` with every candidate for the word that begins with `word`,
    /// where `before` is the line up to that word. Candidates that do not begin
    /// with `word` are ignored, so a completer may offer all it knows.
    fn complete(&self, before: &str, word: &str, found: &mut dyn FnMut(&str));
}

impl<F: Fn(&str, &str, &mut dyn FnMut(&str))> Completer for F {
    fn complete(&self, before: &str, word: &str, found: &mut dyn FnMut(&str)) {
        self(before, word, found);
    }
}

/// The completer that knows nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoCompletion;

impl Completer for NoCompletion {
    fn complete(&self, _before: &str, _word: &str, _found: &mut dyn FnMut(&str)) {}
}

/// Splits the text before the cursor into what precedes the word to complete,
/// and that word. A word begins after a blank or a `|`.
#[must_use]
pub fn split_word(text: &str) -> (&str, &str) {
    let start = text.rfind([' ', '|']).map_or(0, |at| at + 1);
    text.split_at(start)
}

/// What the candidates for one word have in common.
pub(crate) struct Common {
    /// How many there are.
    pub(crate) count: usize,
    /// The longest beginning they share.
    pub(crate) prefix: Line,
}

impl Common {
    /// Asks `completer` for the candidates and folds them.
    pub(crate) fn of(completer: &dyn Completer, before: &str, word: &str) -> Self {
        let mut common = Self {
            count: 0,
            prefix: Line::new(),
        };
        completer.complete(before, word, &mut |candidate| {
            if candidate.starts_with(word) {
                common.add(candidate);
            }
        });
        common
    }

    /// Takes one more candidate into account.
    fn add(&mut self, candidate: &str) {
        self.count += 1;
        if self.count == 1 {
            self.prefix.set(candidate);
            return;
        }
        let shared = self
            .prefix
            .as_str()
            .bytes()
            .zip(candidate.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        self.prefix.delete(shared, self.prefix.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_begins_after_a_blank_or_a_pipe() {
        assert_eq!(split_word("ptdump sha"), ("ptdump ", "sha"));
        assert_eq!(split_word("ptdump |gr"), ("ptdump |", "gr"));
        assert_eq!(split_word("pt"), ("", "pt"));
        assert_eq!(split_word("regs "), ("regs ", ""));
    }

    #[test]
    fn candidates_share_their_longest_beginning() {
        let words = |_: &str, _: &str, found: &mut dyn FnMut(&str)| {
            for word in ["shadow/0x1", "shadow/0x2", "host"] {
                found(word);
            }
        };
        let common = Common::of(&words, "", "s");
        assert_eq!((common.count, common.prefix.as_str()), (2, "shadow/0x"));
        assert_eq!(Common::of(&words, "", "x").count, 0);
    }
}
