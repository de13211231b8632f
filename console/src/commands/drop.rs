//! `drop`: throws entries of a shadow away.
//!
//! What was dropped comes back by faults, so a guest does not notice, but for the time. It shows whether something that
//! is wrong was wrong in the shadow or is wrong in L1's tables.

use vmsa::{EntryKind, Ipa};

use super::{Entry, Output, Progress, Task, ptdump};
use crate::{
    error::CommandError,
    system::System,
    tables::{Context, Table},
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "drop",
    usage: "drop shadow/NAME [RANGE]",
    help: "throws entries of a shadow away, all or those of a range of L2 IPAs; they come back by faults",
    example: "drop shadow/1 0x40000000+2M",
    words,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let (name, range) = match arguments {
        [name] => (name, 0..u64::MAX),
        [name, range] => (name, console_core::parse_range(range)?),
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    };
    let Table::Shadow(context) = Table::find(name, system)? else {
        return Err(CommandError::Usage(ENTRY.usage));
    };
    if system.has_panicked {
        return Err(CommandError::HasPanicked);
    }
    Ok(Task::Drop(Drop {
        context,
        next: range.start,
        end: range.end,
        dropped_bytes: 0,
    }))
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    ptdump::table_names(system, &mut |name| {
        if name.starts_with("shadow/") {
            found(name);
        }
    });
}

/// A drop in progress.
pub struct Drop {
    context: Context,
    next: u64,
    end: u64,
    dropped_bytes: u64,
}

impl Drop {
    /// Drops what the next entries map: as many as a part of a dump has, under one hold of the lock.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        const BATCH: usize = 32;
        let mut mapped = None;
        let visited = Table::Shadow(self.context).visit(system, self.next, BATCH, &mut |entry| {
            if entry.kind == EntryKind::Leaf {
                mapped = Some(mapped.map_or(entry.ia, |first: u64| first.min(entry.ia)));
            }
        })?;
        let until = visited.next.unwrap_or(visited.end).min(self.end);
        let from = mapped.unwrap_or(until).max(self.next);
        if from < until {
            let (mmu, slot) = (&system.vm.mmu, self.context.slot);
            self.context.shadow(&*system.slot(slot)?)?;
            self.dropped_bytes += mmu
                .shadows
                .drop_range(slot, Ipa::new(from), until - from, &mut mmu.env());
        }
        self.next = until;
        if visited.next.is_some() && until < self.end {
            return Ok(Progress::More);
        }
        out.row(&wire::Dropped {
            bytes: self.dropped_bytes,
        })?;
        Ok(Progress::Done)
    }
}
