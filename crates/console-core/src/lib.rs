//! The debug console without the machine: bytes in, bytes out.
//!
//! A serial line gives bytes one at a time, from an interrupt, and the answer
//! goes out as bytes. What lies between (editing the line, recalling earlier
//! ones, completing names, taking the line apart, filtering what a command
//! prints) needs neither UART nor memory allocator, so it is here and is tested
//! on the host. Every buffer has a fixed size, nothing a person or a program
//! sends makes the console fail, and the commands themselves are the caller's.
//!
//! | module | part |
//! |---|---|
//! | [`key`] | bytes to keys: control characters, ANSI escape sequences |
//! | [`editor`] | keys to an edited line, with echo |
//! | [`history`] | the lines entered before |
//! | [`complete`] | what Tab adds |
//! | [`command`] | a line to words and filters |
//! | [`mailbox`] | questions to another CPU, without waiting |
//! | [`number`] | numbers and address ranges |
//! | [`output`] | filters and line ends on the way out |
#![no_std]
#![forbid(unsafe_code)]

pub mod command;
pub mod complete;
pub mod editor;
pub mod history;
pub mod key;
pub mod line;
pub mod mailbox;
pub mod number;
pub mod output;

pub use command::{Command, Filter, ParseError};
pub use complete::Completer;
pub use editor::{Editor, Event};
pub use mailbox::{Mailbox, Ticket};
pub use number::{NumberError, parse_number, parse_range};
pub use output::{CrLf, FilterState, Filtered};

/// What the console prints when it is ready for a line.
pub const PROMPT: &str = "gnomon> ";
