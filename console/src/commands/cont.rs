//! `cont`: the end of `stop`.

use super::{Entry, Task};
use crate::{error::CommandError, halt, system::System};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "cont",
    usage: "cont",
    help: "lets the vCPUs go on after 'stop'",
    example: "cont",
    words: super::no_words,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    if !arguments.is_empty() {
        return Err(CommandError::Usage(ENTRY.usage));
    }
    if system.has_panicked {
        return Err(CommandError::HasPanicked);
    }
    if !halt::is_requested() {
        return Err(CommandError::IsRunning);
    }
    halt::release(system.vm);
    Ok(Task::Cont)
}
