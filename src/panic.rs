//! The end: gnomon's own defects.
//!
//! A panic, or an exception that EL2 took from itself, ends in [`end`]. It takes no lock, says where and why on the debug
//! UART, has the other CPUs rest, and leaves the console on this CPU, so that the tables can still be looked at. The
//! first CPU to come here does all that; another one says why, and stops. One that comes here again, because reporting
//! failed too, says so in one line and stops, and if not even that works, stops.

use core::{
    arch::asm,
    fmt::{self, Write},
    hint,
    panic::PanicInfo,
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
};

use syndrome::{
    Esr,
    esr::{OwnException, Vector},
};
use vmsa::Pa;

use crate::{
    arch::{
        percpu,
        sysreg::{CNTFRQ_EL0, ELR_EL2, ESR_EL2, FAR_EL2, Readable, SPSR_EL2},
    },
    boot, console, dev,
    layout::CPU_COUNT_MAX,
    mm::{phys, place::Place},
    nested::timer,
    psci,
    vm::Vm,
};

/// The general registers of an exception that EL2 took from itself, as `boot/vectors.S` saves them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// `x0` to `x30`
    pub x: [u64; 31],
    /// The stack pointer.
    pub sp: u64,
    /// Which of the vectors.
    pub vector: u64,
    /// Keeps the stack aligned.
    _reserved: u64,
}

/// What there is to report of a CPU that panicked.
#[derive(Clone, Copy, Debug)]
pub struct Crash<'a> {
    /// The CPU.
    pub cpu: usize,
    /// Its registers, if it took an exception.
    pub fault: Option<&'a Fault>,
    /// Where its stack ends.
    pub sp: u64,
}

static HAS_PANICKED: AtomicBool = AtomicBool::new(false);
/// How many times each CPU came here.
static ENTERED: [AtomicU8; CPU_COUNT_MAX] = [const { AtomicU8::new(0) }; CPU_COUNT_MAX];
/// Some CPU is writing its line.
static IS_TELLING: AtomicBool = AtomicBool::new(false);

/// Whether some CPU has panicked; the others rest from their next exit on.
pub fn has_panicked() -> bool {
    HAS_PANICKED.load(Ordering::Acquire)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let sp: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) }
    let crash = Crash {
        cpu: percpu::number(),
        fault: None,
        sp,
    };
    match info.location() {
        Some(at) => end(
            &crash,
            format_args!("{} at {}:{}", info.message(), at.file(), at.line()),
        ),
        None => end(&crash, format_args!("{}", info.message())),
    }
}

/// An exception taken from EL2 itself. Called by `boot/vectors.S` on the emergency stack.
pub extern "C" fn el2_fault(fault: &Fault) -> ! {
    let exception = OwnException {
        vector: Vector::from_number(fault.vector),
        esr: Esr(ESR_EL2.get()),
    };
    let crash = Crash {
        cpu: percpu::number(),
        fault: Some(fault),
        sp: fault.sp,
    };
    let pc = ELR_EL2.get();
    if !exception.has_address() {
        end(&crash, format_args!("{exception}, at {pc:#x}"));
    }
    let address = FAR_EL2.get();
    let place = Place::of(address);
    let why = match place {
        Place::Guard(_) | Place::EmergencyGuard(_) => "stack overflow: ",
        _ => "",
    };
    end(
        &crash,
        format_args!("{why}{exception} at {address:#x}, {place}, by the instruction at {pc:#x}"),
    )
}

/// Reports and never returns.
fn end(crash: &Crash<'_>, words: fmt::Arguments<'_>) -> ! {
    let entered = ENTERED.get(crash.cpu).map_or(u8::MAX, |entered| {
        entered.fetch_add(1, Ordering::Relaxed).min(u8::MAX - 1)
    });
    match entered {
        0 => {}
        1 => {
            tell(format_args!("CPU {} again, while it reported that: {words}", crash.cpu));
            psci::park()
        }
        _ => psci::park(),
    }
    let is_first = !HAS_PANICKED.swap(true, Ordering::AcqRel);
    tell(format_args!("CPU {}: {words}", crash.cpu));
    if !is_first {
        psci::park();
    }
    // The others come to rest at their next exit, which this brings about.
    if let Some(vm) = Vm::get() {
        (0..vm.machine.cpus.len()).for_each(|cpu| console::call(vm, cpu));
    }
    console::report(crash);
    // SAFETY: what is on the stack is reported, and nobody comes back to it.
    unsafe { boot::restart(serve, crash.cpu) }
}

/// Serves the console, on an empty stack.
extern "C" fn serve(_: usize) -> ! {
    console::after_panic();
    psci::park()
}

/// Writes a line, after those of other CPUs if they are quick.
fn tell(words: fmt::Arguments<'_>) {
    let deadline = timer::now().saturating_add(CNTFRQ_EL0.get());
    while IS_TELLING.swap(true, Ordering::Acquire) && timer::now() < deadline {
        hint::spin_loop();
    }
    if let Some(mut uart) = dev::uart::without_lock() {
        let _ = writeln!(uart, "\ngnomon: panic: {words}");
    }
    IS_TELLING.store(false, Ordering::Release);
}

/// `ESR_EL2`, `FAR_EL2`, `ELR_EL2` and `SPSR_EL2` of the last exception, with their names.
pub fn syndrome() -> [(&'static str, u64); 4] {
    [
        ("ESR_EL2", ESR_EL2.get()),
        ("FAR_EL2", FAR_EL2.get()),
        ("ELR_EL2", ELR_EL2.get()),
        ("SPSR_EL2", SPSR_EL2.get()),
    ]
}

/// A way to end, for whoever wants to see what is left then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A panic.
    Panic,
    /// A panic whose message panics.
    Twice,
    /// A stack overflow.
    Stack,
    /// A load from where nothing is mapped.
    Abort,
    /// An undefined instruction.
    Undefined,
    /// A lock that is never given back.
    Lock,
}

/// Fails as asked for.
pub fn fail(failure: Failure) -> ! {
    /// Far above all RAM and devices, and below the windows.
    const NOWHERE: Pa = Pa::new(0x7000_0000_0000);
    match failure {
        Failure::Panic => {}
        Failure::Twice => panic!("{}", Unprintable),
        Failure::Stack => {
            hint::black_box(overflow(0));
        }
        Failure::Abort => {
            hint::black_box(phys::peek(NOWHERE));
        }
        // SAFETY: ends this CPU, as asked for.
        Failure::Undefined => unsafe { asm!("udf #0") },
        Failure::Lock => {
            let _mmu = Vm::get().map(|vm| vm.mmu.lock());
            psci::park()
        }
    }
    panic!("asked for at the console");
}

/// What panics when it is printed.
struct Unprintable;

impl fmt::Display for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("asked for at the console, too")
    }
}

/// Needs more stack than there is.
#[expect(unconditional_recursion, reason = "that is what it is for")]
fn overflow(depth: u64) -> u64 {
    let mut local = [depth; 32];
    hint::black_box(&mut local);
    overflow(depth + 1) + local[0]
}
