//! Indices of a queue (IHI 0070, "SMMU circular queues").
//!
//! An index has one bit more than the queue needs. It tells a queue that is full from one that is empty: the places are
//! the same, and in a full queue the writer has gone round once more than the reader.

use crate::features::QUEUE_BITS;

/// In the producer's index of the event queue, and in the consumer's: whether events were lost, and whether that was seen.
/// They are unequal as long as it was not.
pub const OVERFLOW: u32 = 1 << 31;

/// The two indices of a queue, without their flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indices {
    /// Where the next entry is written.
    pub producer: u32,
    /// Where the next entry is read.
    pub consumer: u32,
}

impl Indices {
    /// Entries of a queue, as a power of two.
    pub const BITS: u32 = QUEUE_BITS;
    /// Entries of a queue.
    pub const ENTRIES: usize = 1 << Self::BITS;
    const MASK: u32 = (2 << Self::BITS) - 1;

    /// The indices in two registers.
    #[must_use]
    pub const fn of(producer: u32, consumer: u32) -> Self {
        Self {
            producer: producer & Self::MASK,
            consumer: consumer & Self::MASK,
        }
    }

    /// Whether there is nothing to read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.producer == self.consumer
    }

    /// The place of the next entry to be written; that counts as written from now on.
    pub const fn write(&mut self) -> usize {
        let place = Self::place(self.producer);
        self.producer = self.producer.wrapping_add(1) & Self::MASK;
        place
    }

    /// The place of the next entry to be read, if there is one; that counts as read from now on.
    pub const fn read(&mut self) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let place = Self::place(self.consumer);
        self.consumer = self.consumer.wrapping_add(1) & Self::MASK;
        Some(place)
    }

    const fn place(index: u32) -> usize {
        index as usize % Self::ENTRIES
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_once_and_in_order(bursts in vec((0_usize..200, 0_usize..200), 0..40)) {
            let mut memory = [0_usize; Indices::ENTRIES];
            let mut model = VecDeque::new();
            let mut indices = Indices::default();
            let mut count = 0;
            for (written, read) in bursts {
                for _ in 0..written {
                    if model.len() == Indices::ENTRIES {
                        break;
                    }
                    memory[indices.write()] = count;
                    model.push_back(count);
                    count += 1;
                    prop_assert!(!indices.is_empty());
                }
                for _ in 0..read {
                    let place = indices.read();
                    prop_assert_eq!(place.map(|place| memory[place]), model.pop_front());
                }
                prop_assert_eq!(indices.is_empty(), model.is_empty());
            }
        }

        #[test]
        fn no_registers_lead_out_of_the_queue(producer: u32, consumer: u32) {
            let mut indices = Indices::of(producer, consumer);
            let mut count = 0;
            while let Some(place) = indices.read() {
                prop_assert!(place < Indices::ENTRIES);
                count += 1;
            }
            // A device that lies about its index makes us read what is old, and not for ever.
            prop_assert!(count < 2 * Indices::ENTRIES);
        }
    }
}
