//! What the console says to programs, and how the same is said to people.
//!
//! Each line of an answer is a *record*: a plain struct that has a kind, serialises to one JSON object, and prints as
//! text. A command makes records and does not know which of the two its reader wants. In JSON an answer is one object a
//! line, each with the version of the format, the number of the command and the kind:
//!
//! ```text
//! {"v":1,"id":3,"k":"count","count":7}
//! {"v":1,"id":3,"k":"end"}
//! ```
//!
//! `end` is the last record of every answer; `error` says why there is no other. Addresses and register values are
//! strings like `"0x40000000"`, because a JSON number does not hold 64 bits everywhere. A reader skips kinds and fields
//! that it does not know; a change that would mislead it changes [`VERSION`].
//!
//! Nothing here allocates: the firmware writes records into a buffer. On the host the lines are JSON like any other.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

/// Makes a struct that serialises a [`Record`] of a kind.
///
/// No blanket implementation: its code would be generated in the crate that uses it. This one is compiled for size.
macro_rules! record {
    ($record:ty, $kind:literal) => {
        impl $crate::Record for $record {
            fn kind(&self) -> &'static str {
                $kind
            }

            fn write_fields(&self, buffer: &mut [u8]) -> Result<usize, $crate::NoRoom> {
                serde_json_core::to_slice(self, buffer).map_err(|_| $crate::NoRoom)
            }
        }
    };
}

mod answer;
mod audit;
mod change;
mod dirty;
mod dma;
mod explain;
mod hex;
mod interrupts;
mod listing;
mod map;
mod memory;
mod regs;
mod tlbi;
mod trap;

use core::fmt;

pub use answer::{Count, Dropped, End, Error, Hello, Note, Reset, State, Text};
pub use audit::{Audit, Finding};
pub use change::{Change, ChangeSum, Snapshot};
pub use dirty::{Dirty, DirtySum};
pub use dma::{Dma, Refusal};
pub use explain::{At, Stage, Step, Walk};
pub use hex::Hex;
pub use interrupts::{Counter, Interface, Interrupt, ListRegister, Timer};
pub use listing::{Command, Exit, ExitSum, IpaRange, Levels, Manual, RegisterExit, Shadow, ShadowSum, Table};
pub use map::{Descriptor, Map};
pub use memory::{Memory, WORDS, as_text};
pub use regs::{Field, IdAnswer, IdField, IdRegister, Register, VCpu, VncrPage, VncrSlot};
pub use tlbi::Tlbi;
pub use trap::{TraceState, Trap};

/// The version of the format, the field `v` of every record.
pub const VERSION: u32 = 1;

/// No line of JSON is longer, its line end included.
pub const LINE_BYTES: usize = 1024;

/// One line of an answer. Its `Display` is what a person reads, without a line end at its end.
pub trait Record: fmt::Display {
    /// The field `k`.
    fn kind(&self) -> &'static str;

    /// Writes the other fields as a JSON object to the beginning of `buffer`; says how long it is.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if `buffer` is too small.
    fn write_fields(&self, buffer: &mut [u8]) -> Result<usize, NoRoom>;
}

/// A record does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the record is too long")
    }
}

impl core::error::Error for NoRoom {}

impl From<NoRoom> for fmt::Error {
    fn from(_: NoRoom) -> Self {
        Self
    }
}

/// Writes `record` as a line of JSON, with its line end, as part of the answer to command `id`.
///
/// # Errors
///
/// [`NoRoom`] if `buffer` is too small; what is in it then is of no use.
pub fn write_line<'b>(buffer: &'b mut [u8], id: u64, record: &dyn Record) -> Result<&'b str, NoRoom> {
    let mut line = Line { buffer, len: 0 };
    fmt::write(
        &mut line,
        format_args!(r#"{{"v":{VERSION},"id":{id},"k":"{}""#, record.kind()),
    )
    .map_err(|_| NoRoom)?;
    line.push_fields(record)?;
    line.push(b"\n")?;
    let Line { buffer, len } = line;
    core::str::from_utf8(buffer.get(..len).ok_or(NoRoom)?).map_err(|_| NoRoom)
}

/// A line in the making.
struct Line<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl Line<'_> {
    fn push(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.len + bytes.len();
        self.buffer.get_mut(self.len..end).ok_or(NoRoom)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// Adds the fields of `record`, an object of its own, to the object that has been begun, and ends that.
    fn push_fields(&mut self, record: &dyn Record) -> Result<(), NoRoom> {
        let rest = self.buffer.get_mut(self.len..).ok_or(NoRoom)?;
        let written = record.write_fields(rest)?;
        // `{}` or `{"first":..}`: the brace that opens it becomes what separates.
        match rest.get_mut(..written) {
            Some([open, _, _, ..]) => {
                *open = b',';
                self.len += written;
                Ok(())
            }
            _ => self.push(b"}"),
        }
    }
}

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        Ok(self.push(text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn line(record: &dyn Record) -> std::string::String {
        let mut buffer = [0; LINE_BYTES];
        write_line(&mut buffer, 3, record).unwrap().to_string()
    }

    #[test]
    fn a_record_is_one_object_a_line() {
        assert_eq!(
            line(&Count { count: 7 }),
            "{\"v\":1,\"id\":3,\"k\":\"count\",\"count\":7}\n"
        );
        assert_eq!(line(&End {}), "{\"v\":1,\"id\":3,\"k\":\"end\"}\n");
    }

    #[test]
    fn text_is_escaped() {
        let text = "a \"quoted\" \\ word\tand é";
        let value: serde_json::Value = serde_json::from_str(&line(&Error { text })).unwrap();
        assert_eq!(value["text"], text);
        assert_eq!(value["k"], "error");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let text = "x".repeat(200);
        for size in [0, 1, 10, 30, 40, 100, 200] {
            assert_eq!(
                write_line(&mut std::vec![0; size], 3, &Text { text: &text }),
                Err(NoRoom)
            );
        }
        let size = line(&Text { text: &text }).len();
        assert!(write_line(&mut std::vec![0; size], 3, &Text { text: &text }).is_ok());
        assert_eq!(
            write_line(&mut std::vec![0; size - 1], 3, &Text { text: &text }),
            Err(NoRoom)
        );
    }
}
