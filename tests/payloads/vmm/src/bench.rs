//! What one operation of a guest costs, by the counter, which under QEMU's `-icount` is instructions.
//!
//! Each case has a VM of its own, with an interrupt controller, whose guest counts. It begins with a line `vmm: counting
//! CASE`, and ends with `vmm: BENCH CASE min A mean B count C`: the least, the average and of how many.

use core::arch::asm;

use crate::guest::{GICD_IPA, MAILBOX_IPA, Routine};
use crate::kvm::{Error, Kvm, LOG_DIRTY_PAGES, PAGE_BYTES, Vm};
use crate::out::say;
use crate::sys::{self, HUGE_PAGES, Mapping, NO_HUGE_PAGES};

/// Memory of the guests that have some.
const RAM_IPA: u64 = 0x4000_0000;
const BLOCK_BYTES: usize = 2 << 20;
/// As many blocks are touched at most: they are real memory.
const BLOCKS_MAX: u64 = 64;
const PAGES_MAX: u64 = 1 << 15;
/// Done before counting, so that what is done only once is over.
const WARM_UP: u64 = 16;
/// Ticks until a timer: so short that KVM waits for it without sleeping, and so long that it sleeps.
const SHORT: u64 = 20_000;
const LONG: u64 = 5_000_000;

/// What the kernel still does by itself after its boot, such as testing its ciphers, is over by then.
const SETTLE_MS: u64 = 5_000;

/// Counts an operation that often.
type Operation = fn(u64) -> Result<Samples, Error>;

/// The cases.
const CASES: [(&str, Operation); 13] = [
    ("hvc", |count| repeat(Routine::CountHypercall, [0, count, 0])),
    ("id-register", |count| repeat(Routine::CountIdRegister, [0, count, 0])),
    ("mmio-kernel", |count| repeat(Routine::CountLoad, [GICD_IPA, count, 0])),
    ("mmio-vmm", load_from_vmm),
    ("touch-page", touch_pages),
    ("touch-block", touch_blocks),
    ("write-protect", write_protected),
    ("sgi", |count| repeat(Routine::CountSgi, [0, count, 0])),
    ("timer", |count| repeat(Routine::CountTimer, [0, count, SHORT])),
    ("wfi-short", |count| repeat(Routine::CountWait, [0, count, SHORT])),
    ("wfi-long", |count| repeat(Routine::CountWait, [0, count, LONG])),
    ("vm-2", |_| one_more_vm(1)),
    ("vm-10", |_| one_more_vm(9)),
];

/// What a guest's Linux counts, whose counter begins with its VM: its way to this program.
const BOOT_OF_L2: &str = "l2-boot";

/// Counts one case, or `all`. The counter was at `started` when this program began.
pub(crate) fn run(case: &str, count: u64, started: u64) -> bool {
    if case == BOOT_OF_L2 {
        Samples::of(1, started, started).print(BOOT_OF_L2);
        return true;
    }
    let is_wanted = |name| case == "all" || case == name;
    let mut is_any = is_wanted("boot");
    if is_any {
        Samples::of(1, started, started).print("boot");
    }
    sys::sleep_ms(SETTLE_MS);
    for (name, operation) in CASES.iter().filter(|(name, _)| is_wanted(name)) {
        is_any = true;
        say!("counting {name}");
        match operation(count.max(1)) {
            Ok(samples) => samples.print(name),
            Err(error) => {
                say!("{name}: {error}");
                return false;
            }
        }
    }
    if !is_any {
        say!("there is no case {case}");
    }
    is_any
}

/// What was counted.
struct Samples {
    count: u64,
    min: u64,
    sum: u64,
}

impl Samples {
    const fn of(count: u64, min: u64, sum: u64) -> Self {
        Self { count, min, sum }
    }

    /// Runs a routine of the guest's that counts `count` times.
    fn take(vm: &Vm, count: u64) -> Result<Self, Error> {
        Ok(Self::of(count, vm.resume()?, vm.resume()?))
    }

    /// [`take`](Self::take) of what is printed, between two marks.
    fn take_marked(vm: &Vm, count: u64) -> Result<Self, Error> {
        mark();
        let samples = Self::take(vm, count);
        mark();
        samples
    }

    fn print(&self, name: &str) {
        let Self { count, min, sum } = self;
        say!("BENCH {name} min {min} mean {} count {count}", sum / count);
    }
}

/// A guest with an interrupt controller.
fn guest() -> Result<Vm, Error> {
    let vm = Kvm::open()?.vm(40)?;
    vm.add_gic()?;
    Ok(vm)
}

