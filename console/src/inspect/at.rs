//! `AT` on behalf of the console.

use hyp::{
    arch::{
        at::{self, Stage12},
        barrier,
        sysreg::{PAR_EL1, Readable, Writeable},
    },
    nested,
    vcpu::{Context, VCpu},
};

/// Executes `instruction` in `context`, and returns its `PAR_EL1`; the guest's own is kept. `None` where that context cannot
/// be had: that of a guest that never ran or has lost its shadow.
///
/// In the host context stage 1 is L1's own EL2&0 regime. What the shadow lacks is a fault here; nothing is filled in.
pub fn execute(instruction: Stage12, vcpu: &mut VCpu, context: Context, va: u64) -> Option<u64> {
    let run = || {
        // What the guest left unfinished in its registers is in force before the walk.
        barrier::isb();
        at::stage12(instruction, va)
    };
    let guests = PAR_EL1.get();
    let par = if vcpu.context == context {
        Some(run())
    } else {
        nested::at::in_other_context(vcpu, run)
    };
    PAR_EL1.set(guests);
    par
}
