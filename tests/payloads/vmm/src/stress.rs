//! VMs by the hundred.
//!
//! Each worker is a process that makes a VM, lets its guest write and read memory, changes the memory under it in all the
//! ways that KVM has (dirty logging, a slot moved and made read-only, pages taken back), checks after each step that the
//! guest saw and left what it should, and closes everything. Every eighth VM ends by `SIGKILL` while its guest spins.
//! A line a second says how far they are.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::guest::Routine;
use crate::kvm::{Error, Kvm, LOG_DIRTY_PAGES, PAGE_BYTES, READ_ONLY, Vm};
use crate::out::say;
use crate::start::take_line;
use crate::sys::{self, DONT_NEED, Fork, HUGE_PAGES, KILL, Mapping};

/// The most workers.
const WORKERS_MAX: usize = 64;

/// A guest's memory: a block's worth that is aligned to one, between pages that are not.
const BLOCK_BYTES: usize = 2 << 20;
const RAM_BYTES: usize = 2 * BLOCK_BYTES;
const RAM_IPA: u64 = 0x4000_0000;
const MOVED_IPA: u64 = 0x8020_0000;
const STEP: u64 = PAGE_BYTES as u64;

/// Pages of the second half that the guest writes: one bitmap word's worth.
const SMALL_PAGES: usize = 64;

/// A VM is killed instead of closed this often.
const KILL_INTERVAL: u64 = 8;

/// Sizes of address spaces, in turn: each has another start level or number of root tables.
const IPA_BITS: [u32; 7] = [32, 36, 40, 42, 44, 48, 52];

/// What the workers and their parent share.
struct Shared(Mapping);

impl Shared {
    fn counter(&self, index: usize) -> &AtomicU64 {
        let word = self.0.word(8 * index);
        // SAFETY: the mapping lives as long as `self`, and this is the only way to the word.
        unsafe { AtomicU64::from_ptr(word) }
    }

    fn vms(&self) -> &AtomicU64 {
        self.counter(0)
    }

    fn runs(&self) -> &AtomicU64 {
        self.counter(1)
    }

    /// Not 0 when the workers are to end.
    fn is_over(&self) -> &AtomicU64 {
        self.counter(2)
    }

    /// How often a CPU was switched off and on again.
    fn switched(&self) -> &AtomicU64 {
        self.counter(3)
    }
}

/// Why a worker gives up.
enum Failure {
    Kvm(Error),
    /// At this point a word was not what it should be: where, what it was, what it should be.
    Wrong(&'static str, u64, u64, u64),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Kvm(error)
    }
}

fn refused(what: &'static str) -> impl FnOnce(sys::Errno) -> Failure {
    move |errno| Failure::Kvm(Error::Refused(what, errno))
}

/// When workers end, if no line is typed before.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    Seconds(u64),
    /// One more worker switches CPUs off and on, so many times.
    Switches(u64),
    /// Seconds, with VMs that stay and only fault; that of the first worker rests.
    Faults(u64),
}

/// Runs that many workers until the goal is reached.
pub(crate) fn run(workers: usize, goal: Goal) -> bool {
    let Ok(shared) = Mapping::shared(PAGE_BYTES).map(Shared) else {
        say!("no memory");
        return false;
    };
    let workers = workers.clamp(1, WORKERS_MAX);
    let children_count = workers + usize::from(matches!(goal, Goal::Switches(_)));
    let mut children = [0; WORKERS_MAX + 1];
    for (number, child) in children.iter_mut().take(children_count).enumerate() {
        match sys::fork() {
            Ok(Fork::Child) if number == workers => sys::exit(i32::from(!switch_cpus(goal, &shared))),
            Ok(Fork::Child) if matches!(goal, Goal::Faults(_)) => sys::exit(i32::from(fault(number, &shared).is_err())),
            Ok(Fork::Child) => sys::exit(i32::from(!work(number, &shared))),
            Ok(Fork::Parent(id)) => *child = id,
            Err(error) => {
                say!("fork: {error}");
                return false;
            }
        }
    }
    let start = sys::now_ms();
    let elapsed = || (sys::now_ms() - start) / 1000;
    let is_reached = || match goal {
        Goal::Seconds(seconds) | Goal::Faults(seconds) => elapsed() >= seconds,
        Goal::Switches(_) => shared.is_over().load(Ordering::Relaxed) != 0,
    };
    while !is_reached() {
        if sys::is_typed_within(1000) {
            take_line();
            break;
        }
        say_progress(&shared, elapsed());
    }
    shared.is_over().store(1, Ordering::Relaxed);
    let mut is_ok = true;
    for &child in children.iter().take(children_count) {
        is_ok &= sys::wait(child) == Ok(0);
    }
    say_progress(&shared, elapsed());
    if let Goal::Switches(_) = goal {
        say!("{} CPUs off and on", shared.switched().load(Ordering::Relaxed));
    }
    is_ok
}

