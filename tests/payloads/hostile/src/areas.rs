//! The parts of the attack.

use crate::cpu::Cpu;
use crate::{calls, guests, interrupts, maintenance, mmio, power, race, registers, returns, tables};

/// A part: its name, and one step of it.
pub(crate) type Area = (&'static str, fn(&mut Cpu));

pub(crate) const AREAS: [Area; 10] = [
    ("power", power::step),
    ("registers", registers::step),
    ("tables", tables::step),
    ("returns", returns::step),
    ("maintenance", maintenance::step),
    ("calls", calls::step),
    ("mmio", mmio::step),
    ("guests", guests::step),
    ("interrupts", interrupts::step),
    ("race", race::step),
];

/// The index of `power`, whose steps are counted before they are over.
pub(crate) const POWER: usize = 0;
