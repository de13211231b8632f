//! Operations of an L2, and those of L1 that are about it.

use core::arch::{asm, global_asm};
use core::fmt;

use bare::l2::{Exit, L2};
use bare::memory::Frames;
use bare::stage2::{Format, PAGE_BYTES, Perms, Stage2};
use bare::sysreg::HCR_EL2;

use crate::samples::{Samples, count};
use crate::scale;
use crate::vectors::while_returning;

/// Where L2 sees the library's programs, this module's, and its data.
const CODE_IPA: u64 = 0x8000_0000;
const LOOPS_IPA: u64 = 0x8000_1000;
const DATA_IPA: u64 = 0x8020_0000;
/// Stage 2 is in force.
const HCR_VM: u64 = 1;
/// How often each is done, but for what is done on each of many pages.
const COUNT: u64 = 100;
/// The most pages that a shadow has here.
const PAGES_MAX: u64 = 10_000;

// A page of code for the L2. Each program counts one operation, again and again: x10 is the least number, x11 the sum.
// It ends with an HVC that, as x9 is 0, reaches L1's usual vectors.
global_asm!(
    "    .section .text.loops, \"ax\"",
    "    .balign 4096",
    "l2_loops:",
    "    .macro take",
    "    sub x21, x21, x20",
    "    sub x21, x21, #1",
    "    add x11, x11, x21",
    "    cmp x21, x10",
    "    csel x10, x21, x10, lo",
    "    .endm",
    // HVC, x0 times.
    "l2_hvc_loop:",
    "    mov x9, #1",
    "0:  mrs x20, cntvct_el0",
    "    hvc #0",
    "    mrs x21, cntvct_el0",
    "    take",
    "    subs x0, x0, #1",
    "    b.ne 0b",
    "    mov x9, xzr",
    "    hvc #0",
    // A load from each page from x0 to x1.
    "l2_load_loop:",
    "0:  mrs x20, cntvct_el0",
    "    ldr x2, [x0]",
    "    mrs x21, cntvct_el0",
    "    take",
    "    add x0, x0, #4096",
    "    cmp x0, x1",
    "    b.lo 0b",
    "    hvc #0",
    "    .balign 4096",
);

unsafe extern "C" {
    static l2_loops: u8;
    static l2_hvc_loop: u8;
    static l2_load_loop: u8;
}

/// Counts and prints them all.
///
/// # Errors
///
/// The L2's exit, when it is not its last.
pub(crate) fn run(frames: &mut Frames) -> Result<(), Exit> {
    let mut guest = Guest::new(1, PAGES_MAX, frames);
    while_returning(|| guest.hypercalls(format_args!("l2-hvc")))?;
    guest.shadow_misses(format_args!("shadow-miss"))?;
    guest.page_invalidations(format_args!("tlbi-ipa"))?;
    guest.vm_invalidations(format_args!("tlbi-vm-1"), 1, 10)?;
    guest.vm_invalidations(format_args!("tlbi-vm-100"), 100, 10)?;
    guest.vm_invalidations(format_args!("tlbi-vm-10000"), PAGES_MAX, 2)?;
    guest.address_translations("at");
    guest.read(PAGES_MAX)?;
    scale::run(&mut guest, frames)
}

/// An L2 and its pages.
pub(crate) struct Guest(L2);

impl Guest {
    /// One with `pages` pages of data. All are the same page of L1's, so that no two make a block.
    pub(crate) fn new(vmid: u16, pages: u64, frames: &mut Frames) -> Self {
        let stage2 = Stage2::new(Format::USUAL, vmid, frames);
        stage2.map(LOOPS_IPA, (&raw const l2_loops) as u64, 3, Perms::RX, frames);
        let page = bare::stage2::TableMemory::alloc(frames, 1);
        for index in 0..pages {
            stage2.map(DATA_IPA + index * PAGE_BYTES, page, 3, Perms::RW, frames);
        }
        Self(L2::new(stage2, CODE_IPA, frames))
    }

