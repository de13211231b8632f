//! Registers of devices, where gnomon itself may be a guest.
//!
//! Each access is one load or store of one general register, without writeback. That is what an exception describes in full
//! (DDI 0487, "ISS encoding for an exception from a Data Abort", ISV), so that a hypervisor below can emulate the device. The
//! compiler's volatile accesses may be any instructions.

use core::{arch::asm, cell::UnsafeCell};

/// A type that registers have.
pub trait Word: Copy {
    /// Loads it.
    ///
    /// # Safety
    ///
    /// At `from` is a register of that size, which may be read.
    unsafe fn load(from: *const Self) -> Self;

    /// Stores it.
    ///
    /// # Safety
    ///
    /// At `to` is a register of that size, which may be written.
    unsafe fn store(to: *mut Self, value: Self);
}

macro_rules! words {
    ($($word:ty: $load:literal, $store:literal;)*) => {$(
        impl Word for $word {
            #[inline(always)]
            unsafe fn load(from: *const Self) -> Self {
                let value;
                // SAFETY: the caller vouches for the address.
                unsafe { asm!($load, value = out(reg) value, at = in(reg) from, options(nostack, preserves_flags)) }
                value
            }

            #[inline(always)]
            unsafe fn store(to: *mut Self, value: Self) {
                // SAFETY: the caller vouches for the address.
                unsafe { asm!($store, value = in(reg) value, at = in(reg) to, options(nostack, preserves_flags)) }
            }
        }
    )*};
}

words! {
    u8: "ldrb {value:w}, [{at}]", "strb {value:w}, [{at}]";
    u32: "ldr {value:w}, [{at}]", "str {value:w}, [{at}]";
    u64: "ldr {value:x}, [{at}]", "str {value:x}, [{at}]";
}

/// A register that may be read and written. It is where the device is: there is no other way to have one.
#[repr(transparent)]
pub struct ReadWrite<T>(UnsafeCell<T>);

impl<T: Word> ReadWrite<T> {
    /// Reads it.
    #[inline(always)]
    pub fn get(&self) -> T {
        // SAFETY: nothing makes a value of this type but a reference to a register where the device is, of the size of `T`.
        unsafe { T::load(self.0.get()) }
    }

    /// Writes it.
    #[inline(always)]
    pub fn set(&self, value: T) {
        // SAFETY: as for `get`; devices expect to be written through shared references.
        unsafe { T::store(self.0.get(), value) }
    }
}

/// A register that may only be read.
#[repr(transparent)]
pub struct ReadOnly<T>(ReadWrite<T>);

impl<T: Word> ReadOnly<T> {
    /// Reads it.
    #[inline(always)]
    pub fn get(&self) -> T {
        self.0.get()
    }
}
