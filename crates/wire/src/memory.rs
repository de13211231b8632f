//! Rows of memory.

use core::fmt;

use serde::Serialize;

use crate::Hex;

/// Words in a row.
pub const WORDS: usize = 2;

/// Two words of memory, or one at the end.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory<'a> {
    /// Where the first one is, as the user counts.
    pub address: Hex,
    /// The words, in the order of their addresses.
    pub words: &'a [Hex],
    /// Their bytes as text, a dot for each that is no letter, digit or sign of ASCII.
    pub text: &'a str,
}

record!(Memory<'_>, "memory");

impl fmt::Display for Memory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.address.0)?;
        for index in 0..WORDS {
            match self.words.get(index) {
                Some(word) => write!(f, " {:016x}", word.0)?,
                None => write!(f, " {:16}", "")?,
            }
        }
        write!(f, " |{}|", self.text)
    }
}

/// The bytes of words as text: of `8 * words.len()` bytes, as far as there is room in `buffer`.
#[must_use]
pub fn as_text<'b>(words: &[Hex], buffer: &'b mut [u8]) -> &'b str {
    let mut len = 0;
    for byte in words.iter().flat_map(|word| word.0.to_le_bytes()) {
        if let Some(slot) = buffer.get_mut(len) {
            *slot = if byte.is_ascii_graphic() || byte == b' ' {
                byte
            } else {
                b'.'
            };
            len += 1;
        }
    }
    let text = buffer.get(..len).unwrap_or_default();
    core::str::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn bytes_stand_in_the_order_of_their_addresses() {
        let words = [Hex(u64::from_le_bytes(*b"ARM\x64 ok\n")), Hex(0)];
        let mut buffer = [0; 16];
        let row = Memory {
            address: Hex(0x4000_0000),
            words: &words,
            text: as_text(&words, &mut buffer),
        };
        assert_eq!(
            row.to_string(),
            "0x0000000040000000 0a6b6f20644d5241 0000000000000000 |ARMd ok.........|"
        );
    }

    #[test]
    fn text_of_one_word_is_short_and_a_small_buffer_cuts_it() {
        let mut buffer = [0; 16];
        assert_eq!(as_text(&[Hex(0x41)], &mut buffer), "A.......");
        assert_eq!(as_text(&[Hex(0x41)], &mut [0; 3]), "A..");
    }
}
