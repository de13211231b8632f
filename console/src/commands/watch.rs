//! `watch`: what changes in a table, as it changes, until Ctrl-C.

use alloc::{boxed::Box, sync::Arc};

use console_core::parse_range;
use hyp::{
    arch::sysreg::{CNTFRQ_EL0, Readable},
    nested::timer,
};

use super::{Entry, Output, Progress, Task, ptdump};
use crate::{
    error::CommandError,
    snapshots::{Comparison, Look, Taking},
    spaces::Source,
    system::System,
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "watch",
    usage: "watch TABLE [RANGE]",
    help: "what changes in a table from look to look, several a second, until Ctrl-C: '-' what it was, '+' what it is",
    example: "watch shadow/1 | grep W",
    words,
    run,
};

/// Looks a second, at most.
const LOOKS_PER_SECOND: u64 = 5;
/// The guests have as many times as long as a look takes.
const REST_FACTOR: u64 = 4;

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let (table, range) = match arguments {
        [table] => (table, None),
        [table, range] => (table, Some(parse_range(range)?)),
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    };
    let now = timer::now();
    Ok(Task::Watch(Watch {
        taking: Taking::new(Source::find(table, system)?, range),
        last: None,
        comparison: None,
        started: now,
        due: now,
        begun: None,
    }))
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    ptdump::table_names(system, found);
    ptdump::stage1_names(system, found);
}

/// The watch. Times are values of the counter.
pub struct Watch {
    /// The next look, or the one in progress.
    taking: Taking,
    /// The look before.
    last: Option<Arc<Look>>,
    /// Of the last two, while it is printed.
    comparison: Option<Box<Comparison>>,
    /// When the watch began.
    started: u64,
    /// When the next look is due.
    due: u64,
    /// When the look in progress began.
    begun: Option<u64>,
}

impl Watch {
    /// Looks, compares, or lets time pass.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        if let Some(comparison) = &mut self.comparison {
            if comparison.step(out)? == Progress::Done {
                let sum = comparison.sum();
                self.comparison = None;
                self.report(sum, out)?;
            }
        } else if timer::now() >= self.due {
            self.look(system)?;
        }
        Ok(Progress::More)
    }

    fn look(&mut self, system: &System) -> Result<(), CommandError<'static>> {
        let begun = *self.begun.get_or_insert_with(timer::now);
        let Some(look) = self.taking.step(system)? else {
            return Ok(());
        };
        let (look, now) = (Arc::new(look), timer::now());
        let cost = now.saturating_sub(begun);
        self.begun = None;
        self.due = now + (cost * REST_FACTOR).max(CNTFRQ_EL0.get() / LOOKS_PER_SECOND);
        self.taking = Taking::new(self.taking.source().again(), self.taking.range());
        self.comparison = self
            .last
            .replace(Arc::clone(&look))
            .map(|last| Box::new(Comparison::new(last, look)));
        Ok(())
    }

    /// Prints when the changes were seen, if there were any.
    fn report(&self, sum: wire::ChangeSum, out: &mut Output) -> Result<(), CommandError<'static>> {
        if sum.ranges > 0 {
            let ticks = u128::from(timer::now().saturating_sub(self.started));
            let micros = ticks * 1_000_000 / u128::from(CNTFRQ_EL0.get().max(1));
            out.row(&wire::ChangeSum {
                micros: micros as u64,
                ..sum
            })?;
        }
        Ok(())
    }
}
