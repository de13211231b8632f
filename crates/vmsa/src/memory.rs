//! How translation tables are read.

use crate::Addr;
use core::fmt;

/// Translation-table memory of the address space `S`.
///
/// A table walk is a sequence of 64-bit single-copy atomic loads; this is one of them.
/// Implementations must tolerate any address: tables of a guest may point anywhere.
pub trait ReadTable<S> {
    /// The eight bytes at `at` (a multiple of 8) as a little-endian number, whatever the byte order
    /// of the tables: the walker swaps.
    ///
    /// # Errors
    ///
    /// `Unreadable` where there is no memory that tables may live in. The walk then ends like an
    /// external abort.
    fn read(&self, at: Addr<S>) -> Result<u64, Unreadable>;
}

impl<S, T: ReadTable<S> + ?Sized> ReadTable<S> for &T {
    fn read(&self, at: Addr<S>) -> Result<u64, Unreadable> {
        (**self).read(at)
    }
}

/// There is no readable memory at a table's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no readable memory at the table's address")
    }
}

impl core::error::Error for Unreadable {}
