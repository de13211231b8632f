//! The `SMMUv3` (Arm IHI 0070) as values: what it has, what it is told, what it tells.
//!
//! gnomon uses little of it. Every stream of every device gets the same stream table entry: stage 2 alone, by one table
//! that maps L1's RAM to itself. Nothing changes once that is in force, so the only commands are those of boot. What
//! remains is the queue of events, in which a device that was refused something shows up; [`Report`] decides which of
//! these are worth a line, so that no device can flood the log.
//!
//! Nothing here touches a register: the image does, on behalf of the [`Driver`].

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod command;
mod driver;
mod event;
mod features;
mod queue;
mod report;
mod stream;
mod table;

pub use command::Command;
pub use driver::{Driver, Hardware, Memory, Silent, probe, register};
pub use event::{Access, Device, Event, Incident, Reason};
pub use features::{Features, Ids, Unfit};
pub use queue::{Indices, OVERFLOW};
pub use report::{Report, Tell};
pub use stream::{Split, Stage2, Ste};
pub use table::{NoPage, map_to_itself};

/// The input addresses of the table that devices use, in bits: as many as the SMMU must put out.
pub const INPUT_BITS: u32 = 44;
