//! `panic`: gnomon's own end, to see what is left to be seen after it.

use hyp::panic::Failure;

use super::{Entry, Progress, Task};
use crate::{
    error::CommandError,
    inspect::{Inquiry, Request},
    system::System,
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "panic",
    usage: "panic [stack|abort|undefined|lock|twice] [vcpuN]",
    help: "makes gnomon panic, to try what can be looked at after that; nothing goes on from there",
    example: "panic stack vcpu1",
    words,
    run,
};

/// The ways to fail that have names.
const WAYS: [(&str, Failure); 5] = [
    ("stack", Failure::Stack),
    ("abort", Failure::Abort),
    ("undefined", Failure::Undefined),
    ("lock", Failure::Lock),
    ("twice", Failure::Twice),
];

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    if system.has_panicked {
        return Err(CommandError::HasPanicked);
    }
    let (mut failure, mut cpu) = (None, None);
    for word in arguments {
        if let (None, None, Some((_, way))) = (failure, cpu, WAYS.iter().find(|(name, _)| name == word)) {
            failure = Some(*way);
        } else if let (None, Some(number)) = (cpu, super::parse_vcpu(word, system)) {
            cpu = Some(number);
        } else {
            return Err(CommandError::Usage(ENTRY.usage));
        }
    }
    let request = Request::Fail(failure.unwrap_or(Failure::Panic));
    Ok(Task::Panic(Inquiry::new(cpu.unwrap_or(0), request)))
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    WAYS.iter().for_each(|(name, _)| found(name));
    super::vcpu_names(system, found);
}

/// Waits for the CPU to do it, which never answers.
pub fn step(inquiry: &mut Inquiry, system: &System) -> Result<Progress, CommandError<'static>> {
    inquiry.poll(system.vm, |_| ())?;
    Ok(Progress::More)
}
