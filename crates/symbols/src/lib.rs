//! Which function an address is in: names in few bytes, for a hypervisor that says where it was when it failed.
//!
//! A table is bytes, made on the host from the linker's symbols and put into the image afterwards. What is in it is not
//! trusted: any bytes give some answer, and none lets the reader loop or fail. It is
//!
//! - the number of tokens, at most 128, and two bytes for each. A byte below 0x80 is a character, another one the token of
//!   that number less 0x80, which is made of two bytes of the same kind, of characters and earlier tokens;
//! - the number of functions, 16 bits with the low byte first;
//! - for each, in the order of their addresses, the distance from the one before (at first from the beginning of the
//!   text) in words of 4 bytes, 7 bits at a time with the low ones first and 0x80 where there is more; and its name, as
//!   bytes of that kind with a zero at the end.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt::{self, Write};

/// The first byte that is a token.
const TOKEN: u8 = 0x80;
/// Characters and tokens of a name; the rest of a longer one is not shown.
const STEPS_MAX: u32 = 512;
/// Bytes of an instruction, the unit of distances.
const WORD_BYTES: u64 = 4;

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    tokens: &'a [u8],
    functions: Reader<'a>,
    count: u16,
}

/// A function.
#[derive(Clone, Copy, Debug)]
pub struct Function<'a> {
    /// Where it begins, from the beginning of the text.
    pub start: u64,
    tokens: &'a [u8],
    name: &'a [u8],
}

impl<'a> Table<'a> {
    /// The table at the beginning of `bytes`. Zeros are an empty one.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Reader(bytes);
        let tokens = usize::from(reader.byte().min(TOKEN)) * 2;
        let tokens = reader.take(tokens);
        let count = u16::from_le_bytes([reader.byte(), reader.byte()]);
        Self {
            tokens,
            functions: reader,
            count,
        }
    }

    /// All functions.
    pub fn functions(&self) -> impl Iterator<Item = Function<'a>> + use<'a> {
        let Self {
            tokens,
            functions: mut reader,
            count,
        } = *self;
        let mut start = 0_u64;
        (0..count).map(move |_| {
            start = start.saturating_add(reader.distance().saturating_mul(WORD_BYTES));
            let name = reader.until_zero();
            Function { start, tokens, name }
        })
    }

    /// The last function that begins at `offset` or before.
    #[must_use]
    pub fn find(&self, offset: u64) -> Option<Function<'a>> {
        self.functions().take_while(|function| function.start <= offset).last()
    }
}

impl fmt::Display for Function<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = STEPS_MAX;
        self.name
            .iter()
            .try_for_each(|byte| expand(self.tokens, *byte, &mut left, f))
    }
}

/// Writes what a byte stands for, in at most as many steps as are `left`. A token is made of what has lower numbers.
fn expand(tokens: &[u8], byte: u8, left: &mut u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if *left == 0 {
        return Ok(());
    }
    *left -= 1;
    let Some(token) = byte.checked_sub(TOKEN) else {
        return f.write_char(char::from(byte));
    };
    let parts = tokens.chunks_exact(2).nth(usize::from(token)).unwrap_or_default();
    parts
        .iter()
        .filter(|part| **part < byte)
        .try_for_each(|part| expand(tokens, *part, left, f))
}

/// Bytes that are read from the front; zeros behind their end.
#[derive(Clone, Copy, Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn distance(&mut self) -> u64 {
        let mut distance = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte();
            distance |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        distance
    }

    fn until_zero(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let taken = self.take(end);
        self.take(1);
        taken
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::{string::ToString, vec::Vec};

    /// `ab` is token 0, `abab` token 1; `xab` at 8, `abab::` at 8 + 4 * 200.
    const BYTES: &[u8] = &[
        2, b'a', b'b', 0x80, 0x80, 2, 0, 2, b'x', 0x80, 0, 0xc8, 0x01, 0x81, b':', b':', 0, 9, 9,
    ];

    #[test]
    fn an_address_is_in_the_last_function_that_begins_before() {
        let table = Table::new(BYTES);
        let name = |offset| table.find(offset).map(|function| function.to_string());
        assert_eq!(name(7), None);
        assert_eq!(name(8).as_deref(), Some("xab"));
        assert_eq!(name(807).as_deref(), Some("xab"));
        assert_eq!(name(808).as_deref(), Some("abab::"));
        assert_eq!(name(u64::MAX).as_deref(), Some("abab::"));
        let starts: Vec<u64> = table.functions().map(|function| function.start).collect();
        assert_eq!(starts, [8, 808]);
    }

    #[test]
    fn zeros_and_nothing_are_no_function() {
        assert!(Table::new(&[0; 64]).find(u64::MAX).is_none());
        assert!(Table::new(&[]).find(u64::MAX).is_none());
    }

    #[test]
    fn a_token_of_itself_ends() {
        // Token 0 is made of itself and `a`, token 1 of a token that there is not.
        let table = Table::new(&[2, 0x80, b'a', 0xff, b'b', 1, 0, 0, 0x80, 0x81, 0]);
        assert_eq!(table.find(0).unwrap().to_string(), "ab");
    }

    proptest! {
        #[test]
        fn any_bytes_give_some_answer(bytes in prop::collection::vec(any::<u8>(), 0..400), offset: u64) {
            let table = Table::new(&bytes);
            if let Some(function) = table.find(offset) {
                prop_assert!(function.start <= offset);
                prop_assert!(function.to_string().chars().count() <= STEPS_MAX as usize);
            }
        }
    }
}
