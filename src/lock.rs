//! Spin locks that know who holds them: those that exits take.
//!
//! Taking one costs what any spin lock costs: the word that says that it is taken says by whom. Only a CPU that waits looks
//! further. It counts the time it waits, and when that is more than [`PATIENCE`] it panics: a lock is held for a bounded
//! time, so whoever holds this one never gives it back, or is this CPU itself. No time counts in which the CPU that waits
//! did not run, so that neither a slow host nor one that sleeps makes a defect of a wait. The locks of the console and of
//! its UART are not of this kind: whoever has those may wait for a terminal for as long as that pleases.

use core::{
    any,
    cell::UnsafeCell,
    hint,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    arch::{
        percpu,
        sysreg::{CNTFRQ_EL0, Readable},
    },
    layout,
    nested::timer,
};

/// How long a CPU waits for a lock, in seconds. A lock is held for a few milliseconds at most.
const PATIENCE: u64 = 10;
/// What the word says while nobody has the lock.
const FREE: u32 = 0;

/// A `T` that one CPU at a time has. All zero if the `T` is, so that the image need not hold it.
pub struct Mutex<T: ?Sized> {
    /// [`FREE`], or [`percpu::mark`] of the CPU that has the lock.
    holder: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value goes from CPU to CPU, but only one at a time has it.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: as for the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> Self {
        Self {
            holder: AtomicU32::new(FREE),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock and takes it.
    #[inline(always)]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        match self.try_lock() {
            Some(guard) => guard,
            None => self.wait(),
        }
    }

    /// Takes the lock if nobody has it.
    #[inline(always)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let taken = self
            .holder
            .compare_exchange(FREE, percpu::mark(), Ordering::Acquire, Ordering::Relaxed);
        // Only then is there a guard: one that is dropped gives the lock back.
        taken.is_ok().then(|| MutexGuard {
            lock: self,
            value: PhantomData,
        })
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn wait(&self) -> MutexGuard<'_, T> {
        let second = CNTFRQ_EL0.get();
        // Longer between two looks, and this CPU did not run.
        let step_max = second / 1000;
        let mut waited = 0;
        let mut last = timer::now();
        loop {
            let holder = self.holder.load(Ordering::Relaxed);
            if holder == FREE
                && let Some(guard) = self.try_lock()
            {
                return guard;
            }
            let now = timer::now();
            waited += now.wrapping_sub(last).min(step_max);
            last = now;
            if waited > PATIENCE * second {
                give_up(any::type_name::<T>(), holder);
            }
            hint::spin_loop();
        }
    }
}

#[track_caller]
fn give_up(what: &str, holder: u32) -> ! {
    match layout::cpu_of_emergency_stack(u64::from(holder)) {
        Some(cpu) => panic!("CPU {cpu} keeps the lock of {what}; waited {PATIENCE} s for it"),
        None => panic!("the lock of {what} is {holder:#x}, which is no CPU; waited {PATIENCE} s for it"),
    }
}

/// The value, for as long as this lives.
pub struct MutexGuard<'a, T: ?Sized> {
    lock: &'a Mutex<T>,
    /// It is shared among threads, and goes from one to another, where a reference to the value may.
    value: PhantomData<&'a mut T>,
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: this CPU has the lock, and the guard is borrowed as the value is.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.holder.store(FREE, Ordering::Release);
    }
}
