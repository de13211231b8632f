//! A bounded piece of text in memory.

use core::fmt::{self, Write};

/// Up to `N` bytes of text. A write that does not fit fails and leaves the text as it was.
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    /// No text.
    pub const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        N - self.len
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        start(&self.bytes, self.len)
    }

    /// Forgets the text.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        append(&mut self.bytes, &mut self.len, text)
    }
}

/// The first `len` bytes. For texts of any size, so that there is one of it.
#[inline(never)]
fn start(bytes: &[u8], len: usize) -> &str {
    // Cannot fail: only whole strings are ever stored.
    core::str::from_utf8(bytes.get(..len).unwrap_or_default()).unwrap_or_default()
}

/// Adds `text` behind the first `len` bytes.
#[inline(never)]
fn append(bytes: &mut [u8], len: &mut usize, text: &str) -> fmt::Result {
    let end = *len + text.len();
    bytes
        .get_mut(*len..end)
        .ok_or(fmt::Error)?
        .copy_from_slice(text.as_bytes());
    *len = end;
    Ok(())
}
