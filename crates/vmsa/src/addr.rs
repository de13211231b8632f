//! Addresses that know which address space they belong to.
//!
//! A shadow fault has two IPAs in hand, the L2 IPA that faulted and the L1 IPA it translates to,
//! and both are plain 64-bit numbers. The marker type makes mixing them a type error. Converting
//! between spaces is only possible by a translation ([`walk`](crate::stage2::walk)) or by going
//! through [`Addr::bits`], which stands out in review.

use core::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
};

/// Marks the physical address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phys {}

/// Marks the intermediate physical address space of L1, the guest hypervisor: output of L1's own
/// translations, input of the host stage 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L1 {}

/// Marks the intermediate physical address space of an L2: input of a guest stage 2 and of its
/// shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L2 {}

/// Marks a virtual address space: the input of whichever stage 1 is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Virt {}

/// A virtual address of a guest, L1 or L2.
pub type GuestVa = Addr<Virt>;

/// A physical address.
pub type Pa = Addr<Phys>;

/// An intermediate physical address of the virtual machine `L` ([`L1`] or [`L2`]).
pub type Ipa<L> = Addr<L>;

/// An address in the address space `S`.
pub struct Addr<S>(u64, PhantomData<fn() -> S>);

impl<S> Addr<S> {
    /// The address with these bits. The caller vouches that they are meant for the space `S`.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits, PhantomData)
    }

    /// The bare number.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The highest multiple of `alignment` (a power of two, in bytes) that is not above this
    /// address.
    #[must_use]
    pub const fn align_down(self, alignment: u64) -> Self {
        Self::new(self.0 & !(alignment.wrapping_sub(1)))
    }

    /// Whether this is a multiple of `alignment`, a power of two in bytes.
    #[must_use]
    pub const fn is_aligned(self, alignment: u64) -> bool {
        self.offset_in(alignment) == 0
    }

    /// The distance in bytes from [`align_down`](Self::align_down)`(size)`: the offset within a
    /// block of `size` bytes.
    #[must_use]
    pub const fn offset_in(self, size: u64) -> u64 {
        self.0 & size.wrapping_sub(1)
    }

    /// The offset within a 4 KiB page.
    #[must_use]
    pub const fn page_offset(self) -> u64 {
        self.offset_in(0x1000)
    }

    /// The address `bytes` above this one, or `None` if there is none in 64 bits.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self::new(sum)),
            None => None,
        }
    }
}

// Written out because a derive would ask the same of `S`, which is never instantiated.

impl<S> Clone for Addr<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Addr<S> {}

impl<S> PartialEq for Addr<S> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<S> Eq for Addr<S> {}

impl<S> PartialOrd for Addr<S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S> Ord for Addr<S> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<S> Hash for Addr<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<S> fmt::Debug for Addr<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl<S> fmt::Display for Addr<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl<S> fmt::LowerHex for Addr<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_is_towards_zero() {
        let pa = Pa::new(0x4020_1234);
        assert_eq!(pa.align_down(0x20_0000), Pa::new(0x4020_0000));
        assert_eq!(pa.offset_in(0x20_0000), 0x1234);
        assert_eq!(pa.page_offset(), 0x234);
        assert!(!pa.is_aligned(0x1000));
    }

    #[test]
    fn addition_stops_at_the_end_of_the_space() {
        assert_eq!(Ipa::<L2>::new(u64::MAX).checked_add(1), None);
        assert_eq!(Ipa::<L2>::new(1).checked_add(2), Some(Ipa::new(3)));
    }
}
