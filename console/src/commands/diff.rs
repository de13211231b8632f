//! `diff`: what differs between a snapshot and another, or the same table now.

use alloc::{boxed::Box, sync::Arc};

use super::{Entry, Output, Progress, Task, snap};
use crate::{
    error::CommandError,
    snapshots::{Comparison, Look, Snapshots, Taking},
    system::System,
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "diff",
    usage: "diff SNAPSHOT [SNAPSHOT]",
    help: "what differs from one snapshot to another, or to the same table now: '-' what it was, '+' what it is",
    example: "diff before",
    words: snap::names,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let snapshots = Snapshots::lock(system)?;
    Ok(Task::Diff(match arguments {
        [before] => {
            let snapshot = snapshots.find(before)?;
            Diff::Taking(snapshot.look(), Box::new(snapshot.look_again()))
        }
        [before, after] => {
            let [before, after] = [snapshots.find(before)?.look(), snapshots.find(after)?.look()];
            Diff::Comparing(Box::new(Comparison::new(before, after)))
        }
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    }))
}

/// A comparison, from taking its second half on.
pub enum Diff {
    /// What was, and what is, still being taken.
    Taking(Arc<Look>, Box<Taking>),
    /// Both are there.
    Comparing(Box<Comparison>),
}

impl Diff {
    /// Reads on, or prints the next changes.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        match self {
            Self::Taking(before, taking) => {
                if let Some(after) = taking.step(system)? {
                    *self = Self::Comparing(Box::new(Comparison::new(Arc::clone(before), Arc::new(after))));
                }
            }
            Self::Comparing(comparison) => {
                if comparison.step(out)? == Progress::Done {
                    out.row(&comparison.sum())?;
                    return Ok(Progress::Done);
                }
            }
        }
        Ok(Progress::More)
    }
}