    /// Runs one of the loops; `count` is how many samples that gives.
    fn count(&mut self, program: *const u8, arguments: [u64; 2], count: u64) -> Result<Samples, Exit> {
        let l2 = &mut self.0;
        l2.pc = LOOPS_IPA + (program as u64 - (&raw const l2_loops) as u64);
        l2.x[..2].copy_from_slice(&arguments);
        [l2.x[9], l2.x[10], l2.x[11]] = [0, u64::MAX, 0];
        let exit = l2.resume();
        match exit.hvc() {
            Some(0) => Ok(Samples::of(l2.x[10], l2.x[11], count)),
            _ => Err(exit),
        }
    }

    /// Reads the first `pages` pages.
    pub(crate) fn read(&mut self, pages: u64) -> Result<Samples, Exit> {
        let end = DATA_IPA + pages * PAGE_BYTES;
        self.count(&raw const l2_load_loop, [DATA_IPA, end], pages)
    }

    /// HVC to an L1 that only returns.
    pub(crate) fn hypercalls(&mut self, name: fmt::Arguments<'_>) -> Result<(), Exit> {
        self.count(&raw const l2_hvc_loop, [1, 0], 1)?;
        self.count(&raw const l2_hvc_loop, [COUNT, 0], COUNT)?.print(name);
        Ok(())
    }

    /// Loads from pages that L1 maps, and that L2 has not touched since L1's last TLBI.
    pub(crate) fn shadow_misses(&mut self, name: fmt::Arguments<'_>) -> Result<(), Exit> {
        self.read(COUNT)?;
        tlbi_vm();
        self.read(COUNT)?.print(name);
        Ok(())
    }

    /// The same while L2 has all its other pages.
    pub(crate) fn shadow_misses_among_others(&mut self, name: fmt::Arguments<'_>) -> Result<(), Exit> {
        for index in 0..COUNT {
            tlbi_ipa(DATA_IPA + index * PAGE_BYTES);
        }
        self.read(COUNT)?.print(name);
        Ok(())
    }

    /// `TLBI IPAS2E1IS` of pages that L2 has.
    pub(crate) fn page_invalidations(&mut self, name: fmt::Arguments<'_>) -> Result<(), Exit> {
        self.read(COUNT)?;
        let mut samples = Samples::new();
        for index in 0..COUNT {
            samples.add(tlbi_ipa(DATA_IPA + index * PAGE_BYTES));
        }
        samples.print(name);
        Ok(())
    }

    /// `TLBI VMALLS12E1IS` when L2 has `pages` pages, and those of its code.
    pub(crate) fn vm_invalidations(&mut self, name: fmt::Arguments<'_>, pages: u64, count: u64) -> Result<(), Exit> {
        tlbi_vm();
        let mut samples = Samples::new();
        for _ in 0..count {
            self.read(pages)?;
            samples.add(tlbi_vm());
        }
        samples.print(name);
        Ok(())
    }

    /// `AT S1E1R` in the guest's regime, whose stage 1 is off.
    fn address_translations(&mut self, name: &str) {
        let host = HCR_EL2.get();
        HCR_EL2.set(host | HCR_VM);
        translate(DATA_IPA);
        let mut samples = Samples::new();
        for _ in 0..COUNT {
            samples.add(translate(DATA_IPA));
        }
        HCR_EL2.set(host);
        samples.print(format_args!("{name}"));
    }
}

/// Forgets all of the guest.
fn tlbi_vm() -> u64 {
    // SAFETY: forgetting translations is always allowed.
    let instructions = unsafe { count!("tlbi vmalls12e1is"; options(nostack)) };
    complete();
    instructions
}

/// Forgets the guest's page at `ipa`.
fn tlbi_ipa(ipa: u64) -> u64 {
    // SAFETY: forgetting translations is always allowed.
    let instructions = unsafe { count!("tlbi ipas2e1is, {page}"; page = in(reg) ipa >> 12, options(nostack)) };
    complete();
    instructions
}

/// Waits for the TLB maintenance above; not counted.
fn complete() {
    // SAFETY: it waits.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) }
}

/// What the guest's `va` translates to; the answer, in `PAR_EL1`, is not looked at.
fn translate(va: u64) -> u64 {
    // SAFETY: changes nothing but PAR_EL1, which nothing else here uses.
    unsafe { count!("at s1e1r, {va}"; va = in(reg) va, options(nostack)) }
}
