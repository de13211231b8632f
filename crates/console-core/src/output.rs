//! What happens to a command's output on its way to the terminal.
//!
//! Commands write text without knowing of filters or terminals. [`Filtered`]
//! gathers it into lines and passes each through the filters of the command;
//! [`CrLf`] makes `\n` what a serial terminal needs. Both are
//! [`core::fmt::Write`] around another one.

use core::fmt::{self, Write};

use crate::command::{FILTERS, Filter};

/// Longest line that filters see; the rest of a longer one is dropped. Without
/// filters nothing is gathered, and lines may have any length.
pub const OUTPUT_LINE_BYTES: usize = 1024;

/// What filters remember between lines, so that output may be written piece by
/// piece, each time by a new [`Filtered`] around it.
pub struct FilterState {
    /// Lines each filter has let through, or counted.
    passed: [u64; FILTERS],
    line: [u8; OUTPUT_LINE_BYTES],
    len: usize,
    /// Bytes of the line, those dropped included.
    written: usize,
}

impl FilterState {
    /// Before the first line.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            passed: [0; FILTERS],
            line: [0; OUTPUT_LINE_BYTES],
            len: 0,
            written: 0,
        }
    }
}

impl Default for FilterState {
    fn default() -> Self {
        Self::new()
    }
}

/// Sends lines through filters.
///
/// After the command, [`finish`](Self::finish) must be called: it ends a line
/// without `\n` and lets `count` speak.
pub struct Filtered<'a, W: Write> {
    out: W,
    filters: &'a [Filter<'a>],
    state: &'a mut FilterState,
}

impl<'a, W: Write> Filtered<'a, W> {
    /// Output to `out` through `filters`, of which at most [`FILTERS`] are used.
    /// `state` is new for a new command, and afterwards what it was.
    pub fn new(out: W, filters: &'a [Filter<'a>], state: &'a mut FilterState) -> Self {
        Self {
            out,
            filters: filters.get(..FILTERS).unwrap_or(filters),
            state,
        }
    }

    /// Whether no further line can change the output, so that a long walk may
    /// end here: a `head` has had its lines.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.filters
            .iter()
            .zip(&self.state.passed)
            .any(|(filter, passed)| matches!(filter, Filter::Head(lines) if passed >= lines))
    }

    /// Ends the output; `write_count` says how a count is written.
    ///
    /// # Errors
    ///
    /// What the sink or `write_count` reports.
    pub fn finish(mut self, write_count: impl Fn(u64, &mut dyn Write) -> fmt::Result) -> fmt::Result {
        if self.state.written > 0 {
            self.end_line()?;
        }
        for index in 0..self.filters.len() {
            if let (Some(Filter::Count), Some(&count)) = (self.filters.get(index), self.state.passed.get(index)) {
                self.state.len = 0;
                self.state.written = 0;
                write_count(count, &mut Gather(&mut self))?;
                self.pass(index + 1)?;
            }
        }
        Ok(())
    }

    /// Adds text without line end to the line.
    fn gather(&mut self, text: &str) {
        self.state.written += text.len();
        // Cut between characters, so that the line stays text.
        let mut fits = text.len().min(OUTPUT_LINE_BYTES - self.state.len);
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        let end = self.state.len + fits;
        if let (Some(to), Some(from)) = (
            self.state.line.get_mut(self.state.len..end),
            text.as_bytes().get(..fits),
        ) {
            to.copy_from_slice(from);
            self.state.len = end;
        }
    }

    /// Ends a line and begins another.
    fn end_line(&mut self) -> fmt::Result {
        let result = self.pass(0);
        self.state.len = 0;
        self.state.written = 0;
        result
    }

    /// Passes the line through the filters from index `first` on.
    fn pass(&mut self, first: usize) -> fmt::Result {
        // Cannot fail: the line was cut between characters.
        let bytes = self.state.line.get(..self.state.len).unwrap_or_default();
        let line = core::str::from_utf8(bytes).unwrap_or_default();
        for (filter, passed) in self.filters.iter().zip(&mut self.state.passed).skip(first) {
            match filter {
                Filter::Head(lines) if *passed >= *lines => return Ok(()),
                Filter::Head(_) => *passed += 1,
                Filter::Grep(text) if !has(line, text) => return Ok(()),
                Filter::Grep(_) => {}
                Filter::Count => {
                    *passed += 1;
                    return Ok(());
                }
            }
        }
        self.out.write_str(line)?;
        self.out.write_str("\n")
    }
}

/// Whether `line` has `text` in it, which is not empty. The standard library's search is made for longer ones.
fn has(line: &str, text: &str) -> bool {
    let mut windows = line.as_bytes().windows(text.len());
    windows.any(|window| window == text.as_bytes())
}

impl<W: Write> Write for Filtered<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.filters.is_empty() {
            return self.out.write_str(text);
        }
        for piece in text.split_inclusive('\n') {
            match piece.strip_suffix('\n') {
                None => self.gather(piece),
                Some(rest) => {
                    self.gather(rest);
                    self.end_line()?;
                }
            }
        }
        Ok(())
    }
}

