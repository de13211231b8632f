//! Transcripts of the debug console in the documentation, and whether a console still answers like that.
//!
//! A transcript is a block of text in which a line that begins with the prompt is a command, and the lines after it are
//! its answer. Lines are compared by their words, because columns are padded and the documentation's are cut. In a
//! transcript the word `..` stands for any word, and the line `...` for any number of lines.

/// What the console prints before a command.
const PROMPT: &str = "gnomon> ";
/// Any word.
const ANY_WORD: &str = "..";
/// Any lines.
const ANY_LINES: &str = "...";

/// A command and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What was typed.
    pub command: String,
    /// What came.
    pub answer: Vec<String>,
}

/// The exchanges in the part of `document` (Markdown) below the heading `heading`, up to the next one.
#[must_use]
pub fn exchanges(document: &str, heading: &str) -> Vec<Exchange> {
    let mut found: Vec<Exchange> = Vec::new();
    let mut is_inside = false;
    let mut is_block = false;
    for line in document.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            if line.starts_with('#') {
                is_inside = line.trim_start_matches('#').trim() == heading;
            }
        } else if is_inside {
            if let Some(command) = line.strip_prefix(PROMPT) {
                found.push(Exchange {
                    command: command.to_owned(),
                    answer: Vec::new(),
                });
            } else if let Some(last) = found.last_mut() {
                last.answer.push(line.to_owned());
            }
        }
    }
    found
}

impl Exchange {
    /// Whether `lines` are an answer like this one.
    #[must_use]
    pub fn is_answered_by(&self, lines: &[String]) -> bool {
        are_alike(&self.answer, lines)
    }
}

fn are_alike(wanted: &[String], lines: &[String]) -> bool {
    match (wanted, lines) {
        ([first, rest @ ..], _) if first.trim() == ANY_LINES => {
            (0..=lines.len()).any(|skipped| are_alike(rest, &lines[skipped..]))
        }
        ([], []) => true,
        ([first, wanted @ ..], [line, lines @ ..]) => is_alike(first, line) && are_alike(wanted, lines),
        _ => false,
    }
}

fn is_alike(wanted: &str, line: &str) -> bool {
    let (wanted, words) = (wanted.split_whitespace(), line.split_whitespace());
    wanted.clone().count() == words.clone().count()
        && wanted
            .zip(words)
            .all(|(wanted, word)| wanted == word || wanted == ANY_WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# Console
```text
gnomon> one
not here
```
### missing-tlbi

Words.

```text
gnomon> audit
first  line
...
last
gnomon> shadow
```
### other
```text
gnomon> two
```
";

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_headings_own_exchanges_are_found() {
        let found = exchanges(DOCUMENT, "missing-tlbi");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].command, "audit");
        assert_eq!(found[0].answer, lines("first  line\n...\nlast"));
        assert!(found[1].answer.is_empty());
        assert!(exchanges(DOCUMENT, "nowhere").is_empty());
    }

    #[test]
    fn padding_does_not_count_and_words_do() {
        let exchange = &exchanges(DOCUMENT, "missing-tlbi")[0];
        assert!(exchange.is_answered_by(&lines("first line   \nlast")));
        assert!(exchange.is_answered_by(&lines("first line\na\nlast\nlast")));
        assert!(!exchange.is_answered_by(&lines("first line\na\nlast\nb")));
        assert!(!exchange.is_answered_by(&lines("first\nline\nlast")));
    }

    #[test]
    fn two_dots_are_any_one_word() {
        assert!(is_alike("took .. ticks", "took 17 ticks"));
        assert!(!is_alike("took .. ticks", "took ticks"));
    }
}
