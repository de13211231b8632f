//! Stage 1, as far as a nested hypervisor reads it: its own for dumps, a guest's for the tables a walk goes through.

mod tables;

pub use tables::{Stage1Registers, visit_tables};

use crate::{
    Entry, Granule, Level, Pa, Phys, ReadTable,
    visit::{Geometry, visit_entries},
};

/// Calls `f` for every leaf and every hole of the single-range EL2 stage 1 (`HCR_EL2.E2H` = 0, 4
/// KiB granule, 48-bit VA, so a start at level 0) whose root table is at `root`. Parameters and
/// result as in [`stage2::visit`](crate::stage2::visit).
pub fn visit_el2(
    root: Pa,
    mem: &impl ReadTable<Phys>,
    from: u64,
    budget: usize,
    f: &mut impl FnMut(Entry),
) -> Option<u64> {
    let shape = Geometry {
        granule: Granule::K4,
        ia_bits: 48,
        start_level: Level::ZERO,
        root: root.bits(),
        oa_bits: 48,
        big_endian: false,
    };
    visit_entries(&shape, mem, from, budget, f)
}