/// A routine whose second argument says how often.
fn repeat(routine: Routine, arguments: [u64; 3]) -> Result<Samples, Error> {
    let vm = guest()?;
    let [first, count, third] = arguments;
    vm.prepare(routine, [first, WARM_UP, third])?;
    Samples::take(&vm, WARM_UP)?;
    vm.prepare(routine, arguments)?;
    Samples::take_marked(&vm, count)
}

/// Loads that this program answers.
fn load_from_vmm(count: u64) -> Result<Samples, Error> {
    let vm = guest()?;
    vm.prepare(Routine::CountLoad, [MAILBOX_IPA, count, 0])?;
    mark();
    for _ in 0..count {
        vm.resume()?;
    }
    mark();
    Samples::take(&vm, count)
}

/// A guest with memory.
struct Roomy {
    vm: Vm,
    ram: Mapping,
    offset: usize,
    step: usize,
    count: u64,
}

impl Roomy {
    /// `count` pieces of `step` bytes, as `advice` says.
    fn new(count: u64, step: usize, advice: usize) -> Result<Self, Error> {
        let bytes = count as usize * step;
        let ram = Mapping::private(bytes + BLOCK_BYTES).map_err(|errno| Error::Refused("mmap", errno))?;
        let offset = ram.address().next_multiple_of(BLOCK_BYTES) - ram.address();
        // Without huge pages in the kernel they need not be forbidden, and if they are wanted the numbers say so.
        let _ = ram.advise(offset, bytes, advice);
        let roomy = Self {
            vm: guest()?,
            ram,
            offset,
            step,
            count,
        };
        roomy.set_flags(0)?;
        Ok(roomy)
    }

    fn set_flags(&self, flags: u32) -> Result<(), Error> {
        let address = self.ram.address() + self.offset;
        self.vm
            .set_region(0, flags, RAM_IPA, address, self.count as usize * self.step)
    }

    /// Makes the kernel have the memory before the guest wants it.
    fn populated(self) -> Self {
        for index in 0..self.count as usize {
            self.ram.store(self.offset + index * self.step, 1);
        }
        self
    }

    /// Writes to each piece but the first ones, which it writes to before it counts.
    fn write(&self) -> Result<Samples, Error> {
        let warm_up = WARM_UP.min(self.count / 2);
        self.prepare(0, warm_up)?;
        Samples::take(&self.vm, warm_up)?;
        self.prepare(warm_up, self.count)?;
        Samples::take_marked(&self.vm, self.count - warm_up)
    }

    /// The guest is to write to those from `first` on and before `end`.
    fn prepare(&self, first: u64, end: u64) -> Result<(), Error> {
        let step = self.step as u64;
        let range = [RAM_IPA + first * step, RAM_IPA + end * step, step];
        self.vm.prepare(Routine::CountWrite, range)
    }
}

/// Pages that the kernel has to find, to clear and to map.
fn touch_pages(count: u64) -> Result<Samples, Error> {
    Roomy::new(WARM_UP + count.min(PAGES_MAX), PAGE_BYTES, NO_HUGE_PAGES)?.write()
}

/// Blocks of 2 MiB that the kernel only has to map: clearing them would be all there is to see.
fn touch_blocks(count: u64) -> Result<Samples, Error> {
    let roomy = Roomy::new(WARM_UP + count.min(BLOCKS_MAX), BLOCK_BYTES, HUGE_PAGES)?;
    roomy.populated().write()
}

/// Pages that the guest has, and whose writes are logged from then on.
fn write_protected(count: u64) -> Result<Samples, Error> {
    let roomy = Roomy::new(WARM_UP + count.min(PAGES_MAX), PAGE_BYTES, NO_HUGE_PAGES)?;
    roomy.prepare(0, roomy.count)?;
    Samples::take(&roomy.vm, roomy.count)?;
    roomy.set_flags(LOG_DIRTY_PAGES)?;
    roomy.write()
}

/// A VM made, run until it has made one hypercall, and not yet taken down, while there are `others`, at most nine, that
/// have done the same. The instructions are all of the kernel's and of this program's.
fn one_more_vm(others: usize) -> Result<Samples, Error> {
    let make = || {
        let vm = guest()?;
        vm.call(Routine::Hypercall, [0, 1, 0]).map(|_| vm)
    };
    let mut kept = [const { None }; 9];
    for place in kept.iter_mut().take(others) {
        *place = Some(make()?);
    }
    let before = ticks();
    let _vm = make()?;
    let instructions = ticks() - before;
    Ok(Samples::of(1, instructions, instructions))
}

/// Says to a plugin of QEMU's that what is printed begins or ends here. To everybody else this is a NOP, as all hints are that
/// nothing has been assigned to.
fn mark() {
    // SAFETY: it has no effect.
    unsafe { asm!("hint #112", options(nostack)) };
}

/// The counter.
pub(crate) fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: Linux lets programs read the counter.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack)) };
    ticks
}
