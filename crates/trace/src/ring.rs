//! The last events of one CPU.

#[cfg(test)]
mod loom_tests;

use core::sync::atomic::{
    AtomicU64, Ordering,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use crate::event::{Event, WORDS};

/// An atomic word, and the fence that orders accesses to such words: the CPU's, but where a checker plays the CPU.
pub trait Word {
    /// Reads it.
    fn load(&self, order: Ordering) -> u64;
    /// Writes it.
    fn store(&self, value: u64, order: Ordering);
    /// Orders accesses before it and after it.
    fn fence(order: Ordering);
}

impl Word for AtomicU64 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }

    #[inline(always)]
    fn fence(order: Ordering) {
        fence(order);
    }
}

/// An event with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In ticks of the counter.
    pub time: u64,
    /// What happened.
    pub event: Event,
}

/// One place. `frame` is 0 before the first use, 2 *n* + 1 while event *n* is being written, 2 *n* + 2 afterwards.
struct Slot<W> {
    frame: W,
    time: W,
    words: [W; WORDS],
}

impl Slot<AtomicU64> {
    const fn empty() -> Self {
        Self {
            frame: AtomicU64::new(0),
            time: AtomicU64::new(0),
            words: [const { AtomicU64::new(0) }; WORDS],
        }
    }
}

/// The last `N` events. All zero when empty, so that a `static` takes no room in an image.
pub struct Ring<const N: usize, W = AtomicU64> {
    /// Events recorded since the beginning.
    count: W,
    slots: [Slot<W>; N],
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Ring<N> {
    /// An empty ring.
    #[must_use]
    pub const fn new() -> Self {
        assert!(N.is_power_of_two(), "the place of an event is its number, masked");
        Self {
            count: AtomicU64::new(0),
            slots: [const { Slot::empty() }; N],
        }
    }
}

impl<const N: usize, W: Word> Ring<N, W> {
    /// Events recorded since the beginning. Those from this less `N` on may still be there.
    pub fn count(&self) -> u64 {
        self.count.load(Acquire)
    }

    /// Adds an event; the oldest goes. From one CPU at a time.
    pub fn record(&self, time: u64, event: &Event) {
        let number = self.count.load(Relaxed);
        let Some(slot) = self.slots.get(number as usize & (N - 1)) else {
            return;
        };
        slot.frame.store(2 * number + 1, Relaxed);
        // Who sees any of the words below sees the odd frame too.
        W::fence(Release);
        slot.time.store(time, Relaxed);
        for (slot, word) in slot.words.iter().zip(event.to_words()) {
            slot.store(word, Relaxed);
        }
        slot.frame.store(2 * number + 2, Release);
        self.count.store(number + 1, Release);
    }

    /// Event `number`, counted from the beginning; `None` if it is not there any more, or not yet.
    pub fn get(&self, number: u64) -> Option<Entry> {
        let slot = self.slots.get(number as usize & (N - 1))?;
        let whole = number.checked_mul(2)?.checked_add(2)?;
        if slot.frame.load(Acquire) != whole {
            return None;
        }
        let time = slot.time.load(Relaxed);
        let mut words = [0; WORDS];
        for (word, slot) in words.iter_mut().zip(&slot.words) {
            *word = slot.load(Relaxed);
        }
        // The words were read before the frame is looked at again.
        W::fence(Acquire);
        if slot.frame.load(Relaxed) != whole {
            return None;
        }
        Event::from_words(words).map(|event| Entry { time, event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Depth;
    use std::{sync::Arc, thread};

    fn entry(pc: u64) -> Event {
        Event::Entry { pc, to: Depth::L1 }
    }

    #[test]
    fn the_last_events_are_kept() {
        let ring = Ring::<4>::new();
        assert_eq!(ring.get(0), None);
        for number in 0..10 {
            ring.record(number, &entry(100 + number));
        }
        assert_eq!(ring.count(), 10);
        assert_eq!(ring.get(5), None);
        for number in 6..10 {
            let expected = Entry {
                time: number,
                event: entry(100 + number),
            };
            assert_eq!(ring.get(number), Some(expected));
        }
        assert_eq!(ring.get(10), None);
        assert_eq!(ring.get(u64::MAX), None);
    }

    #[test]
    fn no_reader_sees_half_an_event() {
        const EVENTS: u64 = if cfg!(miri) { 100 } else { 200_000 };
        let ring = Arc::new(Ring::<8>::new());
        let writer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                for number in 0..EVENTS {
                    let event = Event::NestedEret {
                        elr: number,
                        spsr: number ^ u64::MAX,
                        hcr: number << 1,
                    };
                    ring.record(number, &event);
                }
            })
        };
        while ring.count() < EVENTS {
            let number = ring.count().saturating_sub(3);
            if let Some(entry) = ring.get(number) {
                let whole = Event::NestedEret {
                    elr: number,
                    spsr: number ^ u64::MAX,
                    hcr: number << 1,
                };
                assert_eq!((entry.time, entry.event), (number, whole));
            }
        }
        writer.join().unwrap();
    }
}
