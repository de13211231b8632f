//! `regs`: the registers of a vCPU, whoever runs on it and wherever they are kept.
//!
//! The CPU is asked for a snapshot, which takes a step or two; all lines of one answer are of one moment.

use core::fmt;

use console_core::parse_number;
use hyp::vcpu::Context;
use syndrome::{
    register::{self, Register},
    regs::pstate,
};
use wire::Hex;

use super::{Entry, Output, Progress, Task};
use crate::{
    error::CommandError,
    inspect::{Inquiry, Request, Snapshot},
    registers::{self, Valued},
    round::Round,
    system::System,
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "regs",
    usage: "regs [VCPU [-a] [REGISTER[=VALUE]]] | REGISTER=VALUE",
    help: "what each vCPU is doing; all registers of one; or one by its fields, -a with those that are 0; '=' writes",
    example: "regs 0 hcr_el2",
    words,
    run,
};

/// Prints the fields that are zero as well.
const ALL_FIELDS: &str = "-a";
/// No line of a register is longer.
const LINE_BYTES_MAX: usize = 192;

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let is_all = arguments.contains(&ALL_FIELDS);
    let mut words = arguments.iter().copied().filter(|word| *word != ALL_FIELDS);
    let regs = match (words.next(), words.next(), words.next()) {
        (None, ..) if !is_all => Regs::Overview(Round::new(None, system)),
        (Some(word), None, _) if word.contains('=') => Regs::Fields(Fields::of_value(word, is_all)?),
        (Some(vcpu), None, _) if !is_all => Regs::All(All::new(super::find_vcpu(vcpu, system)?)),
        (Some(vcpu), Some(word), None) => one(system, super::find_vcpu(vcpu, system)?, word, is_all)?,
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    };
    Ok(Task::Regs(regs))
}

/// One register of `vcpu`, to be read or written.
fn one<'a>(system: &System, vcpu: usize, word: &'a str, is_all: bool) -> Result<Regs, CommandError<'a>> {
    let Some((name, value)) = word.split_once('=') else {
        let register = find(word)?;
        return Ok(Regs::One(One::new(vcpu, register, is_all)));
    };
    if system.has_panicked {
        return Err(CommandError::HasPanicked);
    }
    let register = find(name)?;
    let value = parse_number(value)?;
    Ok(Regs::Write {
        inquiry: Inquiry::new(vcpu, Request::Assign { register, value }),
        then: One::new(vcpu, register, is_all),
    })
}

fn find(name: &str) -> Result<Register, CommandError<'_>> {
    Register::parse(name).ok_or(CommandError::UnknownRegister(name))
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    found(ALL_FIELDS);
    super::vcpu_names(system, found);
    registers::names(found);
}

/// The command in progress.
pub enum Regs {
    /// A line for each vCPU.
    Overview(Round),
    /// All registers of one.
    All(All),
    /// One register.
    One(One),
    /// One register, to be written first.
    Write {
        /// The order.
        inquiry: Inquiry,
        /// What is printed afterwards.
        then: One,
    },
    /// The fields of a value.
    Fields(Fields),
}

impl Regs {
    /// Does the next step.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        match self {
            Self::Overview(round) => round.step(system, out, print_state),
            Self::All(all) => all.step(system, out),
            Self::One(one) => {
                if let Some(fields) = one.step(system)? {
                    *self = Self::Fields(fields);
                }
                Ok(Progress::More)
            }
            Self::Write { inquiry, then } => {
                if let Some(result) = inquiry.poll_assigned(system.vm)? {
                    result.map_err(CommandError::Assign)?;
                    *self = Self::One(*then);
                }
                Ok(Progress::More)
            }
            Self::Fields(fields) => fields.step(out),
        }
    }

    /// Gives up: what has not been written will not be.
    pub fn cancel(self) {
        if let Self::Write { inquiry, .. } = self {
            inquiry.withdraw();
        }
    }
}

/// All registers of one vCPU.
pub struct All {
    inquiry: Inquiry,
    /// The register to go on with.
    next: usize,
}

