//! Fields of registers: those the hypervisor decides by, and those it shows.
//!
//! One module a register, one constant a field, in Arm's spelling, so that code
//! reads `hcr & hcr_el2::TGE`. A constant is the mask of its field in place. A
//! control that traps when it is **0** says so, for that is what makes two such
//! registers merge by AND instead of OR.
//!
//! The same rows are there as [`Field`](field::Field)s, for people who look at a
//! value; [`register::layout`](crate::register::layout) finds those of a register.

pub mod cnt_ctl;
pub mod cnthctl_el2;
pub mod cntkctl_el1;
pub mod cpacr;
pub mod cptr_el2;
pub mod esr;
pub mod field;
pub mod hcr_el2;
pub mod hcrx_el2;
pub mod hfgitr_el2;
pub mod hpfar_el2;
pub mod ich_hcr_el2;
pub mod ich_lr_el2;
pub mod ich_misr_el2;
pub mod ich_vmcr_el2;
pub mod mair;
pub mod mdcr_el2;
pub mod mdscr_el1;
pub mod midr;
pub mod mpidr;
pub mod par_el1;
pub mod pstate;
pub mod sctlr;
pub mod tcr;
pub mod ttbr;
pub mod vtcr_el2;
pub mod vttbr_el2;
