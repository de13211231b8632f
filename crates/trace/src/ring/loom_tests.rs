//! A writer and a reader in the orders that the memory model of the language allows, played by `loom`: all of them in which
//! a thread is interrupted three times at most.
//!
//! That the checker can find a missing order is shown by rings that lack one each.

use core::sync::atomic::Ordering;

use loom::{
    model::Builder,
    sync::{Arc, atomic},
    thread,
};

use super::*;
use crate::event::Depth;

/// A word of the checker's, with the orders that `KEPT` has a bit for.
struct Checked<const KEPT: u8>(atomic::AtomicU64);

/// Fences that are none without it; so for acquiring loads and releasing stores.
const FENCES: u8 = 1;
const ACQUIRES: u8 = 2;
const RELEASES: u8 = 4;
const ALL: u8 = FENCES | ACQUIRES | RELEASES;

impl<const KEPT: u8> Word for Checked<KEPT> {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(if KEPT & ACQUIRES != 0 { order } else { Relaxed })
    }

    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, if KEPT & RELEASES != 0 { order } else { Relaxed });
    }

    fn fence(order: Ordering) {
        if KEPT & FENCES != 0 {
            atomic::fence(order);
        }
    }
}

fn ring<const N: usize, const KEPT: u8>() -> Ring<N, Checked<KEPT>> {
    let word = || Checked(atomic::AtomicU64::new(0));
    let slot = |_| Slot {
        frame: word(),
        time: word(),
        words: core::array::from_fn(|_| word()),
    };
    Ring {
        count: word(),
        slots: core::array::from_fn(slot),
    }
}

/// Event `number`: what is in its words tells it from any other.
fn event(number: u64) -> Event {
    Event::Entry {
        pc: 100 + number,
        to: Depth::L1,
    }
}

/// Two events are written to a ring with one place, while a reader asks for each.
fn check<const KEPT: u8>() {
    let mut checker = Builder::new();
    checker.preemption_bound = Some(3);
    checker.check(|| {
        let ring = Arc::new(ring::<1, KEPT>());
        let writer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || (0..2).for_each(|number| ring.record(number, &event(number))))
        };
        for number in 0..2 {
            if let Some(entry) = ring.get(number) {
                assert_eq!((entry.time, entry.event), (number, event(number)), "half an event");
            }
        }
        writer.join().unwrap();
        assert_eq!(
            ring.get(1).map(|entry| entry.event),
            Some(event(1)),
            "what is written is there"
        );
    });
}

#[test]
fn in_no_order_of_accesses_half_an_event_is_read() {
    check::<ALL>();
}

#[test]
#[should_panic(expected = "half an event")]
fn without_its_fences_half_an_event_would_be_read() {
    check::<{ ALL & !FENCES }>();
}

#[test]
#[should_panic(expected = "half an event")]
fn without_acquiring_half_an_event_would_be_read() {
    check::<{ ALL & !ACQUIRES }>();
}

#[test]
#[should_panic(expected = "half an event")]
fn without_releasing_half_an_event_would_be_read() {
    check::<{ ALL & !RELEASES }>();
}
