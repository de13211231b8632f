//! Guest hypervisors with one planted bug each.
//!
//! The command line says which: `scenario=NAME`. A scenario builds an L2, plants its bug, and checks what the L2 gets out
//! of it; then it prints `P READY`. With the word `hold` it goes on like that for ever, so that the debug console can be
//! asked what is wrong; without, it prints `P OK` and powers the machine off. `scenario=good` has no bug.
//!
//! Others have no bug, but are hard to look at: nothing moves (`spin`), nothing is left that could (`crash`), there is too
//! much (`million`), everything changes all the time (`recycle`).

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod load;
#[cfg(target_os = "none")]
mod nested;
#[cfg(target_os = "none")]
mod nested_smp;
#[cfg(target_os = "none")]
mod permissions;
#[cfg(target_os = "none")]
mod registers;
#[cfg(target_os = "none")]
mod scenario;
#[cfg(target_os = "none")]
mod stuck;
#[cfg(target_os = "none")]
mod tables;

#[cfg(target_os = "none")]
bare::payload!(scenario::main, scenario::secondary);

/// On the host this is nothing: it only keeps the workspace whole.
#[cfg(not(target_os = "none"))]
fn main() {}