impl All {
    fn new(vcpu: usize) -> Self {
        Self {
            inquiry: Inquiry::new(vcpu, Request::Snapshot),
            next: 0,
        }
    }

    fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        let from = self.next;
        let printed = self
            .inquiry
            .poll_snapshot(system.vm, |snapshot| print_from(from, snapshot, out))?;
        match printed.transpose()? {
            None => Ok(Progress::More),
            Some(None) => Ok(Progress::Done),
            Some(Some(next)) => {
                self.next = next;
                Ok(Progress::More)
            }
        }
    }
}

/// Prints the registers from the one with index `from` on. Says where to go on.
fn print_from(from: usize, snapshot: &Snapshot, out: &mut Output) -> Result<Option<usize>, fmt::Error> {
    if from == 0 {
        print_state(snapshot, out)?;
    }
    for (index, (owner, register)) in register::all().enumerate().skip(from) {
        if out.room() < LINE_BYTES_MAX {
            return Ok(Some(index));
        }
        if let Some(value) = snapshot.get(register) {
            let vcpu = Some(snapshot.cpu);
            Valued {
                vcpu,
                owner,
                register,
                value,
            }
            .print(out)?;
        }
    }
    Ok(None)
}

/// One register of a vCPU, to be asked for.
#[derive(Clone, Copy)]
pub struct One {
    inquiry: Inquiry,
    register: Register,
    is_all: bool,
}

impl One {
    fn new(vcpu: usize, register: Register, is_all: bool) -> Self {
        Self {
            inquiry: Inquiry::new(vcpu, Request::Snapshot),
            register,
            is_all,
        }
    }

    /// What is to be printed, once it is known.
    fn step(&mut self, system: &System) -> Result<Option<Fields>, CommandError<'static>> {
        let register = self.register;
        let value = self
            .inquiry
            .poll_snapshot(system.vm, |snapshot| snapshot.get(register))?;
        let Some(value) = value else { return Ok(None) };
        let valued = Valued {
            vcpu: Some(self.inquiry.cpu()),
            owner: registers::owner(register),
            register,
            value: value.ok_or(CommandError::NotOfVcpu)?,
        };
        Ok(Some(Fields::new(valued, self.is_all)))
    }
}

/// A value by its fields.
pub struct Fields {
    valued: Valued,
    is_all: bool,
    /// The field to go on with; none before the line about the whole.
    next: Option<usize>,
}

impl Fields {
    fn new(valued: Valued, is_all: bool) -> Self {
        Self {
            valued,
            is_all,
            next: None,
        }
    }

    /// What the user gave as `REGISTER=VALUE`.
    fn of_value(word: &str, is_all: bool) -> Result<Self, CommandError<'_>> {
        let (name, value) = word.split_once('=').ok_or(CommandError::Usage(ENTRY.usage))?;
        let register = find(name)?;
        let valued = Valued {
            vcpu: None,
            owner: registers::owner(register),
            register,
            value: parse_number(value)?,
        };
        Ok(Self::new(valued, is_all))
    }

    fn step(&mut self, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        if self.next.is_none() {
            self.valued.print(out)?;
        }
        self.next = self.valued.print_fields(self.next.unwrap_or(0), self.is_all, out)?;
        Ok(match self.next {
            Some(_) => Progress::More,
            None => Progress::Done,
        })
    }
}

/// Prints who runs, and where.
fn print_state(snapshot: &Snapshot, out: &mut Output) -> fmt::Result {
    let pstate = snapshot.pstate();
    out.row(&wire::VCpu {
        vcpu: snapshot.cpu,
        runs: match snapshot.context {
            Context::Host => "L1",
            Context::Nested => "L2",
        },
        mode: mode(pstate),
        pc: Hex(snapshot.frame.elr),
        pstate: Hex(pstate),
        shadow: snapshot.shadow.map(|slot| slot.number()),
    })
}

fn mode(value: u64) -> &'static str {
    pstate::FIELDS
        .iter()
        .find(|field| field.mask() == pstate::M)
        .and_then(|field| field.meaning(field.of(value)))
        .unwrap_or("no mode")
}
