//! The parts of the attack.

use crate::cpu::Cpu;
use crate::{calls, maintenance, mmio, registers, returns, tables};

/// A part: its name, and one step of it.
pub(crate) type Area = (&'static str, fn(&mut Cpu));

pub(crate) const AREAS: [Area; 6] = [
    ("registers", registers::step),
    ("tables", tables::step),
    ("returns", returns::step),
    ("maintenance", maintenance::step),
    ("calls", calls::step),
    ("mmio", mmio::step),
];
