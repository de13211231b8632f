//! The commands: one file each, one table of all.
//!
//! A command looks at its arguments and becomes a [`Task`], which prints step by step. A step does a bounded amount of
//! work and prints into an [`Output`], as long as that has room; it holds no lock when it returns.

mod audit;
mod cont;
mod diff;
mod dirty;
mod dma;
mod drop;
mod exits;
mod explain;
mod help;
mod idregs;
mod ipa_range;
mod levels;
mod mem;
mod panic;
mod poweroff;
mod ptdump;
mod regs;
mod reset;
mod set;
mod shadow;
mod snap;
mod stop;
mod timer;
mod tlbi;
mod trace;
mod vgic;
mod vncr;
mod watch;

use alloc::boxed::Box;
use core::fmt::{self, Write};

use console_core::Command;

pub use super::output::Output;
use super::{dump::Dump, error::CommandError, inspect::Inquiry, system::System, text::Text, walks::vcpu::VcpuWalk};

/// A command as the user finds it.
pub struct Entry {
    /// Its name.
    name: &'static str,
    /// Its name and arguments.
    usage: &'static str,
    /// What it shows or does, in one line.
    help: &'static str,
    /// A line to try.
    example: &'static str,
    /// Calls a function with each word that may be an argument.
    words: Words,
    /// Begins it with these arguments.
    run: Run,
}

/// Calls a function with each of some words.
type Words = fn(&System, &mut dyn FnMut(&str));
/// Makes arguments a task.
type Run = for<'a> fn(&System, &[&'a str]) -> Result<Task, CommandError<'a>>;

/// All commands, in the order of `help`.
const COMMANDS: &[Entry] = &[
    help::ENTRY,
    ptdump::ENTRY,
    levels::ENTRY,
    ipa_range::ENTRY,
    explain::ENTRY,
    shadow::ENTRY,
    exits::ENTRY,
    audit::ENTRY,
    snap::ENTRY,
    diff::ENTRY,
    watch::ENTRY,
    tlbi::ENTRY,
    trace::ENTRY,
    regs::ENTRY,
    vncr::ENTRY,
    vgic::ENTRY,
    timer::ENTRY,
    idregs::ENTRY,
    mem::ENTRY,
    dma::ENTRY,
    set::ENTRY,
    stop::ENTRY,
    cont::ENTRY,
    dirty::ENTRY,
    dirty::SPLIT,
    drop::ENTRY,
    reset::ENTRY,
    panic::ENTRY,
    poweroff::ENTRY,
];

/// The filters that may follow `|`.
const FILTERS: [&str; 3] = ["head", "grep", "count"];

/// Whether a task is through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is another step.
    More,
    /// That was the last one.
    Done,
}

/// A command in progress.
pub enum Task {
    /// `help`
    Help(help::Help),
    /// `levels`
    Levels(wire::Levels),
    /// `ipa_range`
    IpaRange(wire::IpaRange),
    /// `ptdump`
    List(ptdump::List),
    /// `ptdump NAME`
    Dump(Dump),
    /// `ptdump shadow`
    DumpShadows(ptdump::DumpShadows),
    /// `explain`
    Explain(explain::Explain),
    /// `explain vcpuN`
    ExplainVirtual(VcpuWalk),
    /// `shadow`
    Shadow(shadow::Rows),
    /// `exits`
    Exits(exits::Rows),
    /// `exits regs`
    RegisterExits(exits::RegisterRows),
    /// `audit`
    Audit(Box<super::audit::Audit>),
    /// `snap`
    Snapshots(snap::List),
    /// `snap NAME TABLE`
    Snap(snap::Snap),
    /// `diff`
    Diff(diff::Diff),
    /// `watch`
    Watch(watch::Watch),
    /// `tlbi`
    Tlbi(tlbi::Rows),
    /// `trace`
    TraceState,
    /// `trace dump`
    Trace(trace::Dump),
    /// `regs`
    Regs(regs::Regs),
    /// `idregs`
    IdRegisters(idregs::Rows),
    /// `mem`
    Mem(mem::Rows),
    /// `dma`
    Dma(dma::Rows),
    /// `timer`
    Timer(timer::Timers),
    /// `vgic`
    Vgic(vgic::Rows),
    /// `vncr`
    Vncr(vncr::Rows),
    /// `dirty start`, `dirty stop`, `split`
    Dirty(dirty::Change),
    /// `dirty report`
    DirtyReport(dirty::Report),
    /// `drop`
    Drop(drop::Drop),
    /// `reset`
    Reset(reset::Reset),
    /// `stop`
    Stop,
    /// `set json`: the session does it, at the end of its answer.
    SetJson(bool),
    /// `panic`
    Panic(Inquiry),
    /// `cont`, which was done at once.
    Cont,
    /// Something that was done at once, and of which there is nothing to say.
    Nothing,
}

