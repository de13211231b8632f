//! Bits of the control registers the hypervisor decides by.
//!
//! One module a register, one constant a field, in Arm's spelling, so that code
//! reads `hcr & hcr_el2::TGE`. A constant is the mask of its field in place; a
//! field wider than one bit says so. A control that traps when it is **0** says
//! so as well, for that is what makes two such registers merge by AND instead
//! of OR.

pub mod cnthctl_el2;
pub mod cpacr;
pub mod cptr_el2;
pub mod hcr_el2;
pub mod ich_hcr_el2;
pub mod mdcr_el2;
pub mod pstate;
pub mod sctlr;
pub mod vtcr_el2;
pub mod vttbr_el2;
