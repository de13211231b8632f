//! Time, and waiting.

use core::ptr;

use super::{CLOCK_GETTIME, NANOSLEEP, PPOLL, STDIN, call};

/// Seconds and nanoseconds of a duration or a clock, as the kernel has them.
#[repr(C)]
struct Timespec {
    seconds: u64,
    nanoseconds: u64,
}

impl Timespec {
    const fn of_ms(ms: u64) -> Self {
        Self {
            seconds: ms / 1000,
            nanoseconds: ms % 1000 * 1_000_000,
        }
    }
}

/// Milliseconds of the clock that only goes forward.
pub(crate) fn now_ms() -> u64 {
    const CLOCK_MONOTONIC: usize = 1;
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    let at = ptr::from_mut(&mut time).expose_provenance();
    // SAFETY: the time is where the argument says.
    let _ = unsafe { call(CLOCK_GETTIME, [CLOCK_MONOTONIC, at, 0, 0, 0, 0]) };
    time.seconds * 1000 + time.nanoseconds / 1_000_000
}

/// Sleeps.
pub(crate) fn sleep_ms(ms: u64) {
    let time = Timespec::of_ms(ms);
    let at = ptr::from_ref(&time).expose_provenance();
    // SAFETY: the time is where the argument says, and the kernel does not write what remains.
    let _ = unsafe { call(NANOSLEEP, [at, 0, 0, 0, 0, 0]) };
}

/// Waits for something to be typed, but not longer than this. Says whether there is something.
pub(crate) fn is_typed_within(ms: u64) -> bool {
    /// `struct pollfd`, for data to be read.
    #[repr(C)]
    struct PollFd {
        fd: i32,
        events: u16,
        returned: u16,
    }
    const POLLIN: u16 = 1;
    let mut input = PollFd {
        fd: STDIN,
        events: POLLIN,
        returned: 0,
    };
    let time = Timespec::of_ms(ms);
    let time = ptr::from_ref(&time).expose_provenance();
    let at = ptr::from_mut(&mut input).expose_provenance();
    // SAFETY: one descriptor and the time are where the arguments say, and nobody else has them.
    unsafe { call(PPOLL, [at, 1, time, 0, 0, 0]) }.is_ok_and(|count| count > 0)
}
