//! The end: gnomon's own defects.
//!
//! A panic takes no lock, says where and why on the debug UART, stops the other CPUs, and leaves the console on the
//! CPU that panicked, so that the tables can still be looked at.

use core::{
    fmt::Write,
    panic::PanicInfo,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    arch::sysreg::{ELR_EL2, ESR_EL2, FAR_EL2, Readable, SPSR_EL2},
    console, dev, psci,
    vm::Vm,
};

static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

/// Whether some CPU has panicked; the others then rest from their next exit on.
pub fn has_panicked() -> bool {
    HAS_PANICKED.load(Ordering::Acquire)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let is_first = !HAS_PANICKED.swap(true, Ordering::AcqRel);
    if let Some(mut uart) = dev::uart::without_lock() {
        let _ = match info.location() {
            Some(at) => writeln!(
                uart,
                "\ngnomon: panic: {} at {}:{}",
                info.message(),
                at.file(),
                at.line()
            ),
            None => writeln!(uart, "\ngnomon: panic: {}", info.message()),
        };
    }
    if is_first {
        // The others come to rest at their next exit, which this brings about.
        if let Some(vm) = Vm::get() {
            (0..vm.machine.cpus.len()).for_each(|cpu| console::call(vm, cpu));
        }
        console::after_panic();
    }
    psci::park();
}

/// An exception taken from EL2 itself. Called by `boot/vectors.S` on the emergency stack.
pub extern "C" fn el2_fault(kind: u64, sp: u64, fp: u64) -> ! {
    const KINDS: [&str; 4] = ["synchronous exception", "IRQ", "FIQ", "SError"];
    let name = KINDS.get(kind as usize).copied().unwrap_or("exception");
    panic!(
        "{name} in EL2: ESR_EL2 {:#x} ELR_EL2 {:#x} FAR_EL2 {:#x} SPSR_EL2 {:#x} sp {sp:#x} fp {fp:#x}",
        ESR_EL2.get(),
        ELR_EL2.get(),
        FAR_EL2.get(),
        SPSR_EL2.get(),
    );
}
