//! Printing whole lines.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicI32, Ordering};

use crate::sys;

/// The longest line; what is longer is cut.
const LINE_BYTES: usize = 256;

/// Where lines go.
static OUTPUT: AtomicI32 = AtomicI32::new(sys::STDOUT);

/// On a machine without a terminal lines go to the kernel's log.
pub(crate) fn to_kernel_log() {
    if let Ok(log) = sys::open(c"/dev/kmsg", sys::READ_WRITE) {
        OUTPUT.store(log.number(), Ordering::Relaxed);
        core::mem::forget(log);
        repeat_log();
    }
}

/// What the kernel says of its CPUs and its KVM begins so.
const REPEATED: [&str; 2] = ["smp: Brought up", "kvm ["];

/// Prints what the kernel has said of those: it did so before it had anything to print it with.
fn repeat_log() {
    let Ok(log) = sys::open(c"/dev/kmsg", sys::READ_ONLY | sys::NON_BLOCKING) else {
        return;
    };
    let mut record = [0; 1024];
    // A record each, until there is none.
    while let Ok(count) = log.read(&mut record) {
        let text = str::from_utf8(&record[..count]).unwrap_or("");
        let text = text.split_once(';').map_or("", |(_, text)| text);
        if let Some(line) = text.lines().next()
            && REPEATED.iter().any(|words| line.starts_with(words))
        {
            Line::print(format_args!("{line}"));
        }
    }
}

/// Prints as it is.
pub(crate) fn print_bytes(bytes: &[u8]) {
    sys::write_all(OUTPUT.load(Ordering::Relaxed), bytes);
}

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
        print_bytes(line.bytes.get(..=line.used).unwrap_or_default());
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
