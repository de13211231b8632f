//! `reset`: L1 from the beginning.
//!
//! L1 has the machine's devices, and only a reset of the machine resets them, so the machine is restarted, and gnomon
//! with it: that takes a few million instructions. Before that the shadows are torn down, once and by the pool that owns
//! them, and what was their memory is counted: if not every frame is back, gnomon has lost one, and says so.

use hyp::{mm::frames, psci};

use super::{Entry, Output, Progress, Task};
use crate::{error::CommandError, halt, system::System};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "reset",
    usage: "reset",
    help: "restarts L1: stops the vCPUs, ends all shadows, counts their memory, and resets the machine",
    example: "reset",
    words: super::no_words,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    if !arguments.is_empty() {
        return Err(CommandError::Usage(ENTRY.usage));
    }
    if system.has_panicked {
        // Nothing can be torn down any more, but the machine can start again.
        psci::restart();
    }
    let was_stopped = halt::is_requested();
    halt::request();
    Ok(Task::Reset(Reset {
        was_stopped,
        is_torn_down: false,
    }))
}

/// A reset in progress.
pub struct Reset {
    was_stopped: bool,
    is_torn_down: bool,
}

impl Reset {
    /// Calls the CPUs together, tears down, restarts: a step each, so that what is said is sent before the last.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        if self.is_torn_down {
            psci::restart();
        }
        if halt::is_complete(system.vm) {
            self.is_torn_down = true;
            tear_down(system, out)?;
        }
        Ok(Progress::More)
    }

    /// Lets the vCPUs go again, as long as they can.
    pub fn cancel(self, system: &System) {
        if self.is_torn_down {
            psci::restart();
        }
        if !self.was_stopped {
            halt::release(system.vm);
        }
    }
}

/// Ends all shadows. No CPU runs a guest, nor will before the machine is reset.
fn tear_down(system: &System, out: &mut Output) -> Result<(), CommandError<'static>> {
    let mut mmu = system.mmu()?;
    let count = mmu.shadows.iter().count();
    mmu.with_shadows(|shadows, env| shadows.clear(env));
    drop(mmu);
    let (free, _) = frames::usage();
    // Frames are far fewer than either type can count.
    let lost = frames::baseline() as i64 - free as i64;
    out.row(&wire::Reset {
        shadows: count,
        frames_free: free,
        frames_lost: lost,
    })?;
    Ok(())
}