/// Switches all CPUs but the first off and on, one after the other, until the goal is reached; whether all is well. In the
/// end all are on.
fn switch_cpus(goal: Goal, shared: &Shared) -> bool {
    const CPUS: [&CStr; 3] = [
        c"/sys/devices/system/cpu/cpu1/online",
        c"/sys/devices/system/cpu/cpu2/online",
        c"/sys/devices/system/cpu/cpu3/online",
    ];
    let Goal::Switches(count) = goal else {
        return true;
    };
    let mut result = Ok(0);
    for (path, _) in CPUS.iter().cycle().zip(0..count) {
        result = sys::open(path, sys::READ_WRITE).and_then(|cpu| {
            cpu.write_at(b"0", 0)?;
            cpu.write_at(b"1", 0)
        });
        if let Err(error) = result {
            say!("{}: {error}", path.to_str().unwrap_or("?"));
            break;
        }
        shared.switched().fetch_add(1, Ordering::Relaxed);
        if shared.is_over().load(Ordering::Relaxed) != 0 {
            break;
        }
    }
    shared.is_over().store(1, Ordering::Relaxed);
    result.is_ok()
}

fn say_progress(shared: &Shared, seconds: u64) {
    let (vms, runs) = (
        shared.vms().load(Ordering::Relaxed),
        shared.runs().load(Ordering::Relaxed),
    );
    say!("stress {seconds} s, {vms} VMs, {runs} runs");
}

/// A worker's life; whether all went well.
fn work(number: usize, shared: &Shared) -> bool {
    let mut round = number as u64;
    while shared.is_over().load(Ordering::Relaxed) == 0 {
        let bits = IPA_BITS[round as usize % IPA_BITS.len()];
        let result = if round.is_multiple_of(KILL_INTERVAL) {
            killed(bits)
        } else {
            one_vm(bits, round, shared)
        };
        match result {
            Ok(()) => {}
            Err(Failure::Kvm(error)) => {
                say!("worker {number}, VM {round} of {bits} bits: {error}");
                return false;
            }
            Err(Failure::Wrong(step, at, have, want)) => {
                say!("worker {number}, VM {round} of {bits} bits: {step}: {have:#x} at {at:#x}, not {want:#x}");
                return false;
            }
        }
        shared.vms().fetch_add(1, Ordering::Relaxed);
        round += 1;
    }
    true
}

/// A VM whose guest writes its memory, which is taken back then, over and over; that of worker 0 has it and rests.
fn fault(number: usize, shared: &Shared) -> Result<(), Failure> {
    let kvm = Kvm::open()?;
    let ram = Ram::new()?;
    let vm = kvm.vm(kvm.ipa_bits_max())?;
    vm.set_region(0, 0, RAM_IPA, ram.address(), RAM_BYTES)?;
    shared.vms().fetch_add(1, Ordering::Relaxed);
    while shared.is_over().load(Ordering::Relaxed) == 0 {
        write_all(&vm, &ram)?;
        shared.runs().fetch_add(1, Ordering::Relaxed);
        while number == 0 && shared.is_over().load(Ordering::Relaxed) == 0 {
            sys::sleep_ms(100);
        }
        ram.mapping
            .advise(ram.offset, RAM_BYTES, DONT_NEED)
            .map_err(refused("madvise"))?;
    }
    Ok(())
}

/// A guest's memory, with a block's alignment.
struct Ram {
    mapping: Mapping,
    offset: usize,
}

impl Ram {
    fn new() -> Result<Self, Failure> {
        let mapping = Mapping::private(RAM_BYTES + BLOCK_BYTES).map_err(refused("mmap"))?;
        let offset = mapping.address().next_multiple_of(BLOCK_BYTES) - mapping.address();
        // A kernel without huge pages has no such advice.
        let _ = mapping.advise(offset, BLOCK_BYTES, HUGE_PAGES);
        Ok(Self { mapping, offset })
    }

    fn address(&self) -> usize {
        self.mapping.address() + self.offset
    }

    fn load(&self, offset: usize) -> u64 {
        self.mapping.load(self.offset + offset)
    }
}

