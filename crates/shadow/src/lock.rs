//! The locks of the pool, their order, and whose they are: the firmware's spin, those of tests check.

use core::ops::DerefMut;

/// The locks of a pool, in the order in which a CPU takes several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Who gives slots to keys, and takes them back.
    Assigning,
    /// A shadow. Several are taken in the order of their numbers.
    Slot(u16),
    /// The log of writes.
    Log,
    /// The memory of TLBIs.
    Tlbis,
}

/// A kind of locks.
pub trait Locks {
    /// One around a `T`.
    type Of<T>: Lock<T>;
}

/// A lock around a `T`.
pub trait Lock<T> {
    /// What gives the lock back when it is dropped.
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a,
        T: 'a;

    /// A lock that nobody has.
    fn new(value: T, rank: Rank) -> Self;

    /// Waits for the lock and takes it.
    fn lock(&self) -> Self::Guard<'_>;

    /// Takes the lock if nobody has it.
    fn try_lock(&self) -> Option<Self::Guard<'_>>;
}

/// What a CPU has that has locked a `T`.
pub type GuardOf<'a, L, T> = <<L as Locks>::Of<T> as Lock<T>>::Guard<'a>;
