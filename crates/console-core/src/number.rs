//! Numbers and ranges as people write them.
//!
//! `4096`, `0x1000`, `4K` and `0x1_0000` are numbers; suffixes count in powers
//! of 1024. A range is `START..END` or `START-END` (end excluded), `START+LENGTH`, or one
//! address alone, which is the byte there.

use core::{fmt, ops::Range};

/// Why a text is not a number or range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError<'a> {
    /// The text is no number.
    NotANumber(&'a str),
    /// It does not fit in 64 bits.
    TooLarge(&'a str),
    /// The range ends where it starts, or before.
    EmptyRange(&'a str),
}

impl fmt::Display for NumberError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber("") => f.write_str("a number is missing"),
            Self::NotANumber(text) => write!(f, "'{text}' is not a number (0x.., 123, 2M)"),
            Self::TooLarge(text) => write!(f, "'{text}' does not fit in 64 bits"),
            Self::EmptyRange(text) => write!(f, "'{text}' is an empty range"),
        }
    }
}

impl core::error::Error for NumberError<'_> {}

/// Reads a number: decimal, or hexadecimal after `0x`; digits may be grouped by
/// `_`; a suffix `K`, `M`, `G` or `T` (or the small letter) multiplies.
///
/// # Errors
///
/// [`NumberError::NotANumber`] or [`NumberError::TooLarge`], with the text.
pub fn parse_number(text: &str) -> Result<u64, NumberError<'_>> {
    let not_a_number = NumberError::NotANumber(text);
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (strip_last(text), 10),
        Some(b'm' | b'M') => (strip_last(text), 20),
        Some(b'g' | b'G') => (strip_last(text), 30),
        Some(b't' | b'T') => (strip_last(text), 40),
        _ => (text, 0),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };

    let mut value: Option<u64> = None;
    for digit in digits.chars().filter(|&digit| digit != '_') {
        let digit = digit.to_digit(radix).ok_or(not_a_number)?;
        value = value
            .unwrap_or(0)
            .checked_mul(radix.into())
            .and_then(|value| value.checked_add(digit.into()))
            .ok_or(NumberError::TooLarge(text))
            .map(Some)?;
    }
    value
        .ok_or(not_a_number)?
        .checked_mul(1 << shift)
        .ok_or(NumberError::TooLarge(text))
}

/// Reads a range of addresses, with its end written behind `..` or, as in a dump, `-`; never an empty one.
///
/// # Errors
///
/// A number that is none, a sum that does not fit, or an empty range.
pub fn parse_range<'a>(text: &'a str) -> Result<Range<u64>, NumberError<'a>> {
    let dots = |(start, rest): (&'a str, &'a str)| Some((start, rest.strip_prefix('.')?));
    let ends = text.split_once('.').and_then(dots).or_else(|| text.split_once('-'));
    let range = if let Some((start, end)) = ends {
        parse_number(start)?..parse_number(end)?
    } else {
        let (start, length) = match text.split_once('+') {
            Some((start, length)) => (parse_number(start)?, parse_number(length)?),
            None => (parse_number(text)?, 1),
        };
        start..start.checked_add(length).ok_or(NumberError::TooLarge(text))?
    };
    if range.is_empty() {
        Err(NumberError::EmptyRange(text))
    } else {
        Ok(range)
    }
}

/// Text without its last character, which must be ASCII.
fn strip_last(text: &str) -> &str {
    text.get(..text.len() - 1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn numbers_in_both_bases_with_groups_and_suffixes() {
        for (text, value) in [
            ("0", 0),
            ("4096", 4096),
            ("0x1000", 4096),
            ("0X4000_0000", 0x4000_0000),
            ("4K", 4096),
            ("2m", 2 << 20),
            ("1G", 1 << 30),
            ("0x10T", 16 << 40),
            ("0xffffffffffffffff", u64::MAX),
        ] {
            assert_eq!(parse_number(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_text() {
        for text in ["", "0x", "K", "12z", "0xg", "-1", "1KK", "_", "é", "１"] {
            assert_eq!(parse_number(text), Err(NumberError::NotANumber(text)), "{text}");
        }
        for text in ["0x10000000000000000", "18446744073709551616", "16777216T"] {
            assert_eq!(parse_number(text), Err(NumberError::TooLarge(text)), "{text}");
        }
    }

    #[test]
    fn ranges_by_end_by_length_and_by_address() {
        assert_eq!(parse_range("0x1000..0x3000"), Ok(0x1000..0x3000));
        assert_eq!(parse_range("0x1000-0x3000"), Ok(0x1000..0x3000));
        assert_eq!(
            parse_range("0x3000-0x1000"),
            Err(NumberError::EmptyRange("0x3000-0x1000"))
        );
        assert_eq!(parse_range("1G+2M"), Ok(0x4000_0000..0x4020_0000));
        assert_eq!(parse_range("4K"), Ok(4096..4097));
        for text in ["5..5", "5..4", "5+0"] {
            assert_eq!(parse_range(text), Err(NumberError::EmptyRange(text)));
        }
        assert_eq!(
            parse_range("0xffffffffffffffff+1"),
            Err(NumberError::TooLarge("0xffffffffffffffff+1"))
        );
        assert_eq!(parse_range("1.."), Err(NumberError::NotANumber("")));
    }

    #[test]
    fn messages_name_the_text() {
        assert_eq!(
            NumberError::NotANumber("12z").to_string(),
            "'12z' is not a number (0x.., 123, 2M)"
        );
        assert_eq!(NumberError::NotANumber("").to_string(), "a number is missing");
    }

    proptest! {
        #[test]
        fn printed_numbers_read_back(value: u64) {
            for text in [value.to_string(), std::format!("{value:#x}")] {
                prop_assert_eq!(parse_number(&text), Ok(value));
            }
        }

        #[test]
        fn no_text_is_fatal(text: std::string::String) {
            let _ = parse_number(&text);
            let _ = parse_range(&text);
        }
    }
}
