//! A generic timer (DDI 0487, "The Generic Timer in AArch64 state") that is not in the hardware at the moment.
//!
//! A CPU has two timers below EL2, and a guest hypervisor with its guest has four. Those of whoever runs are in the
//! hardware; the other two are values: a control register and a compare value, from which everything else follows once
//! the count is known. Nothing here reads a counter.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

/// `CNT*_CTL.ENABLE`
pub const ENABLE: u64 = 1 << 0;
/// `CNT*_CTL.IMASK`
pub const IMASK: u64 = 1 << 1;
/// `CNT*_CTL.ISTATUS`, read-only.
pub const ISTATUS: u64 = 1 << 2;
/// What software can write of a control register.
pub const WRITABLE: u64 = ENABLE | IMASK;

/// Control register and compare value of a timer. Counts are in ticks of the timer's own counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    /// `CNT*_CTL`; only [`WRITABLE`] bits matter.
    pub ctl: u64,
    /// `CNT*_CVAL`
    pub cval: u64,
}

impl Timer {
    /// Whether the timer is on and its condition is met at `count` (`TimerConditionMet`, an unsigned comparison).
    #[must_use]
    pub const fn is_due(self, count: u64) -> bool {
        self.ctl & ENABLE != 0 && count >= self.cval
    }

    /// Whether it asserts its interrupt at `count`.
    #[must_use]
    pub const fn is_asserted(self, count: u64) -> bool {
        self.is_due(count) && self.ctl & IMASK == 0
    }

    /// The count at which it will assert its interrupt; `None` if it does already, or never will.
    #[must_use]
    pub const fn deadline(self, count: u64) -> Option<u64> {
        if self.ctl & WRITABLE == ENABLE && count < self.cval {
            Some(self.cval)
        } else {
            None
        }
    }

    /// `CNT*_CTL` as it reads at `count`: with `ISTATUS`, which is 0 while the timer is off.
    #[must_use]
    pub const fn read_ctl(self, count: u64) -> u64 {
        self.ctl & WRITABLE | if self.is_due(count) { ISTATUS } else { 0 }
    }

    /// `CNT*_TVAL` as it reads at `count`: ticks to go, the low 32 bits of a signed difference.
    #[must_use]
    pub const fn read_tval(self, count: u64) -> u64 {
        self.cval.wrapping_sub(count) & 0xffff_ffff
    }

    /// The compare value that writing `tval` to `CNT*_TVAL` at `count` gives: `tval` is a signed 32-bit distance.
    #[must_use]
    pub const fn cval_of_tval(tval: u64, count: u64) -> u64 {
        count.wrapping_add(tval as u32 as i32 as i64 as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ON: Timer = Timer { ctl: ENABLE, cval: 100 };

    #[test]
    fn condition_is_met_from_the_compare_value_on() {
        assert!(!ON.is_due(99));
        assert!(ON.is_due(100));
        assert!(ON.is_due(u64::MAX));
    }

    #[test]
    fn mask_hides_the_interrupt_but_not_the_status() {
        let masked = Timer {
            ctl: ENABLE | IMASK,
            ..ON
        };
        assert!(!masked.is_asserted(100));
        assert_eq!(masked.read_ctl(100), ENABLE | IMASK | ISTATUS);
        assert_eq!(masked.deadline(0), None);
    }

    #[test]
    fn a_timer_that_is_off_has_no_status_and_no_deadline() {
        let off = Timer { ctl: 0, ..ON };
        assert_eq!(off.read_ctl(100), 0);
        assert_eq!(off.deadline(0), None);
    }

    #[test]
    fn status_is_never_taken_from_what_was_written() {
        assert_eq!(Timer { ctl: !0, cval: 100 }.read_ctl(0), WRITABLE);
    }

    #[test]
    fn timer_value_is_negative_once_due() {
        assert_eq!(ON.read_tval(90), 10);
        assert_eq!(ON.read_tval(101), 0xffff_ffff);
    }

    #[test]
    fn writing_a_negative_timer_value_is_in_the_past() {
        assert_eq!(Timer::cval_of_tval(0xffff_fff6, 100), 90);
        assert_eq!(Timer::cval_of_tval(10, 100), 110);
    }

    proptest! {
        #[test]
        fn it_is_asserted_exactly_from_its_deadline_on(ctl in 0..8u64, cval: u64, count: u64) {
            let timer = Timer { ctl, cval };
            if let Some(deadline) = timer.deadline(count) {
                prop_assert!(deadline > count && !timer.is_asserted(count));
                prop_assert!(timer.is_asserted(deadline) && !timer.is_asserted(deadline - 1));
            } else if timer.ctl & WRITABLE == ENABLE {
                prop_assert!(timer.is_asserted(count));
            }
        }

        #[test]
        fn timer_value_written_reads_back(tval: u32, count: u64) {
            let cval = Timer::cval_of_tval(u64::from(tval), count);
            prop_assert_eq!(Timer { ctl: ENABLE, cval }.read_tval(count), u64::from(tval));
        }
    }
}
