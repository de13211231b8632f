//! `audit`: whether the tables are what they must be.

use alloc::boxed::Box;

use super::{Entry, Task, ptdump};
use crate::{
    audit::{Audit, Scope},
    error::CommandError,
    system::System,
    tables::Table,
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "audit",
    usage: "audit [TABLE]",
    help: "checks every leaf of the host's table and the shadows against what they are made from, L1's tables for what \
           cannot be meant, and table pages against their counts",
    example: "audit shadow/1",
    words,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let scope = match arguments {
        [] => Scope::All,
        [name] => match Table::find(name, system)? {
            Table::Host => Scope::Host,
            Table::Shadow(context) => Scope::Shadow(context),
            Table::Guest(context) => Scope::Guest(context),
            _ => return Err(CommandError::NotAudited),
        },
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    };
    Ok(Task::Audit(Box::new(Audit::new(scope))))
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    ptdump::table_names(system, found);
}
