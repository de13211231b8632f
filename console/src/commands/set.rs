//! `set`: how the console answers.

use super::{Entry, Task};
use crate::{error::CommandError, system::System};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "set",
    usage: "set json on|off",
    help: "answers in JSON Lines, without echo and prompt, for programs; or in text again",
    example: "set json on",
    words,
    run,
};

fn run<'a>(_: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    match arguments {
        ["json", "on"] => Ok(Task::SetJson(true)),
        ["json", "off"] => Ok(Task::SetJson(false)),
        _ => Err(CommandError::Usage(ENTRY.usage)),
    }
}

fn words(_: &System, found: &mut dyn FnMut(&str)) {
    ["json", "on", "off"].into_iter().for_each(found);
}