impl Task {
    /// Does the next step.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        match self {
            Self::Help(help) => help.step(out),
            Self::Levels(row) => done(out.row(row)),
            Self::IpaRange(row) => done(out.row(row)),
            Self::List(list) => list.step(system, out),
            Self::Dump(dump) => dump.step(system, out),
            Self::DumpShadows(dumps) => dumps.step(system, out),
            Self::Explain(explain) => explain.step(system, out),
            Self::ExplainVirtual(walk) => walk.step(system, out),
            Self::Shadow(rows) => rows.step(system, out),
            Self::Exits(rows) => rows.step(system, out),
            Self::RegisterExits(rows) => rows.step(system, out),
            Self::Audit(audit) => audit.step(system, out),
            Self::Snapshots(list) => list.step(system, out),
            Self::Snap(snap) => snap.step(system, out),
            Self::Diff(diff) => diff.step(system, out),
            Self::Watch(watch) => watch.step(system, out),
            Self::Tlbi(rows) => rows.step(system, out),
            Self::TraceState => done(out.row(&trace::state(system))),
            Self::Trace(dump) => dump.step(out),
            Self::Regs(regs) => regs.step(system, out),
            Self::IdRegisters(rows) => rows.step(system, out),
            Self::Mem(rows) => rows.step(system, out),
            Self::Dma(rows) => rows.step(system, out),
            Self::Timer(timers) => timers.step(system, out),
            Self::Vgic(rows) => rows.step(system, out),
            Self::Vncr(rows) => rows.step(out),
            Self::Dirty(change) => change.step(system, out),
            Self::DirtyReport(report) => report.step(system, out),
            Self::Drop(drop) => drop.step(system, out),
            Self::Reset(reset) => reset.step(system, out),
            Self::Stop => stop::step(system, out),
            Self::Panic(inquiry) => panic::step(inquiry, system),
            Self::SetJson(_) | Self::Nothing => Ok(Progress::Done),
            Self::Cont => done(out.row(&wire::State { running: true })),
        }
    }

    /// Gives up.
    pub fn cancel(self, system: &System) {
        match self {
            Self::Stop => stop::cancel(system),
            Self::Reset(reset) => reset.cancel(system),
            Self::Regs(regs) => regs.cancel(),
            Self::Panic(inquiry) => inquiry.withdraw(),
            _ => {}
        }
    }

    /// What the user should know of the output, beside the output.
    pub fn note(&self) -> Option<&'static str> {
        const CHANGED: &str = "the table changed while it was printed";
        match self {
            Self::Dump(dump) if dump.has_changed() => Some(CHANGED),
            Self::Trace(dump) if dump.has_lost() => Some("events were overwritten while they were printed"),
            _ => None,
        }
    }
}

/// The end of a command that has only one step.
fn done(printed: fmt::Result) -> Result<Progress, CommandError<'static>> {
    printed?;
    Ok(Progress::Done)
}

/// Begins the command on `line`; `None` if it is blank.
pub fn start<'a>(line: &'a str, system: &System) -> Result<Option<Task>, CommandError<'a>> {
    let command = Command::parse(line)?;
    let Some(name) = command.name() else { return Ok(None) };
    let entry = find(name).ok_or(CommandError::UnknownCommand(name))?;
    (entry.run)(system, command.arguments()).map(Some)
}

/// Calls `found` with the words that may follow `before` on a line.
pub fn candidates(before: &str, system: &System, found: &mut dyn FnMut(&str)) {
    let mut words = before.split_whitespace();
    match (before.contains('|'), words.next()) {
        (true, _) => FILTERS.into_iter().for_each(found),
        (false, None) => names(system, found),
        (false, Some(name)) => {
            if let Some(entry) = find(name) {
                (entry.words)(system, found);
            }
        }
    }
}

fn find(name: &str) -> Option<&'static Entry> {
    COMMANDS.iter().find(|entry| entry.name == name)
}

/// The vCPU that `vcpuN` names, if the machine has it.
fn parse_vcpu(word: &str, system: &System) -> Option<usize> {
    let cpu = word.strip_prefix("vcpu")?.parse().ok()?;
    (cpu < system.vm.machine.cpus.len()).then_some(cpu)
}

/// The vCPU that the user means by `vcpuN`, or by the number alone.
fn find_vcpu<'a>(word: &'a str, system: &System) -> Result<usize, CommandError<'a>> {
    word.strip_prefix("vcpu")
        .unwrap_or(word)
        .parse()
        .ok()
        .filter(|cpu| *cpu < system.vm.machine.cpus.len())
        .ok_or(CommandError::UnknownVcpu(word))
}

/// The names of the vCPUs.
fn vcpu_names(system: &System, found: &mut dyn FnMut(&str)) {
    for cpu in 0..system.vm.machine.cpus.len() {
        let mut name = Text::<16>::new();
        if write!(name, "vcpu{cpu}").is_ok() {
            found(name.as_str());
        }
    }
}

/// For commands without arguments.
fn no_words(_: &System, _: &mut dyn FnMut(&str)) {}

/// The commands' names.
fn names(_: &System, found: &mut dyn FnMut(&str)) {
    for entry in COMMANDS {
        found(entry.name);
    }
}
