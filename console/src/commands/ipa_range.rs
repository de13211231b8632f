//! `ipa_range`: what Linux's debugfs file of that name says.

use super::{Entry, Task, ptdump};
use crate::{error::CommandError, system::System, tables::Table};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "ipa_range",
    usage: "ipa_range TABLE",
    help: "bits of a stage 2's input addresses",
    example: "ipa_range shadow/1",
    words: ptdump::table_names,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let [name] = arguments else {
        return Err(CommandError::Usage(ENTRY.usage));
    };
    let bits = Table::find(name, system)?.ipa_bits(system)?;
    Ok(Task::IpaRange(wire::IpaRange { bits }))
}
