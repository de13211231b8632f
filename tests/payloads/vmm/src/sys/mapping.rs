//! Memory.

use core::{ptr, slice};

use super::{Errno, Fd, MADVISE, MMAP, MUNMAP, call};

/// Advice for [`Mapping::advise`].
pub(crate) const DONT_NEED: usize = 4;
pub(crate) const HUGE_PAGES: usize = 14;
pub(crate) const NO_HUGE_PAGES: usize = 15;

const PROT_READ_WRITE: usize = 3;
const MAP_SHARED: usize = 1;
const MAP_PRIVATE: usize = 2;
const MAP_ANONYMOUS: usize = 0x20;
const MAP_HUGETLB: usize = 0x4_0000;
const MAP_HUGE_SHIFT: u32 = 26;

/// Memory mapped into this process.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: usize,
    bytes: usize,
}

impl Mapping {
    fn map(bytes: usize, flags: usize, fd: i32, offset: u64) -> Result<Self, Errno> {
        let arguments = [0, bytes, PROT_READ_WRITE, flags, fd as usize, offset as usize];
        // SAFETY: the kernel chooses an address that is free.
        let address = unsafe { call(MMAP, arguments) }?;
        Ok(Self { address, bytes })
    }

    /// Memory of this process alone, zero.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn private(bytes: usize) -> Result<Self, Errno> {
        Self::map(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    }

    /// Memory that processes forked from now on share, zero.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn shared(bytes: usize) -> Result<Self, Errno> {
        Self::map(bytes, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    }

    /// One page of `1 << shift` bytes from the kernel's pool of such pages.
    ///
    /// # Errors
    ///
    /// When the pool has none.
    pub(crate) fn huge(shift: u32) -> Result<Self, Errno> {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (shift as usize) << MAP_HUGE_SHIFT;
        Self::map(1 << shift, flags, -1, 0)
    }

    /// A file, shared.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn file(fd: &Fd, offset: u64, bytes: usize) -> Result<Self, Errno> {
        Self::map(bytes, MAP_SHARED, fd.0, offset)
    }

    /// Where it is.
    pub(crate) const fn address(&self) -> usize {
        self.address
    }

    /// Tells the kernel what to do with a part.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn advise(&self, offset: usize, bytes: usize, advice: usize) -> Result<(), Errno> {
        assert!(offset <= self.bytes && bytes <= self.bytes - offset, "outside");
        // SAFETY: no advice used here makes memory go away; zeroes are as good as what was there.
        unsafe { call(MADVISE, [self.address + offset, bytes, advice, 0, 0, 0]) }.map(drop)
    }

    /// The eight bytes at an offset. Guests change them at any time.
    pub(crate) fn load(&self, offset: usize) -> u64 {
        // SAFETY: in bounds and aligned, as checked.
        unsafe { ptr::read_volatile(self.word(offset)) }
    }

    /// Stores eight bytes.
    pub(crate) fn store(&self, offset: usize, value: u64) {
        // SAFETY: in bounds and aligned, as checked.
        unsafe { ptr::write_volatile(self.word(offset), value) }
    }

    /// The word at an offset, for atomics that processes share.
    pub(crate) fn word(&self, offset: usize) -> *mut u64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.bytes, "outside");
        ptr::with_exposed_provenance_mut(self.address + offset)
    }

    /// Its bytes, for good.
    pub(crate) fn leak(self) -> &'static mut [u8] {
        let at = ptr::with_exposed_provenance_mut(self.address);
        let bytes = self.bytes;
        core::mem::forget(self);
        // SAFETY: nobody else has the mapping, and it is never given back.
        unsafe { slice::from_raw_parts_mut(at, bytes) }
    }

    /// Copies bytes to an offset.
    pub(crate) fn copy_in(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.bytes && bytes.len() <= self.bytes - offset, "outside");
        let to = ptr::with_exposed_provenance_mut::<u8>(self.address + offset);
        // SAFETY: in bounds, and a mapping overlaps with nothing of Rust's.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        let _ = unsafe { call(MUNMAP, [self.address, self.bytes, 0, 0, 0, 0]) };
    }
}
