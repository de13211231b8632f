//! The power state of one vCPU.

use arm_psci::{AffinityInfo, ErrorCode};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

const OFF: u8 = 0;
/// Between off and pending, while the entry is being written.
const CLAIMED: u8 = 1;
const ON_PENDING: u8 = 2;
const ON: u8 = 3;

/// The power state of one vCPU, and where it starts.
#[derive(Debug)]
pub struct CpuPower {
    state: AtomicU8,
    entry: AtomicU64,
    argument: AtomicU64,
}

impl Default for CpuPower {
    fn default() -> Self {
        Self::new()
    }
}

impl CpuPower {
    /// Off.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: AtomicU8::new(OFF),
            entry: AtomicU64::new(0),
            argument: AtomicU64::new(0),
        }
    }

    /// Asks the CPU to start its vCPU at `entry` with `argument` in `x0`.
    ///
    /// # Errors
    ///
    /// Unless it is off.
    pub fn switch_on(&self, entry: u64, argument: u64) -> Result<(), ErrorCode> {
        // Taken to "pending" only when the entry is in place, so that the target never sees a stale one; two callers
        // cannot both come from "off", because the exchange decides which of them owns the fields.
        match self
            .state
            .compare_exchange(OFF, CLAIMED, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => {}
            Err(ON) => return Err(ErrorCode::AlreadyOn),
            Err(_) => return Err(ErrorCode::OnPending),
        }
        self.entry.store(entry, Ordering::Relaxed);
        self.argument.store(argument, Ordering::Relaxed);
        self.state.store(ON_PENDING, Ordering::Release);
        Ok(())
    }

    /// Takes a request to start, if there is one: entry and argument. Only the CPU itself asks.
    pub fn take_request(&self) -> Option<(u64, u64)> {
        if self.state.load(Ordering::Acquire) != ON_PENDING {
            return None;
        }
        let request = (
            self.entry.load(Ordering::Relaxed),
            self.argument.load(Ordering::Relaxed),
        );
        self.state.store(ON, Ordering::Release);
        Some(request)
    }

    /// The vCPU has stopped for good, and its CPU has put everything of it away.
    pub fn switch_off(&self) {
        self.state.store(OFF, Ordering::Release);
    }

    /// What `AFFINITY_INFO` says of it.
    #[must_use]
    pub fn affinity_info(&self) -> AffinityInfo {
        match self.state.load(Ordering::Acquire) {
            OFF => AffinityInfo::Off,
            ON => AffinityInfo::On,
            _ => AffinityInfo::OnPending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    #[test]
    fn a_cpu_is_off_pending_on_and_off_again() {
        let power = CpuPower::new();
        assert_eq!(power.affinity_info(), AffinityInfo::Off);
        assert_eq!(power.take_request(), None);
        assert_eq!(power.switch_on(0x4000, 7), Ok(()));
        assert_eq!(power.affinity_info(), AffinityInfo::OnPending);
        assert_eq!(power.switch_on(0x5000, 8), Err(ErrorCode::OnPending));
        assert_eq!(power.take_request(), Some((0x4000, 7)));
        assert_eq!(power.take_request(), None);
        assert_eq!(power.affinity_info(), AffinityInfo::On);
        assert_eq!(power.switch_on(0x5000, 8), Err(ErrorCode::AlreadyOn));
        power.switch_off();
        assert_eq!(power.affinity_info(), AffinityInfo::Off);
    }

    #[test]
    fn of_all_who_switch_a_cpu_on_one_succeeds_and_it_is_his_entry() {
        const CALLERS: u64 = 3;
        const ROUNDS: usize = if cfg!(miri) { 20 } else { 2000 };
        let (power, accepted, taken) = (CpuPower::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for caller in 1..=CALLERS {
                let (power, accepted, taken) = (&power, &accepted, &taken);
                scope.spawn(move || {
                    while taken.load(Ordering::Relaxed) < ROUNDS {
                        if power.switch_on(caller << 12, caller).is_ok() {
                            accepted.fetch_add(1, Ordering::Relaxed);
                        }
                        thread::yield_now();
                    }
                });
            }
            while taken.load(Ordering::Relaxed) < ROUNDS {
                if let Some((entry, argument)) = power.take_request() {
                    assert_eq!(entry, argument << 12, "a mixture of two requests");
                    taken.fetch_add(1, Ordering::Relaxed);
                    power.switch_off();
                }
                thread::yield_now();
            }
        });
        let waiting = usize::from(power.take_request().is_some());
        assert_eq!(accepted.into_inner(), taken.into_inner() + waiting);
    }
}
