//! Shadow stage-2 tables: what lets an L2 run although its hypervisor, L1, is itself a guest.
//!
//! L1 builds a *guest stage 2* for its guest (L2 IPA to L1 IPA), the hypervisor at EL2 has a *host
//! stage 2* for L1 (L1 IPA to PA), and hardware can walk only one table. So for each guest stage 2
//! in use there is a *shadow*: a table from L2 IPA to PA that is filled on demand, when L2 faults,
//! with the [composition](compose) of the two. To L1 the shadow is a TLB: it may lack anything, may
//! hold what the guest stage 2 said until L1 invalidates it, and must forget what L1's TLBI
//! instructions cover.
//!
//! * [`ShadowPool`] owns the shadows and picks one for a (`VTTBR_EL2`, `VTCR_EL2`, `HCR_EL2.VM`) of
//!   L1.
//! * [`ShadowPool::handle_fault`] decides a stage-2 fault of L2: fill and retry, inject into L1, or
//!   not memory at all.
//! * [`ShadowPool::invalidate_ipa`] and its kin do L1's TLB maintenance; [`IpaOperand`] and
//!   [`RangeOperand`] decode the operands.
//! * [`VncrEntry`] is where an L2 that is itself a hypervisor has its EL2 registers.
//! * [`ShadowPool::audit`] checks every shadow leaf against the two tables it was composed from.
//!
//! What the image supplies (table memory, L1's memory, the host stage 2, TLB instructions) is one trait, [`ShadowEnv`];
//! what its locks are is another, [`Locks`]. Each shadow has a lock. It orders L1's TLBIs against faults on other CPUs,
//! and makes invariant I4 ("after a TLBI by L1 retires, no CPU uses a shadow translation it covered") hold: a fault
//! handler reads the guest stage 2 and fills the shadow within one critical section. What concerns several shadows is
//! done with [all](AllShadows) of them locked. The host stage 2 must not change while any is.
//!
//! Nothing here allocates but through [`ShadowEnv`]'s table memory, and nothing is unbounded in
//! what L1 controls: a walk is four reads, an invalidation costs what is mapped.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "test-support"))]
extern crate std;

mod ageing;
mod all;
mod audit;
mod compose;
mod dirty;
mod env;
mod fault;
mod find;
mod history;
mod key;
mod lock;
mod logging;
#[cfg(test)]
mod loom_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod piece_tests;
mod pool;
mod reclaim;
mod slot;
#[cfg(test)]
mod teardown_tests;
#[cfg(any(test, feature = "test-support"))]
pub mod testing;
mod tlbi;
mod tlbi_operand;
mod vmids;
mod vncr;

pub use ageing::Patience;
pub use all::AllShadows;
pub use audit::{Finding, Offence, compare};
pub use compose::{ShadowLeaf, compose};
pub use dirty::{DirtyLog, Leaf, PART_BYTES, Writers};
pub use env::ShadowEnv;
pub use fault::{Access, FaultAction, FaultKind, GuestStage2, ShadowFault, identity};
pub use find::{FindError, find};
pub use history::{Fill, Origin, Past, Tlbi};
pub use key::{ShadowKey, vmid_of};
pub use lock::{GuardOf, Lock, Locks, Rank};
pub use logging::Cut;
pub use pool::{AcquireError, FIRST_VMID, ShadowPool};
pub use slot::{Held, Shadow, SlotId};
pub use tlbi::{InvalidationStats, Reach};
pub use tlbi_operand::{IpaOperand, RangeOperand, Ttl};
pub use vncr::{Stage1Scope, VncrEntry, VncrTag, access_flag_update};
