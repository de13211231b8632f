//! What the core wants of a debug console, without knowing one.
//!
//! Whoever has a console [installs](install) it at boot; until then, and without one, all of this does nothing. A CPU looks
//! at one flag at each interrupt to see whether the console [called](call) it, and otherwise knows nothing of it.

use core::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use spin::Once;

use crate::{
    interrupts,
    layout::CPU_COUNT_MAX,
    panic::Crash,
    vcpu::{VCpu, context::GuestFrame},
    vm::Vm,
};

/// A debug console.
pub trait Console: Sync {
    /// Serves the interrupts of the debug UART and of the console's timer. Called on CPU 0 with no lock held; afterwards
    /// neither asserts its interrupt, unless something just arrived.
    fn receive(&self, vcpu: &mut VCpu);

    /// This CPU was called: does what is wanted of it, and comes back when its guest may go on. Called with no lock held;
    /// `frame` is the guest's, `None` while the vCPU is off.
    fn attend(&self, vcpu: &mut VCpu, frame: Option<&mut GuestFrame>);

    /// Prints a line that nobody asked for.
    fn announce(&self, news: fmt::Arguments<'_>);

    /// Prints what there is to know of a CPU that panicked, below the line that says why. Waits for no lock.
    fn report(&self, crash: &Crash<'_>);

    /// Serves the user for ever on the CPU that panicked, without waiting for any lock. Returns only if it cannot.
    fn after_panic(&self);
}

static CONSOLE: Once<&'static dyn Console> = Once::new();
/// The CPUs that are wanted.
static IS_CALLED: [AtomicBool; CPU_COUNT_MAX] = [const { AtomicBool::new(false) }; CPU_COUNT_MAX];

/// Says which console there is; the first that says so is it.
pub fn install(console: &'static dyn Console) {
    CONSOLE.call_once(|| console);
}

/// Makes CPU `cpu` leave its guest and [attend](Console::attend) to the console; one that does so already does it again.
pub fn call(vm: &Vm, cpu: usize) {
    if let Some(is_called) = IS_CALLED.get(cpu) {
        is_called.store(true, Ordering::Release);
    }
    // This CPU has left its guest, and looks before it goes back.
    if !vm.gic.is_this_cpu(cpu) {
        vm.gic.send_sgi(cpu, interrupts::KICK);
    }
}

/// [`Console::receive`].
pub fn receive(vcpu: &mut VCpu) {
    if let Some(console) = CONSOLE.get() {
        console.receive(vcpu);
    }
}

/// [`Console::attend`], if this CPU was called.
#[inline(always)]
pub fn attend_if_called(vcpu: &mut VCpu, frame: Option<&mut GuestFrame>) {
    if IS_CALLED[vcpu.cpu].load(Ordering::Relaxed) {
        attend(vcpu, frame);
    }
}

#[cold]
fn attend(vcpu: &mut VCpu, frame: Option<&mut GuestFrame>) {
    // Taken before the console looks at what there is to do, so that a call that comes later is not lost.
    IS_CALLED[vcpu.cpu].swap(false, Ordering::Acquire);
    if let Some(console) = CONSOLE.get() {
        console.attend(vcpu, frame);
    }
}

/// [`Console::announce`].
pub fn announce(news: fmt::Arguments<'_>) {
    if let Some(console) = CONSOLE.get() {
        console.announce(news);
    }
}

/// [`Console::report`].
pub fn report(crash: &Crash<'_>) {
    if let Some(console) = CONSOLE.get() {
        console.report(crash);
    }
}

/// [`Console::after_panic`].
pub fn after_panic() {
    if let Some(console) = CONSOLE.get() {
        console.after_panic();
    }
}
