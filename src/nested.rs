//! Virtual EL2: what makes L1 believe that it is the hypervisor.
//!
//! [`switch`] moves a vCPU between the host context and the nested one, [`controls`] says what the hardware traps in
//! each, [`timer`] keeps the timers of the context that does not run, and [`tlbi`] and [`at`] emulate the instructions
//! that act on translations L1 does not own.

pub mod at;
pub mod controls;
pub mod fine;
pub mod l2_page;
pub mod pmu;
pub mod sve;
pub mod switch;
pub mod timer;
pub mod tlbi;
pub mod walk;
