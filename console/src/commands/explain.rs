//! `explain`: every walk that an address goes through, step by step, and a sentence about how it ends.

use console_core::parse_number;
use shadow::Access;
use vmsa::stage1::AccessKind;

use super::{Entry, Output, Progress, Task, ptdump};
use crate::{
    error::CommandError,
    system::System,
    tables::Table,
    translation::Stage1Name,
    walks::{self, vcpu::VcpuWalk},
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "explain",
    usage: "explain TABLE ADDRESS [r|w|x] [--at]",
    help: "the walks of an address, and how an access ends; TABLE may be vcpuN; --at asks the CPU's AT for a stage 1",
    example: "explain shadow/1 0x40000000 w",
    words,
    run,
};

const AT: &str = "--at";

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let is_at_wanted = arguments.contains(&AT);
    let mut words = arguments.iter().copied().filter(|word| *word != AT);
    let (Some(name), Some(address)) = (words.next(), words.next()) else {
        return Err(CommandError::Usage(ENTRY.usage));
    };
    let kind = words.next().map(parse_access).transpose()?;
    if words.next().is_some() {
        return Err(CommandError::Usage(ENTRY.usage));
    }
    let address = parse_number(address)?;
    let virt = Stage1Name::find(name, system.vm.machine.cpus.len())
        .map(|Stage1Name { cpu, which }| (cpu, Some(which)))
        .or_else(|| super::parse_vcpu(name, system).map(|cpu| (cpu, None)));
    if is_at_wanted && system.has_panicked {
        return Err(CommandError::HasPanicked);
    }
    if let Some((cpu, which)) = virt {
        let walk = VcpuWalk::new(cpu, which, address, kind);
        return Ok(Task::ExplainVirtual(walk.with_at(is_at_wanted)));
    }
    if is_at_wanted {
        return Err(CommandError::Usage(ENTRY.usage));
    }
    Ok(Task::Explain(Explain {
        table: Table::find(name, system)?,
        address,
        access: kind.map(|kind| match kind {
            AccessKind::Read => Access::Read,
            AccessKind::Write => Access::Write,
            AccessKind::Fetch => Access::Execute { el0: false },
        }),
    }))
}

fn parse_access(word: &str) -> Result<AccessKind, CommandError<'static>> {
    match word {
        "r" => Ok(AccessKind::Read),
        "w" => Ok(AccessKind::Write),
        "x" => Ok(AccessKind::Fetch),
        _ => Err(CommandError::Usage(ENTRY.usage)),
    }
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    found(AT);
    ptdump::table_names(system, found);
    ptdump::stage1_names(system, found);
    super::vcpu_names(system, found);
}

/// The explanation of an address that a table translates.
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
            Table::Dma => return Err(CommandError::NotExplained),
            Table::Shadow(context) | Table::Guest(context) => {
                walks::of_nested(context, address, access, system, out)?;
            }
        }
        Ok(Progress::Done)
    }
}
