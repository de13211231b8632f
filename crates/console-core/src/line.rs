//! A bounded line of printable ASCII.

/// Longest line, in bytes.
pub const LINE_BYTES: usize = 256;

/// The line was full. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl core::fmt::Display for Full {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a line has at most {LINE_BYTES} characters")
    }
}

impl core::error::Error for Full {}

/// Text of at most [`LINE_BYTES`] printable ASCII characters: what is stored is
/// valid UTF-8 and one column a byte.
#[derive(Clone, Copy)]
pub struct Line {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

impl Line {
    /// An empty line.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; LINE_BYTES],
            len: 0,
        }
    }

    /// Length in bytes, and in columns.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.from(0)
    }

    /// The text from byte `start` on; empty past the end.
    #[must_use]
    pub fn from(&self, start: usize) -> &str {
        self.slice(start, self.len)
    }

    /// The text before byte `end`; all of it past the end.
    #[must_use]
    pub fn before(&self, end: usize) -> &str {
        self.slice(0, end.min(self.len))
    }

    /// Inserts a character at `at`, or at the end if the line is shorter. One
    /// that is not printable ASCII is dropped.
    ///
    /// # Errors
    ///
    /// The line is full.
    pub fn insert(&mut self, at: usize, byte: u8) -> Result<(), Full> {
        if !matches!(byte, 0x20..=0x7e) {
            return Ok(());
        }
        let at = at.min(self.len);
        let tail = self.bytes.get_mut(at..=self.len).ok_or(Full)?;
        tail.rotate_right(1);
        if let Some(first) = tail.first_mut() {
            *first = byte;
        }
        self.len += 1;
        Ok(())
    }

    /// Deletes the bytes from `start` to before `end`, as far as they exist.
    pub fn delete(&mut self, start: usize, end: usize) {
        let end = end.min(self.len);
        if start < end {
            self.bytes.copy_within(end..self.len, start);
            self.len -= end - start;
        }
    }

    /// Replaces the text, cut to what fits.
    pub fn set(&mut self, text: &str) {
        self.len = 0;
        for byte in text.bytes() {
            if self.insert(self.len, byte).is_err() {
                return;
            }
        }
    }

    /// Empties the line.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The bytes of a range as text; empty if there are none.
    fn slice(&self, start: usize, end: usize) -> &str {
        let bytes = self.bytes.get(start..end).unwrap_or_default();
        // Cannot fail: only ASCII is ever stored.
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::String;

    #[test]
    fn full_line_refuses_and_keeps_its_text() {
        let mut line = Line::new();
        for _ in 0..LINE_BYTES {
            line.insert(0, b'a').expect("fits");
        }
        assert_eq!(line.insert(3, b'b'), Err(Full));
        assert_eq!((line.len(), line.as_str().contains('b')), (LINE_BYTES, false));
    }

    #[test]
    fn unprintable_bytes_are_dropped() {
        let mut line = Line::new();
        line.set("a\u{7f}\n\u{e9}b");
        assert_eq!(line.as_str(), "ab");
    }

    proptest! {
        #[test]
        fn edits_agree_with_a_string(edits in prop::collection::vec((any::<bool>(), 0usize..300, 0usize..300), 0..400)) {
            let mut line = Line::new();
            let mut model = String::new();
            for (is_insert, a, b) in edits {
                if is_insert {
                    let at = a.min(model.len());
                    let accepted = line.insert(a, b'x' + (b % 3) as u8).is_ok();
                    prop_assert_eq!(accepted, model.len() < LINE_BYTES);
                    if accepted {
                        model.insert(at, char::from(b'x' + (b % 3) as u8));
                    }
                } else {
                    line.delete(a, b);
                    let end = b.min(model.len());
                    if a < end {
                        model.replace_range(a..end, "");
                    }
                }
                prop_assert_eq!(line.as_str(), model.as_str());
                prop_assert_eq!(line.from(a).len() + line.before(a).len(), model.len());
            }
        }
    }
}
