//! One run of gnomon, or of the same payload without it, in QEMU.
//!
//! [`config`] says what to run and turns it into QEMU's arguments; [`placement`]
//! decides where L1's kernel and ramdisk go in memory; [`verdict`] reads what the
//! machine prints and knows when it has failed; [`running`] is a machine under
//! way; [`builder`] is the short way there for tests, and [`side`] says which of the two runs is meant.

pub mod builder;
pub mod config;
mod output;
pub mod placement;
pub mod running;
pub mod side;
pub mod verdict;

pub use builder::Builder;
pub use config::Config;
pub use running::Machine;
pub use side::Side;
pub use verdict::Outcome;
