//! Who draws which numbers.

use bare::rng::SplitMix64;

/// The numbers of a seed for somebody who has it in common with others.
pub(crate) const fn numbers_of(seed: u64, of: u64) -> SplitMix64 {
    SplitMix64(seed ^ of.wrapping_mul(0xd6e8_feb8_6659_fd93))
}
