//! Which events are worth a line.
//!
//! A device can be refused as often as its driver likes. Each event is counted. A line it gets if it is not like the one
//! before it, and only as long as there are lines to spend: some at once, and one more each second.

use crate::{Event, Reason};

/// What has come of devices so far.
#[derive(Clone, Copy, Debug)]
pub struct Report<const KEPT: usize> {
    /// Events so far.
    pub count: u64,
    /// Global errors so far, such as events that were lost because the queue was full.
    pub error_count: u64,
    /// The last events and when they were taken, at their number modulo `KEPT`.
    kept: [Kept; KEPT],
    /// Lines that were told and not yet given back. All zeros is nothing, so that nothing of it is in the image.
    spent: u32,
    /// Up to when lines have been given back.
    since: u64,
    /// Events since the last line.
    silent: u64,
}

/// An event and its time.
#[derive(Clone, Copy, Debug)]
struct Kept {
    time: u64,
    record: [u64; 4],
}

/// What events that are alike have in common: the device, the reason, the page, and how it is accessed.
fn kind(record: [u64; 4]) -> (u32, Reason, Option<(u64, bool)>) {
    let event = Event::decode(record);
    let access = event.access.map(|access| (access.address >> 12, access.is_read));
    (event.stream, event.reason, access)
}

/// What is to be said of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// Nothing.
    Nothing,
    /// What it was, and how many before it nothing was said of.
    Line(u64),
}

/// Lines that may come one after the other.
const LINES_MAX: u32 = 16;

impl<const KEPT: usize> Report<KEPT> {
    /// Of nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: 0,
            error_count: 0,
            kept: [Kept {
                time: 0,
                record: [0; 4],
            }; KEPT],
            spent: 0,
            since: 0,
            silent: 0,
        }
    }

    /// Takes the event of a record in at the time `now` of a clock that advances `frequency` times a second.
    pub fn take(&mut self, record: [u64; 4], now: u64, frequency: u64) -> Tell {
        let is_alike = self.count != 0 && kind(self.kept(self.count.wrapping_sub(1)).record) == kind(record);
        let place = self.count % KEPT as u64;
        if let Some(slot) = self.kept.get_mut(place as usize) {
            *slot = Kept { time: now, record };
        }
        self.count = self.count.wrapping_add(1);
        self.give_lines_back(now, frequency.max(1));
        if is_alike || self.spent == LINES_MAX {
            self.silent = self.silent.wrapping_add(1);
            return Tell::Nothing;
        }
        self.spent = self.spent.saturating_add(1);
        Tell::Line(core::mem::take(&mut self.silent))
    }

    fn give_lines_back(&mut self, now: u64, frequency: u64) {
        let seconds = now.saturating_sub(self.since) / frequency;
        self.spent = self.spent.saturating_sub(u32::try_from(seconds).unwrap_or(LINES_MAX));
        self.since = self.since.saturating_add(seconds.saturating_mul(frequency));
    }

    /// The event with the highest number below `before` that is still known: number, time, event.
    #[must_use]
    pub fn latest(&self, before: u64) -> Option<(u64, u64, Event)> {
        let number = before.min(self.count).checked_sub(1)?;
        let is_kept = number.saturating_add(KEPT as u64) >= self.count;
        let kept = self.kept(number);
        is_kept.then(|| (number, kept.time, Event::decode(kept.record)))
    }

    /// The event at the place of this number.
    fn kept(&self, number: u64) -> Kept {
        self.kept[(number % KEPT as u64) as usize]
    }
}

impl<const KEPT: usize> Default for Report<KEPT> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn record(stream: u32) -> [u64; 4] {
        [u64::from(stream) << 32 | 0x10, 0, 0, 0]
    }

    #[test]
    fn the_first_events_are_told_and_then_one_a_second() {
        let mut report = Report::<4>::new();
        let mut devices = (0..).map(record);
        let mut take = |now| report.take(devices.next().unwrap(), now, 100);
        for _ in 0..LINES_MAX {
            assert_eq!(take(5), Tell::Line(0));
        }
        for _ in 0..1000 {
            assert_eq!(take(99), Tell::Nothing);
        }
        assert_eq!(take(100), Tell::Line(1000));
        assert_eq!(take(199), Tell::Nothing);
        assert_eq!(take(200), Tell::Line(1));
        assert_eq!(report.count, u64::from(LINES_MAX) + 1003);
    }

    #[test]
    fn what_is_like_the_event_before_it_is_only_counted() {
        let mut report = Report::<4>::new();
        let at = |address| [0x10_0000_0010, 0, address, 0];
        assert_eq!(report.take(at(0x1000), 0, 1), Tell::Line(0));
        assert_eq!(report.take(at(0x1ffc), 0, 1), Tell::Nothing);
        assert_eq!(report.take(at(0x1000), 0, 1), Tell::Nothing);
        assert_eq!(report.take(at(0x2000), 0, 1), Tell::Line(2));
        assert_eq!(report.take([0x10_0000_0010, 1 << 35, 0x2000, 0], 0, 1), Tell::Line(0));
    }

    #[test]
    fn the_last_events_are_kept_the_latest_first() {
        let mut report = Report::<4>::new();
        assert_eq!(report.latest(u64::MAX), None);
        for number in 0..10 {
            report.take(record(number), u64::from(number) * 3, 1);
        }
        let mut before = u64::MAX;
        for number in (6..10_u32).rev() {
            let at = u64::from(number);
            assert_eq!(report.latest(before), Some((at, at * 3, Event::decode(record(number)))));
            before = at;
        }
        assert_eq!(report.latest(before), None);
    }

    proptest! {
        #[test]
        fn lines_are_bounded_by_time(steps in vec((0_u64..300, 0_u32..3), 0..400)) {
            const FREQUENCY: u64 = 100;
            let mut report = Report::<2>::new();
            let (mut now, mut lines, mut told) = (0, 0, 0);
            for (step, device) in steps {
                now += step;
                if let Tell::Line(silent) = report.take(record(device), now, FREQUENCY) {
                    lines += 1;
                    told += silent + 1;
                }
                prop_assert!(lines <= u64::from(LINES_MAX) + now / FREQUENCY);
            }
            prop_assert_eq!(told + report.silent, report.count);
        }
    }
}
