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

/// More ticks than there ever are.
pub const NEVER: u64 = u64::MAX;

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

    /// Ticks until it asserts its interrupt when it is `count`: 0 if it does already, and [`NEVER`] if nothing comes of it.
    #[must_use]
    #[inline(always)]
    pub const fn ticks_to_go(self, count: u64) -> u64 {
        if self.ctl & WRITABLE == ENABLE {
            self.cval.saturating_sub(count)
        } else {
            NEVER
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
        assert_eq!(masked.ticks_to_go(0), NEVER);
    }

    #[test]
    fn a_timer_that_is_off_has_no_status_and_no_ticks_to_go() {
        let off = Timer { ctl: 0, ..ON };
        assert_eq!(off.read_ctl(100), 0);
        assert_eq!(off.ticks_to_go(0), NEVER);
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
        fn it_is_asserted_exactly_when_no_ticks_are_to_go(ctl in 0..8u64, cval: u64, count: u64) {
            let timer = Timer { ctl, cval };
            match timer.ticks_to_go(count) {
                0 => prop_assert!(timer.is_asserted(count)),
                NEVER => prop_assert!(!timer.is_asserted(u64::MAX - 1)),
                ticks => prop_assert!(!timer.is_asserted(count + ticks - 1) && timer.is_asserted(count + ticks)),
            }
        }

        #[test]
        fn timer_value_written_reads_back(tval: u32, count: u64) {
            let cval = Timer::cval_of_tval(u64::from(tval), count);
            prop_assert_eq!(Timer { ctl: ENABLE, cval }.read_tval(count), u64::from(tval));
        }
    }
}
