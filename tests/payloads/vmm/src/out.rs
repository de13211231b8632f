//! Printing whole lines.

use core::fmt::{self, Write};

use crate::sys;

/// The longest line; what is longer is cut.
const LINE_BYTES: usize = 256;

/// A line under construction: it goes out by one system call, so that the lines of several processes do not mix.
pub(crate) struct Line {
    bytes: [u8; LINE_BYTES],
    used: usize,
}

impl Line {
    /// Prints `vmm: `, the text and a newline on standard output.
    pub(crate) fn print(text: fmt::Arguments) {
        let mut line = Self {
            bytes: [0; LINE_BYTES],
            used: 0,
        };
        // What does not fit is left out.
        let _ = write!(line, "vmm: {text}");
        if let Some(end) = line.bytes.get_mut(line.used) {
            *end = b'\n';
        }
        sys::write_all(sys::STDOUT, line.bytes.get(..=line.used).unwrap_or_default());
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // One byte stays for the newline.
        for &byte in text.as_bytes() {
            if self.used + 1 < LINE_BYTES {
                self.bytes[self.used] = byte;
                self.used += 1;
            }
        }
        Ok(())
    }
}

/// Prints a line.
macro_rules! say {
    ($($text:tt)*) => { $crate::out::Line::print(format_args!($($text)*)) };
}
pub(crate) use say;
