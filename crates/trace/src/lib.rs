//! What happens on a CPU, as typed events in a ring.
//!
//! An [`Event`] is a few numbers. Recording one stores six words; what it means in words is worked out when somebody
//! reads it. Where KVM has the same event it has the same name and prints the same text, so what is made for traces of
//! KVM reads these too; gnomon's own begin with `gnomon_`.
//!
//! A [`Ring`] belongs to one CPU, which alone writes it. Any other may read it meanwhile: each entry is framed by its
//! number, and one that was overwritten during the look is not shown, so an event is whole or absent.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod event;
mod ring;

pub use event::{Depth, Event, ExceptionKind, FaultOutcome};
pub use ring::{Entry, Ring};