/// From a VM's creation to its end.
fn one_vm(ipa_bits: u32, round: u64, shared: &Shared) -> Result<(), Failure> {
    let kvm = Kvm::open()?;
    let ram = Ram::new()?;
    let vm = kvm.vm(ipa_bits.min(kvm.ipa_bits_max()))?;
    vm.set_region(0, 0, RAM_IPA, ram.address(), RAM_BYTES)?;
    for step in [write_all, log_dirty_pages, move_read_only, take_back] {
        step(&vm, &ram)?;
        shared.runs().fetch_add(1, Ordering::Relaxed);
    }
    vm.call(Routine::Hypercall, [0, 1 + round % 16, 0])?;
    Ok(())
}

const SMALL: usize = BLOCK_BYTES;
const SMALL_IPA: u64 = RAM_IPA + SMALL as u64;
const SMALL_END: u64 = SMALL_IPA + SMALL_PAGES as u64 * STEP;

/// The guest writes the block and some pages behind it: the address of each.
fn write_all(vm: &Vm, ram: &Ram) -> Result<(), Failure> {
    vm.call(Routine::Write, [RAM_IPA, SMALL_END, STEP])?;
    for offset in (0..SMALL + SMALL_PAGES * PAGE_BYTES).step_by(PAGE_BYTES) {
        let want = RAM_IPA + offset as u64;
        expect("written by the guest", want, ram.load(offset), want)?;
    }
    Ok(())
}

/// With dirty logging, exactly the pages that the guest writes are reported.
fn log_dirty_pages(vm: &Vm, ram: &Ram) -> Result<(), Failure> {
    const WORDS: usize = RAM_BYTES / PAGE_BYTES / 64;
    const FIRST: usize = SMALL / PAGE_BYTES / 64;
    vm.set_region(0, LOG_DIRTY_PAGES, RAM_IPA, ram.address(), RAM_BYTES)?;
    vm.call(Routine::Write, [SMALL_IPA, SMALL_END, 2 * STEP])?;
    vm.call(Routine::Write, [RAM_IPA, RAM_IPA + STEP, STEP])?;
    let log: [u64; WORDS] = vm.dirty_log(0)?;
    for (word, &have) in log.iter().enumerate() {
        let want = match word {
            0 => 1,
            FIRST => 0x5555_5555_5555_5555,
            _ => 0,
        };
        expect("dirty log", word as u64, have, want)?;
    }
    vm.set_region(0, 0, RAM_IPA, ram.address(), RAM_BYTES)
        .map_err(Failure::from)
}

/// The same memory at another address, where the guest may only read it: what it reads is what it wrote.
fn move_read_only(vm: &Vm, ram: &Ram) -> Result<(), Failure> {
    vm.set_region(0, 0, 0, 0, 0)?;
    vm.set_region(1, READ_ONLY, MOVED_IPA, ram.address(), RAM_BYTES)?;
    let start = MOVED_IPA + SMALL as u64;
    let have = vm.call(Routine::Read, [start, start + 7 * STEP, STEP])?;
    let want = (0..7).fold(0, |sum, page| sum ^ (SMALL_IPA + page * STEP));
    expect("read by the guest", start, have, want)
}

/// Pages that this process gives back are zero to the guest too, and others are not.
fn take_back(vm: &Vm, ram: &Ram) -> Result<(), Failure> {
    let offset = ram.offset + SMALL;
    ram.mapping
        .advise(offset, 2 * PAGE_BYTES, DONT_NEED)
        .map_err(refused("madvise"))?;
    let start = MOVED_IPA + SMALL as u64;
    let have = vm.call(Routine::Read, [start, start + 3 * STEP, STEP])?;
    expect("read after pages were given back", start, have, SMALL_IPA + 2 * STEP)
}

fn expect(step: &'static str, at: u64, have: u64, want: u64) -> Result<(), Failure> {
    if have == want {
        Ok(())
    } else {
        Err(Failure::Wrong(step, at, have, want))
    }
}

/// A VM whose process dies while its guest runs.
fn killed(ipa_bits: u32) -> Result<(), Failure> {
    match sys::fork().map_err(refused("fork"))? {
        Fork::Child => {
            let kvm = Kvm::open()?;
            let ram = Ram::new()?;
            let vm = kvm.vm(ipa_bits.min(kvm.ipa_bits_max()))?;
            vm.set_region(0, 0, RAM_IPA, ram.address(), RAM_BYTES)?;
            vm.call(Routine::Write, [RAM_IPA, SMALL_END, STEP])?;
            vm.call(Routine::Spin, [0; 3])?;
            sys::exit(1);
        }
        Fork::Parent(child) => {
            sys::sleep_ms(50);
            sys::kill(child, KILL);
            sys::wait(child).map_err(refused("wait"))?;
            Ok(())
        }
    }
}