/// Formats into the line being gathered.
struct Gather<'b, 'a, W: Write>(&'b mut Filtered<'a, W>);

impl<W: Write> Write for Gather<'_, '_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.gather(text);
        Ok(())
    }
}

/// Sends `\r\n` for `\n`. A `\r\n` that is there already stays one.
pub struct CrLf<W: Write> {
    out: W,
    after_cr: bool,
}

impl<W: Write> CrLf<W> {
    /// An adaptor around `out`.
    pub const fn new(out: W) -> Self {
        Self { out, after_cr: false }
    }
}

impl<W: Write> Write for CrLf<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive('\n') {
            match piece.strip_suffix('\n') {
                None => self.out.write_str(piece)?,
                Some(rest) => {
                    let has_cr = if rest.is_empty() {
                        self.after_cr
                    } else {
                        rest.ends_with('\r')
                    };
                    self.out.write_str(rest)?;
                    self.out.write_str(if has_cr { "\n" } else { "\r\n" })?;
                }
            }
            self.after_cr = piece.ends_with('\r');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::{format, string::String, vec::Vec};

    /// Sends `pieces` through `filters`.
    fn filtered(pieces: &[&str], filters: &[Filter<'_>]) -> String {
        let mut out = String::new();
        let mut state = FilterState::new();
        for piece in pieces {
            // A new writer for each piece: the state is all that counts.
            let mut writer = Filtered::new(&mut out, filters, &mut state);
            writer.write_str(piece).expect("a string takes all");
        }
        let writer = Filtered::new(&mut out, filters, &mut state);
        writer
            .finish(|count, out| write!(out, "{count}"))
            .expect("a string takes all");
        out
    }

    const TEXT: &[&str] = &["one RW\ntw", "o R\n", "three RW\n", "four"];

    #[test]
    fn filters_see_whole_lines_however_they_are_written() {
        assert_eq!(filtered(TEXT, &[]), "one RW\ntwo R\nthree RW\nfour");
        assert_eq!(filtered(TEXT, &[Filter::Grep("RW")]), "one RW\nthree RW\n");
        assert_eq!(filtered(TEXT, &[Filter::Head(2)]), "one RW\ntwo R\n");
        assert_eq!(filtered(TEXT, &[Filter::Count]), "4\n");
        assert_eq!(filtered(&["\n\n"], &[Filter::Count]), "2\n");
        assert_eq!(filtered(&[], &[Filter::Count]), "0\n");
    }

    #[test]
    fn filters_work_in_their_order() {
        assert_eq!(filtered(TEXT, &[Filter::Grep("RW"), Filter::Head(1)]), "one RW\n");
        assert_eq!(
            filtered(TEXT, &[Filter::Head(2), Filter::Grep("RW"), Filter::Count]),
            "1\n"
        );
        assert_eq!(filtered(TEXT, &[Filter::Count, Filter::Grep("5")]), "");
        assert_eq!(filtered(TEXT, &[Filter::Count, Filter::Count]), "1\n");
    }

    #[test]
    fn head_that_has_its_lines_ends_the_walk() {
        let filters = [Filter::Grep("a"), Filter::Head(1)];
        let mut state = FilterState::new();
        let mut writer = Filtered::new(String::new(), &filters, &mut state);
        writer.write_str("b\n").expect("ok");
        assert!(!writer.is_done());
        writer.write_str("a\n").expect("ok");
        assert!(writer.is_done());
        let mut state = FilterState::new();
        assert!(Filtered::new(String::new(), &[Filter::Head(0)], &mut state).is_done());
    }

    #[test]
    fn overlong_line_is_cut_between_characters_and_the_next_is_whole() {
        let long = "é".repeat(OUTPUT_LINE_BYTES) + "\nnext\n";
        let out = filtered(&["x", &long], &[Filter::Head(9)]);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], format!("x{}", "é".repeat((OUTPUT_LINE_BYTES - 1) / 2)));
        assert_eq!(lines[1], "next");
    }

    #[test]
    fn line_ends_become_crlf_once() {
        let mut out = String::new();
        let mut writer = CrLf::new(&mut out);
        for piece in ["a\nb\r\nc\r", "\n\nd"] {
            writer.write_str(piece).expect("ok");
        }
        assert_eq!(out, "a\r\nb\r\nc\r\n\r\nd");
    }

    proptest! {
        /// How the text is cut into writes makes no difference.
        #[test]
        fn pieces_do_not_matter(text in "[ab\n]{0,200}", cuts in prop::collection::vec(0usize..200, 0..8)) {
            let filters = [Filter::Grep("ab"), Filter::Head(7)];
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(filtered(&pieces, &filters), filtered(&[&text], &filters));
            let expected: String =
                text.lines().filter(|line| line.contains("ab")).take(7).map(|line| format!("{line}\n")).collect();
            prop_assert_eq!(filtered(&pieces, &filters), expected);
        }
    }
}
