//! One kind of exit over and over, timed by the counter.

use core::arch::asm;

use crate::guest::Routine;
use crate::kvm::{Error, Kvm, PAGE_BYTES};
use crate::out::say;
use crate::sys::{DONT_NEED, Mapping, NO_HUGE_PAGES};

/// Memory of [`touch`].
const RAM_IPA: u64 = 0x4000_0000;
const RAM_PAGES: usize = 4096;

/// Runs a case and says how long it took.
pub(crate) fn run(case: &str, count: u64) -> bool {
    let result = match case {
        "hvc" => hypercalls(count),
        "mmio" => mail(count),
        "touch" => touch(count),
        _ => {
            say!("bench: hvc, mmio or touch");
            return false;
        }
    };
    match result {
        Ok(ticks) => {
            let per_one = ticks / count.max(1);
            say!(
                "bench {case}: {count} in {ticks} ticks, {per_one} each, {} ticks a second",
                frequency()
            );
            true
        }
        Err(error) => {
            say!("bench {case}: {error}");
            false
        }
    }
}

/// Hypercalls that L1's KVM answers in the kernel.
fn hypercalls(count: u64) -> Result<u64, Error> {
    let vm = Kvm::open()?.vm(40)?;
    vm.call(Routine::Hypercall, [0, 1, 0])?;
    let start = ticks();
    vm.call(Routine::Hypercall, [0, count.max(1), 0])?;
    Ok(ticks() - start)
}

/// Stores that go all the way to this program.
fn mail(count: u64) -> Result<u64, Error> {
    let vm = Kvm::open()?.vm(40)?;
    vm.call(Routine::Hypercall, [0, 1, 0])?;
    vm.prepare(Routine::Mail, [0, count.max(1), 0])?;
    let start = ticks();
    for _ in 0..=count.max(1) {
        vm.resume()?;
    }
    Ok(ticks() - start)
}

/// Pages touched for the first time: faults at both stages. After each [`RAM_PAGES`] they are taken back, which is not
/// timed.
fn touch(count: u64) -> Result<u64, Error> {
    let vm = Kvm::open()?.vm(40)?;
    let bytes = RAM_PAGES * PAGE_BYTES;
    let ram = Mapping::private(bytes).map_err(|errno| Error::Refused("mmap", errno))?;
    let advise = |advice| {
        ram.advise(0, bytes, advice)
            .map_err(|errno| Error::Refused("madvise", errno))
    };
    // Without huge pages in the kernel they need not be forbidden.
    let _ = advise(NO_HUGE_PAGES);
    vm.set_region(0, 0, RAM_IPA, ram.address(), bytes)?;
    let mut total = 0;
    let mut left = count;
    while left > 0 {
        let pages = left.min(RAM_PAGES as u64);
        let start = ticks();
        let end = RAM_IPA + pages * PAGE_BYTES as u64;
        vm.call(Routine::Write, [RAM_IPA, end, PAGE_BYTES as u64])?;
        total += ticks() - start;
        left -= pages;
        advise(DONT_NEED)?;
    }
    Ok(total)
}

fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: Linux lets programs read the counter.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack)) };
    ticks
}

fn frequency() -> u64 {
    let frequency: u64;
    // SAFETY: Linux lets programs read it.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack)) };
    frequency
}
