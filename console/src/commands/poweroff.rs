//! `poweroff`: the end of the machine.

use hyp::psci;

use super::{Entry, Task};
use crate::{error::CommandError, system::System};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "poweroff",
    usage: "poweroff",
    help: "switches the machine off at once, without a word to L1",
    example: "poweroff",
    words: super::no_words,
    run,
};

fn run<'a>(_: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    if arguments.is_empty() {
        psci::power_off()
    } else {
        Err(CommandError::Usage(ENTRY.usage))
    }
}
