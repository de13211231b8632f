//! Transcripts of the debug console in the documentation, and whether a console still answers like that.
//!
//! A transcript is a block of text in which a line that begins with the prompt is a command, and the lines after it are
//! its answer. Lines are compared by their words, because columns are padded and the documentation's are cut. The
//! line `...` of a transcript stands for any number of lines.
//!
//! A payload's addresses are the same in every run. gnomon's depend on its own size, so numbers with an address in its
//! part of RAM are compared by what else is in them. Times are all alike.

use std::ops::Range;

/// What the console prints before a command.
const PROMPT: &str = "gnomon> ";
/// gnomon's memory on a machine with 1 GiB of RAM.
const GNOMON: Range<u64> = 0x4000_0000..0x4440_0000;
/// The address in a descriptor or a register.
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
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
    wanted
        .split_whitespace()
        .map(normal)
        .eq(line.split_whitespace().map(normal))
}

/// The word with what differs between runs made equal.
fn normal(word: &str) -> String {
    if is_time(word.trim_end_matches(':')) {
        return "TIME".to_owned();
    }
    let mut pieces = word.split("0x");
    let mut normal = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(piece.len());
        let (digits, rest) = piece.split_at(end);
        match u64::from_str_radix(digits, 16) {
            Ok(number) if GNOMON.contains(&(number & ADDRESS)) => {
                normal.push_str(&format!("GNOMON+{:#x}", number & !ADDRESS));
            }
            _ => normal.push_str(&format!("0x{digits}")),
        }
        normal.push_str(rest);
    }
    normal
}

/// Seconds, to the microsecond.
fn is_time(word: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(word.split_once('.'), Some((whole, part)) if is_number(whole) && is_number(part) && part.len() == 6)
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
    fn only_times_and_gnomons_own_addresses_may_differ() {
        assert!(is_alike(
            "at 1.234567: 0x40783000[1] = 0x4078400f",
            "at 7.000000: 0x40900000[1] = 0x4091000f"
        ));
        assert!(!is_alike("0x40783000[1]", "0x40783000[2]"));
        assert!(!is_alike("= 0x4078400f", "= 0x4078400b"), "attributes count");
        assert!(!is_alike("0x49002000", "0x49003000"), "so do L1's addresses");
        assert!(!is_alike("0x49002000", "0x40783000"));
        assert!(!is_alike("1.5", "1.6"));
    }
}
