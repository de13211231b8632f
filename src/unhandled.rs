//! What gnomon does not emulate: counted, logged once each, and answered with an exception.
//!
//! Nothing a guest does is silently ignored. The log says each thing once, so that no guest can flood it.

use core::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use syndrome::{
    SysReg,
    esr::{FaultStatus, ec},
};

use crate::{
    trap::Exit,
    vcpu::{Context, VCpu, context::GuestFrame, inject},
};

/// Registers and classes already logged, as a small open-addressed set; when it is full, nothing more is logged.
static SEEN: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Things not emulated since boot.
pub fn total() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

fn is_first(key: u64) -> bool {
    COUNT.fetch_add(1, Ordering::Relaxed);
    for slot in &SEEN {
        match slot.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(found) if found == key => return false,
            Err(_) => {}
        }
    }
    false
}

fn who(vcpu: &VCpu) -> &'static str {
    match vcpu.context {
        Context::Host => "L1",
        Context::Nested => "L2",
    }
}

/// A system register or instruction: undefined.
pub fn system_register(vcpu: &mut VCpu, frame: &mut GuestFrame, reg: SysReg, is_read: bool) {
    let what = if is_read { "read" } else { "wrote" };
    let key = key(vcpu, Kind::Register, u64::from(reg.bits()) << 1 | u64::from(is_read));
    note(vcpu, key, format_args!("{what} {reg} at {:#x}", frame.elr));
    inject::undefined(vcpu, frame);
}

/// An exception class: undefined.
pub fn exception(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) {
    let class = exit.esr.ec();
    let key = key(vcpu, Kind::Exception, u64::from(class));
    note(
        vcpu,
        key,
        format_args!(
            "caused {} (ESR_EL2 {:#x}) at {:#x}",
            ec::name(class),
            exit.esr.0,
            frame.elr
        ),
    );
    inject::undefined(vcpu, frame);
}

/// An abort of a kind that gnomon's tables do not cause: an external abort.
pub fn abort(vcpu: &mut VCpu, frame: &mut GuestFrame, exit: &Exit) {
    let key = key(vcpu, Kind::Abort, exit.esr.0 & 0x3f);
    note(
        vcpu,
        key,
        format_args!("had an abort (ESR_EL2 {:#x}) at {:#x}", exit.esr.0, frame.elr),
    );
    inject::external_abort(vcpu, frame, exit, FaultStatus::EXTERNAL.encode());
}

/// AArch32 state, which the guest's next instruction will find illegal.
pub fn aarch32(vcpu: &VCpu, frame: &GuestFrame) {
    note(
        vcpu,
        key(vcpu, Kind::Aarch32, 0),
        format_args!("was in AArch32 state at {:#x}", frame.elr),
    );
}

/// What is counted, for [`key`].
#[derive(Clone, Copy)]
enum Kind {
    Register = 1,
    Exception,
    Abort,
    Aarch32,
}

/// A number for each thing that is logged once; never zero.
fn key(vcpu: &VCpu, kind: Kind, particular: u64) -> u64 {
    (kind as u64) << 56 | (vcpu.context as u64) << 48 | particular
}

fn note(vcpu: &VCpu, key: u64, what: fmt::Arguments<'_>) {
    if is_first(key) {
        log::warn!("{} {what}, which is not emulated", who(vcpu));
    }
}
