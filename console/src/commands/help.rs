//! `help`: what there is.

use super::{COMMANDS, Entry, Output, Progress, Task};
use crate::{error::CommandError, system::System};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "help",
    usage: "help [COMMAND]",
    help: "lists the commands, or explains one",
    example: "help ptdump",
    words: super::names,
    run,
};

fn run<'a>(_: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    match arguments {
        [] => Ok(Task::Help(Help { topic: None })),
        [name] => {
            let entry = super::find(name).ok_or(CommandError::UnknownCommand(name))?;
            Ok(Task::Help(Help { topic: Some(entry) }))
        }
        _ => Err(CommandError::Usage(ENTRY.usage)),
    }
}

/// The list of all commands, or one of them.
pub struct Help {
    topic: Option<&'static Entry>,
}

impl Help {
    /// Prints it. All of the list fits in one step.
    pub fn step(&mut self, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        if let Some(entry) = self.topic {
            out.row(&wire::Manual(record(entry)))?;
        } else {
            for entry in COMMANDS {
                out.row(&record(entry))?;
            }
            out.heading(format_args!(
                "Filters: | head N, | grep TEXT, | count. Tab completes, Ctrl-C ends a command."
            ))?;
        }
        Ok(Progress::Done)
    }
}

fn record(entry: &Entry) -> wire::Command<'_> {
    wire::Command {
        name: entry.name,
        usage: entry.usage,
        help: entry.help,
        example: entry.example,
    }
}
