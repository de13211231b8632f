//! Stage-2 translation: IPA to the address space of the next hypervisor down.
//!
//! [`Stage2Config`] says what `VTCR_EL2` and `VTTBR_EL2` mean, [`walk`] translates one address,
//! [`visit`] goes over a whole table, and [`Stage2Table`] builds and changes the tables that the
//! hypervisor itself owns.

mod attrs;
mod combine;
mod config;
mod desc;
mod occupancy;
mod slot;
mod table;
#[cfg(test)]
mod table_tests;
mod translate;
mod unmap;
mod unwalkable;
mod visit;
mod walk;
mod wide;
mod words;

pub use crate::{Fault as Stage2Fault, Step};
pub use attrs::{MemType, Perms, Shareability, Stage2Attrs};
pub use combine::combined;
pub use config::{Stage2Config, Stage2Limits};
pub use desc::{Stage2Desc, Stage2Entry};
pub use slot::{Stage2Env, Stage2Tlb, TableMemory};
pub use table::{OutOfTables, Stage2Table};
pub use translate::Translator;
pub use unmap::PIECE_PAGES;
pub use unwalkable::Unwalkable;
pub use visit::{survey, visit};
pub use walk::{Mapping, RawLeaf, walk, walk_steps, walk_to_leaf};
pub use words::Stage2Words;
