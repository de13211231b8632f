//! `explain`: every walk that an address goes through, step by step, and a sentence about how it ends.

use console_core::parse_number;
use shadow::Access;

use super::{Entry, Output, Progress, Task, ptdump};
use crate::console::{error::CommandError, system::System, tables::Table, walks};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "explain",
    usage: "explain TABLE ADDRESS [r|w|x]",
    help: "walks the tables that an address goes through, and says how an access ends and who receives its fault",
    example: "explain shadow/1 0x40000000 w",
    words,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let (name, address, access) = match arguments {
        [name, address] => (name, address, None),
        [name, address, access] => (name, address, Some(parse_access(access)?)),
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    };
    Ok(Task::Explain(Explain {
        table: Table::find(name, system)?,
        address: parse_number(address)?,
        access,
    }))
}

fn parse_access(word: &str) -> Result<Access, CommandError<'static>> {
    match word {
        "r" => Ok(Access::Read),
        "w" => Ok(Access::Write),
        "x" => Ok(Access::Execute { el0: false }),
        _ => Err(CommandError::Usage(ENTRY.usage)),
    }
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    ptdump::table_names(system, found);
}

/// The explanation of one address.
pub struct Explain {
    table: Table,
    address: u64,
    access: Option<Access>,
}

impl Explain {
    /// Prints it, in one step.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        let Self { address, access, .. } = *self;
        match self.table {
            Table::Host => walks::of_host(address, access, system, out)?,
            Table::El2 => walks::of_own(address, system, out)?,
            Table::Shadow(context) | Table::Guest(context) => {
                walks::of_nested(context, address, access, system, out)?;
            }
        }
        Ok(Progress::Done)
    }
}
