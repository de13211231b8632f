//! Memory for tables of a guest's, in which every pointer leads somewhere.

use vmsa::{Addr, ReadTable, Unreadable};

use crate::Input;

const PAGES: u64 = 8;
const WORDS: u64 = PAGES << 9;
/// From here on there is no memory.
const END: u64 = 1 << 47;

/// Eight pages over and over again, up to [`END`].
pub(super) struct Pages(Vec<u64>);

impl Pages {
    /// Pages with what `input` has for them.
    pub(super) fn take(input: &mut Input<'_>) -> Self {
        let mut words = vec![0; WORDS as usize];
        for _ in 0..input.below(24) {
            // The first and the last few entries, mostly.
            let index = match input.half() {
                any if any & 0x8000 != 0 => usize::from(any) % WORDS as usize,
                few => usize::from(few & 0xe00 | few & 3 | ((few & 4) * 0x7f)) % WORDS as usize,
            };
            words[index] = descriptor(input);
        }
        Self(words)
    }
}

/// A table, a leaf, or anything.
fn descriptor(input: &mut Input<'_>) -> u64 {
    let target = u64::from(input.byte()) << 12;
    let desc = match input.below(8) {
        0 => input.word(),
        1 => target | 1,
        2 => target << 18 | input.double() & 0xfff0_0000_0000_0ffc | 1,
        3 => target << 9 | input.double() & 0xfff0_0000_0000_0ffc | 3,
        _ => target | 3,
    };
    if input.below(16) == 0 { desc.swap_bytes() } else { desc }
}

impl<S> ReadTable<S> for Pages {
    fn read(&self, at: Addr<S>) -> Result<u64, Unreadable> {
        if at.bits() >= END {
            return Err(Unreadable);
        }
        Ok(self.0[(at.bits() % (WORDS * 8) / 8) as usize])
    }
}
