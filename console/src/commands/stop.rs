//! `stop`: all vCPUs frozen, for an exact picture.

use super::{Entry, Output, Progress, Task};
use crate::{error::CommandError, halt, system::System};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "stop",
    usage: "stop",
    help: "stops all vCPUs, so that what is shown is exact, until 'cont'",
    example: "stop",
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
    if halt::is_requested() {
        return Err(CommandError::IsStopped);
    }
    halt::request();
    Ok(Task::Stop)
}

/// Calls the CPUs together until all are there.
pub fn step(system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
    if !halt::is_complete(system.vm) {
        return Ok(Progress::More);
    }
    out.row(&wire::State { running: false })?;
    Ok(Progress::Done)
}

/// Lets those go again that are there.
pub fn cancel(system: &System) {
    halt::release(system.vm);
}
