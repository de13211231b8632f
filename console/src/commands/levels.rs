//! `levels`: what Linux's debugfs file `stage2_levels` says.

use super::{Entry, Task, ptdump};
use crate::{error::CommandError, system::System, tables::Table};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "levels",
    usage: "levels TABLE",
    help: "levels of a table's walk",
    example: "levels host",
    words: ptdump::table_names,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let [name] = arguments else {
        return Err(CommandError::Usage(ENTRY.usage));
    };
    let levels = Table::find(name, system)?.levels(system)?;
    Ok(Task::Levels(wire::Levels { levels }))
}
