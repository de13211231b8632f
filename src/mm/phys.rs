//! Physical memory as EL2 sees it: identity-mapped RAM.
//!
//! Two kinds of access, both safe to call. Table frames come from the carve-out and belong to whoever allocated
//! them. Guest RAM is shared with guests that may write it at any time, so it is only ever read and written as
//! whole, aligned, volatile or atomic words, after a check that the address is the guest's.

use core::{
    arch::asm,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use machine::RAM_BANKS_MAX;
use spin::Once;
use vmsa::{Ipa, L1, Pa, ReadTable, Unreadable};

use super::PAGE_BYTES;
use crate::arch::cache;

/// L1's RAM: what [`read_guest`] and its siblings reach.
static GUEST_RAM: Once<Banks> = Once::new();
static NO_RAM: Banks = Banks {
    banks: [const { 0..0 }; RAM_BANKS_MAX],
};

/// Where L1's RAM is: one contiguous range per bank, which begins and ends at pages.
#[derive(Clone, Debug)]
pub struct Banks {
    banks: [Range<u64>; RAM_BANKS_MAX],
}

impl Banks {
    /// Each of them; some may be empty.
    pub fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.banks.iter()
    }

    /// Whether `at` is an aligned word of L1's RAM.
    fn has_word(&self, at: Ipa<L1>) -> bool {
        // L1's IPA equals the PA.
        at.is_aligned(8) && self.iter().any(|bank| bank.contains(&at.bits()))
    }

    /// To read many words of it.
    #[inline(always)]
    pub fn words(&'static self) -> Words {
        let first = &self.banks[0];
        Words {
            start: first.start,
            bytes: first.end.wrapping_sub(first.start),
            banks: self,
        }
    }
}

/// Words of L1's RAM, of which most often there is one bank: its limits are at hand.
#[derive(Clone, Copy)]
pub struct Words {
    start: u64,
    bytes: u64,
    banks: &'static Banks,
}

impl Words {
    #[cold]
    fn is_in_any_bank(&self, at: Ipa<L1>) -> bool {
        self.banks.has_word(at)
    }
}

impl ReadTable<L1> for Words {
    #[inline(always)]
    fn read(&self, at: Ipa<L1>) -> Result<u64, Unreadable> {
        let is_in_first = at.bits().wrapping_sub(self.start) < self.bytes && at.is_aligned(8);
        if !is_in_first && !self.is_in_any_bank(at) {
            return Err(Unreadable);
        }
        // SAFETY: just checked. There are no other banks than those that `set_guest_ram` was told of.
        Ok(unsafe { guest_word(at) }.load(Ordering::Acquire))
    }
}

/// L1's RAM; none before [`set_guest_ram`].
#[inline(always)]
pub fn guest_ram() -> &'static Banks {
    GUEST_RAM.get().unwrap_or(&NO_RAM)
}

/// Says which RAM is L1's. Later calls have no effect.
pub fn set_guest_ram(banks: &[Range<u64>]) {
    GUEST_RAM.call_once(|| {
        let mut ram = NO_RAM.clone();
        for (slot, bank) in ram.banks.iter_mut().zip(banks) {
            *slot = bank.clone();
        }
        ram
    });
}

/// Whether `bytes` from `pa` on are all L1's RAM.
#[inline]
pub fn is_guest_ram(pa: u64, bytes: u64) -> bool {
    let Some(end) = pa.checked_add(bytes) else { return false };
    guest_ram().iter().any(|bank| bank.start <= pa && end <= bank.end)
}

/// Reads a word of a table frame.
pub fn read(at: Pa) -> u64 {
    // SAFETY: frames are identity-mapped, aligned, and the caller's own.
    unsafe { (at.bits() as *const u64).read_volatile() }
}

/// Reads an aligned word of gnomon's own memory, whatever lies there, for the console. The address must be mapped.
pub fn peek(at: Pa) -> u64 {
    let value;
    // SAFETY: an aligned load from mapped RAM has no effect. It is an instruction and not a Rust access, because the word
    // may be part of an object that another CPU is writing; the value is then one of the two.
    unsafe {
        asm!("ldr {}, [{}]", out(reg) value, in(reg) at.bits(), options(nostack, readonly, preserves_flags));
    }
    value
}

/// Writes a word of a table frame; volatile, because table walkers read it.
pub fn write(at: Pa, value: u64) {
    // SAFETY: as for `read`.
    unsafe { (at.bits() as *mut u64).write_volatile(value) }
}

/// Clears a table frame.
pub fn zero_page(at: Pa) {
    let Some(block) = cache::zero_block_bytes() else {
        // SAFETY: as for `read`; nobody walks a table that was just allocated.
        return unsafe { (at.bits() as *mut u8).write_bytes(0, PAGE_BYTES as usize) };
    };
    for offset in (0..PAGE_BYTES).step_by(block as usize) {
        // SAFETY: as above. Blocks have at most 2 KiB.
        unsafe { cache::zero_block(at.bits() + offset) };
    }
}

/// A word of L1's RAM.
///
/// # Safety
///
/// [`Banks::has_word`].
unsafe fn guest_word(at: Ipa<L1>) -> &'static AtomicU64 {
    // SAFETY: mapped RAM of the guest, aligned, never part of a Rust object of ours; atomics allow for the guest's
    // own concurrent accesses.
    unsafe { AtomicU64::from_ptr(at.bits() as *mut u64) }
}

/// Reads an aligned word of L1's RAM.
pub fn read_guest(at: Ipa<L1>) -> Result<u64, Unreadable> {
    guest_ram().words().read(at)
}

/// L1's RAM, where its tables are.
pub struct GuestRam;

impl ReadTable<L1> for GuestRam {
    fn read(&self, at: Ipa<L1>) -> Result<u64, Unreadable> {
        read_guest(at)
    }
}

/// Replaces a word of L1's RAM if it is still `old`; says whether it was.
pub fn compare_exchange_guest(at: Ipa<L1>, old: u64, new: u64) -> Result<bool, Unreadable> {
    if !guest_ram().has_word(at) {
        return Err(Unreadable);
    }
    // SAFETY: just checked.
    let word = unsafe { guest_word(at) };
    Ok(word
        .compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
        .is_ok())
}

/// Copies `bytes` into L1's RAM at `to`, before L1 runs.
pub fn copy_to_guest(to: u64, bytes: &[u8]) -> Result<(), Unreadable> {
    if !is_guest_ram(to, bytes.len() as u64) {
        return Err(Unreadable);
    }
    // SAFETY: the destination is mapped RAM that no Rust object of ours lies in; a source slice in guest RAM may
    // overlap it, which `copy` allows.
    unsafe { core::ptr::copy(bytes.as_ptr(), to as *mut u8, bytes.len()) };
    Ok(())
}

/// `len` bytes of RAM from `at` on, as the boot loader left them.
///
/// # Safety
///
/// The range is mapped RAM that nothing writes while the slice is alive.
pub unsafe fn boot_bytes(at: u64, len: usize) -> &'static [u8] {
    // SAFETY: the caller vouches for it.
    unsafe { core::slice::from_raw_parts(at as *const u8, len) }
}
