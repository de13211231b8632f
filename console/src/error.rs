//! Why a command has no answer: one line each, for the user.

use core::fmt;

use console_core::{NumberError, ParseError};
use vmsa::{Fault, stage2::Unwalkable};

use crate::inspect::{AssignError, InspectError};

/// Why a command failed. Printed after `error: `.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError<'a> {
    /// The line cannot be taken apart.
    Parse(ParseError<'a>),
    /// No command has this name.
    UnknownCommand(&'a str),
    /// The arguments are not what the command takes; how it is used.
    Usage(&'static str),
    /// An address or another number cannot be read.
    Number(NumberError<'a>),
    /// No table has this name.
    UnknownTable(&'a str),
    /// The beginning of several names.
    AmbiguousTable(&'a str),
    /// The shadow has been given to another guest, or ended, since the command began.
    ShadowGone,
    /// A guest with stage 2 off has no tables.
    Stage2Off,
    /// No guest of L1 has run on the vCPU.
    NoGuest,
    /// L1's registers describe no table that can be walked.
    NotWalkable(Unwalkable),
    /// Nor do gnomon's own: a defect.
    OwnNotWalkable(Fault),
    /// A stage 1 has no IPA.
    NoIpa,
    /// A table that the audit has no rules for.
    NotAudited,
    /// A table that no CPU walks.
    NotExplained,
    /// The CPU that panicked holds the lock.
    Locked,
    /// Nothing can be stopped or continued after a panic.
    HasPanicked,
    /// `dirty start` while a log is kept.
    IsLogging,
    /// `dirty report` without a log.
    IsNotLogging,
    /// Too few frames for tables are left.
    NoFrames,
    /// `stop` while stopped.
    IsStopped,
    /// `cont` while running.
    IsRunning,
    /// No vCPU has this name.
    UnknownVcpu(&'a str),
    /// No register has this name.
    UnknownRegister(&'a str),
    /// The register is none of a vCPU's.
    NotOfVcpu,
    /// The CPU cannot be asked about its vCPU.
    Inspect(InspectError),
    /// The register was not written.
    Assign(AssignError),
    /// Memory is read by words of 8 bytes.
    NotAligned,
    /// The tables map nothing at this address.
    NotMapped(u64),
    /// The physical address is not RAM of L1's or gnomon's.
    NotRam(u64),
    /// No snapshot has this name.
    UnknownSnapshot(&'a str),
    /// The name of a snapshot has more bytes than this.
    LongName(usize),
    /// Too little memory is left for a snapshot.
    NoMemory,
    /// More was printed in one step than there is room for: a defect of the command.
    NoRoom,
}

impl fmt::Display for CommandError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse(error) => error.fmt(f),
            Self::UnknownCommand(name) => write!(f, "no command '{name}'; 'help' lists them"),
            Self::Usage(usage) => write!(f, "usage: {usage}"),
            Self::Number(error) => error.fmt(f),
            Self::UnknownTable(name) => write!(f, "no table '{name}'; 'ptdump' lists them"),
            Self::AmbiguousTable(name) => write!(f, "'{name}' is the beginning of several names; 'ptdump' lists them"),
            Self::ShadowGone => {
                f.write_str("the shadow is gone: L1 ended the guest, or its slot was needed for another")
            }
            Self::Stage2Off => f.write_str("stage 2 is off for this guest, so L1 has no tables for it"),
            Self::NoGuest => f.write_str("no guest of L1 has run on this vCPU"),
            Self::NotWalkable(reason) => write!(f, "L1's VTCR_EL2 and VTTBR_EL2 cannot be walked: {reason}"),
            Self::OwnNotWalkable(fault) => write!(f, "gnomon's TCR_EL2 and TTBR0_EL2 cannot be walked: {fault}"),
            Self::NoIpa => f.write_str("el2 is a stage 1 and has no IPA range"),
            Self::NotAudited => f.write_str("there is nothing to check this table against"),
            Self::NotExplained => f.write_str("no CPU walks this table"),
            Self::Locked => f.write_str("the CPU that panicked holds the lock"),
            Self::HasPanicked => f.write_str("after a panic nothing can go on; 'poweroff' ends the machine"),
            Self::IsLogging => f.write_str("writes are logged already; 'dirty stop' ends that"),
            Self::IsNotLogging => f.write_str("no writes are logged; 'dirty start' begins"),
            Self::NoFrames => f.write_str("too few frames for tables are left; 'dirty stop' gives back what was taken"),
            Self::IsStopped => f.write_str("stopped already; 'cont' goes on"),
            Self::IsRunning => f.write_str("nothing is stopped"),
            Self::UnknownVcpu(name) => write!(f, "no vCPU '{name}'; they are 0, 1 and so on"),
            Self::UnknownRegister(name) => write!(f, "no register '{name}' here; Tab lists those that a vCPU has"),
            Self::NotOfVcpu => f.write_str("a vCPU does not have this register; Tab lists those that it has"),
            Self::Inspect(error) => error.fmt(f),
            Self::Assign(error) => error.fmt(f),
            Self::NotAligned => f.write_str("the address is not a multiple of 8"),
            Self::NotMapped(address) => write!(f, "nothing is mapped at {address:#x}"),
            Self::NotRam(pa) => write!(f, "PA {pa:#x} is no RAM that may be read"),
            Self::UnknownSnapshot(name) => write!(f, "no snapshot '{name}'; 'snap' lists them"),
            Self::LongName(bytes) => write!(f, "a snapshot's name has at most {bytes} bytes"),
            Self::NoMemory => f.write_str(
                "too little memory for a snapshot of so many ranges; take one of a RANGE, or 'snap -d' others",
            ),
            Self::NoRoom => f.write_str("the output did not fit in memory"),
        }
    }
}

impl core::error::Error for CommandError<'_> {}

impl<'a> From<ParseError<'a>> for CommandError<'a> {
    fn from(error: ParseError<'a>) -> Self {
        Self::Parse(error)
    }
}

impl<'a> From<NumberError<'a>> for CommandError<'a> {
    fn from(error: NumberError<'a>) -> Self {
        Self::Number(error)
    }
}

impl From<InspectError> for CommandError<'_> {
    fn from(error: InspectError) -> Self {
        Self::Inspect(error)
    }
}

impl From<fmt::Error> for CommandError<'_> {
    fn from(_: fmt::Error) -> Self {
        Self::NoRoom
    }
}
