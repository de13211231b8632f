//! `panic`: gnomon's own end, to see what is left to be seen after it.

use super::{Entry, Task};
use crate::{error::CommandError, system::System};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "panic",
    usage: "panic",
    help: "makes gnomon panic, to try what can be looked at after that; nothing goes on from there",
    example: "panic",
    words: super::no_words,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    match arguments {
        [] if system.has_panicked => Err(CommandError::HasPanicked),
        [] => panic!("asked for at the console"),
        _ => Err(CommandError::Usage(ENTRY.usage)),
    }
}
