//! Stage-1 translation: virtual addresses to the address space of whoever made the tables.
//!
//! [`Stage1Config`] says what the registers of a regime mean, one [`Half`] of the address space at a time; [`walk`]
//! translates one address, and [`visit`] goes over the tables of a half. Tables are read through
//! [`ReadTable`] of the output space: L2's stage 1 is in memory of L2, which its reader finds through stage 2.
//!
//! Permissions are computed as the architecture does for the regime, hierarchical ones included; whether an access is
//! allowed is asked of the result ([`Stage1Mapping::check`]), since the walk does not know the access.

mod attrs;
mod config;
mod mair;
mod registers;
mod walk;
mod words;

pub use attrs::{AccessKind, Rights, Stage1Access, Stage1Attrs, Stage1Perms};
pub use config::{Half, Stage1Config, Stage1Limits, Stage1Range};
pub use mair::MairAttr;
pub use registers::{Regime, Stage1Registers};
pub use walk::{Stage1Mapping, survey, visit, walk, walk_steps};
pub use words::Stage1Words;

use crate::{
    Enter, Entry, Found, Granule, Level, Pa, Phys, ReadTable, TableFormat, descent::Shape, survey::survey_entries,
    visit::visit_entries,
};

/// Calls `f` for every leaf and every hole of the hypervisor's own stage 1 (`HCR_EL2.E2H` = 0, 4 KiB granule, 48-bit VA,
/// so a start at level 0) whose root table is at `root`. Parameters and result as in [`visit`].
pub fn visit_el2(
    root: Pa,
    mem: &impl ReadTable<Phys>,
    from: u64,
    budget: usize,
    f: &mut impl FnMut(Entry),
) -> Option<u64> {
    visit_entries(&el2_shape(root), mem, from, budget, f)
}

/// [`visit_el2`] with the tables in between, as [`stage2::survey`](crate::stage2::survey).
pub fn survey_el2(
    root: Pa,
    mem: &impl ReadTable<Phys>,
    from: u64,
    budget: usize,
    f: &mut impl FnMut(Found) -> Enter,
) -> Option<u64> {
    survey_entries(&el2_shape(root), mem, from, budget, f)
}

const fn el2_shape(root: Pa) -> Shape {
    Shape {
        format: TableFormat::bits48(Granule::K4),
        ia_bits: 48,
        ia_base: 0,
        start_level: Level::ZERO,
        root: root.bits(),
        oa_bits: 48,
        big_endian: false,
    }
}
