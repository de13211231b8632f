//! A line taken apart: words, and the filters its output goes through.
//!
//! `ptdump host | grep RWX | head 5` is the words `ptdump` and `host`, then two
//! filters. Blanks separate words; there is no quoting, but the text of `grep`
//! is all that follows it up to the next `|`.

use core::fmt;

use crate::number::{NumberError, parse_number};

/// Most words in a command.
pub const WORDS: usize = 16;
/// Most filters after a command.
pub const FILTERS: usize = 4;

/// A filter on the lines a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter<'a> {
    /// The first lines only.
    Head(u64),
    /// Lines that contain this text.
    Grep(&'a str),
    /// How many lines, in place of them.
    Count,
}

/// A line taken apart. It borrows the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    words: [&'a str; WORDS],
    word_count: usize,
    filters: [Filter<'a>; FILTERS],
    filter_count: usize,
}

/// Why a line cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError<'a> {
    /// More than [`WORDS`] words.
    TooManyWords,
    /// More than [`FILTERS`] filters.
    TooManyFilters,
    /// Nothing between `|` and the next `|` or the end.
    MissingFilter,
    /// `|` without a command before it.
    MissingCommand,
    /// No such filter.
    UnknownFilter(&'a str),
    /// `grep` of nothing.
    MissingText,
    /// A word too many after a filter.
    Unexpected(&'a str),
    /// `head` of something that is no number.
    Number(NumberError<'a>),
}

impl fmt::Display for ParseError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyWords => write!(f, "a command has at most {WORDS} words"),
            Self::TooManyFilters => write!(f, "a command has at most {FILTERS} filters"),
            Self::MissingFilter => f.write_str("a filter is missing after '|'"),
            Self::MissingCommand => f.write_str("a command is missing before '|'"),
            Self::UnknownFilter(name) => {
                write!(f, "'{name}' is not a filter (head N, grep TEXT, count)")
            }
            Self::MissingText => f.write_str("grep needs a text"),
            Self::Unexpected(word) => write!(f, "'{word}' is one word too many"),
            Self::Number(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ParseError<'_> {}

impl<'a> From<NumberError<'a>> for ParseError<'a> {
    fn from(error: NumberError<'a>) -> Self {
        Self::Number(error)
    }
}

impl<'a> Command<'a> {
    /// Takes a line apart. A blank line is a command without words.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, from the left.
    pub fn parse(line: &'a str) -> Result<Self, ParseError<'a>> {
        let mut command = Self {
            words: [""; WORDS],
            word_count: 0,
            filters: [Filter::Count; FILTERS],
            filter_count: 0,
        };
        let mut parts = line.split('|');
        for word in parts.next().unwrap_or_default().split_whitespace() {
            let slot = command
                .words
                .get_mut(command.word_count)
                .ok_or(ParseError::TooManyWords)?;
            *slot = word;
            command.word_count += 1;
        }
        for part in parts {
            if command.word_count == 0 {
                return Err(ParseError::MissingCommand);
            }
            let filter = Filter::parse(part.trim())?;
            let slot = command
                .filters
                .get_mut(command.filter_count)
                .ok_or(ParseError::TooManyFilters)?;
            *slot = filter;
            command.filter_count += 1;
        }
        Ok(command)
    }

    /// The name of the command; `None` for a blank line.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        self.words().first().copied()
    }

    /// The words after the name.
    #[must_use]
    pub fn arguments(&self) -> &[&'a str] {
        self.words().get(1..).unwrap_or_default()
    }

    /// The filters, in the order the output goes through them.
    #[must_use]
    pub fn filters(&self) -> &[Filter<'a>] {
        self.filters.get(..self.filter_count).unwrap_or_default()
    }

    /// All words.
    fn words(&self) -> &[&'a str] {
        self.words.get(..self.word_count).unwrap_or_default()
    }
}

impl<'a> Filter<'a> {
    /// Reads one filter, without blanks around it.
    fn parse(text: &'a str) -> Result<Self, ParseError<'a>> {
        let (name, argument) = match text.split_once(char::is_whitespace) {
            Some((name, argument)) => (name, argument.trim_start()),
            None => (text, ""),
        };
        match name {
            "" => Err(ParseError::MissingFilter),
            "head" => Ok(Self::Head(parse_number(argument)?)),
            "grep" if argument.is_empty() => Err(ParseError::MissingText),
            "grep" => Ok(Self::Grep(argument)),
            "count" if argument.is_empty() => Ok(Self::Count),
            "count" => Err(ParseError::Unexpected(argument)),
            _ => Err(ParseError::UnknownFilter(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};

    #[test]
    fn words_and_filters_are_separated() {
        let command = Command::parse("  ptdump  host 0x1000+4K | grep R W X |head 5| count").expect("valid");
        assert_eq!(command.name(), Some("ptdump"));
        assert_eq!(command.arguments(), ["host", "0x1000+4K"]);
        assert_eq!(
            command.filters(),
            [Filter::Grep("R W X"), Filter::Head(5), Filter::Count]
        );
    }

    #[test]
    fn blank_line_is_no_command_and_no_error() {
        for line in ["", "   ", "\t"] {
            let command = Command::parse(line).expect("valid");
            assert_eq!((command.name(), command.arguments().len()), (None, 0));
        }
    }

    #[test]
    fn every_mistake_has_its_sentence() {
        for (line, message) in [
            ("x |", "a filter is missing after '|'"),
            ("| count", "a command is missing before '|'"),
            ("x | sort", "'sort' is not a filter (head N, grep TEXT, count)"),
            ("x | grep", "grep needs a text"),
            ("x | head", "a number is missing"),
            ("x | head two", "'two' is not a number (0x.., 123, 2M)"),
            ("x | count it", "'it' is one word too many"),
            ("x |count|count|count|count|count", "a command has at most 4 filters"),
            ("a b c d e f g h i j k l m n o p q", "a command has at most 16 words"),
        ] {
            let error = Command::parse(line).expect_err(line);
            assert_eq!(error.to_string(), message, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_fatal(line: String) {
            if let Err(error) = Command::parse(&line) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
