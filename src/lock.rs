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

use shadow::{Lock, Locks, Rank};

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
    word: Word,
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
            word: Word {
                holder: AtomicU32::new(FREE),
                waits: AtomicU32::new(0),
            },
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock and takes it.
    #[inline(always)]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        if !self.word.try_take() {
            self.word.wait(any::type_name::<T>());
        }
        self.guard()
    }

    /// Takes the lock if nobody has it.
    #[inline(always)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        // Only then is there a guard: one that is dropped gives the lock back.
        self.word.try_take().then(|| self.guard())
    }

    /// How often a CPU has waited for it, since boot.
    pub fn waits(&self) -> u32 {
        self.word.waits.load(Ordering::Relaxed)
    }

    /// Of this CPU, which has just taken the lock.
    #[inline(always)]
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            lock: self,
            value: PhantomData,
        }
    }
}

/// What says whose a lock is, whatever it is around.
struct Word {
    /// [`FREE`], or [`percpu::mark`] of the CPU that has the lock.
    holder: AtomicU32,
    /// How often a CPU has waited for it.
    waits: AtomicU32,
}

impl Word {
    #[inline(always)]
    fn try_take(&self) -> bool {
        let taken = self
            .holder
            .compare_exchange(FREE, percpu::mark(), Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok()
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn wait(&self, what: &str) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        let second = CNTFRQ_EL0.get();
        // Longer between two looks, and this CPU did not run.
        let step_max = second / 1000;
        let mut waited = 0;
        let mut last = timer::now();
        loop {
            let holder = self.holder.load(Ordering::Relaxed);
            if holder == FREE && self.try_take() {
                return;
            }
            let now = timer::now();
            waited += now.wrapping_sub(last).min(step_max);
            last = now;
            if waited > PATIENCE * second {
                give_up(what, holder);
            }
            hint::spin_loop();
        }
    }
}

/// What the pool of shadows locks with. Nothing looks at the order here: that is for the pool's tests.
pub struct Spin;

impl Locks for Spin {
    type Of<T> = Mutex<T>;
}

impl<T> Lock<T> for Mutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn new(value: T, _rank: Rank) -> Self {
        Self::new(value)
    }

    #[inline(always)]
    #[track_caller]
    fn lock(&self) -> MutexGuard<'_, T> {
        self.lock()
    }

    #[inline(always)]
    fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.try_lock()
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
        self.lock.word.holder.store(FREE, Ordering::Release);
    }
}
