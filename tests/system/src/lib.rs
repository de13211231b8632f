//! What the system tests know about text: readers for everything that gnomon, L1 and L2 print.
//!
//! The cases themselves are in `cases/`, one machine each; they gather text and ask the readers
//! here what it means. Nothing in this crate runs a program or waits, so each reader has unit
//! tests of its own, and none of it shares code with the firmware: a mistake in gnomon's
//! formatter must not be repeated by what checks it.
//!
//! - [`ptdump`]: a stage-2 dump by Linux 7.2's grammar, column by column;
//! - [`compose`]: whether a shadow says no more than the guest's own table allows;
//! - [`frugal`]: the pages that a table needs at least;
//! - [`listing`]: the answers of `shadow` and `exits`;
//! - [`page`]: the tables on the viewer's page, against a dump;
//! - [`story`]: the lines that L1 and L2 tell their life with;
//! - [`dtb`]: a flattened device tree, damaged where QEMU does not look;
//! - [`transcript`]: what the documentation says the console answers.

#![forbid(unsafe_code)]

pub mod compose;
pub mod dtb;
pub mod frugal;
pub mod listing;
pub mod page;
pub mod ptdump;
pub mod story;
pub mod transcript;
