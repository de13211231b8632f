//! What happened on each CPU, for the console and for the last words of a panic.
//!
//! Off, a place that could record costs a load and a branch. On, it costs a few dozen instructions, takes no lock and
//! sends nothing: reading is the console's business, from another CPU, while recording goes on.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use trace::{Depth, Event, Ring};

use crate::{layout::CPU_COUNT_MAX, nested::timer, vcpu::Context};

/// Events kept of each CPU.
pub const EVENTS: usize = 1024;

static RINGS: [Ring<EVENTS>; CPU_COUNT_MAX] = [const { Ring::new() }; CPU_COUNT_MAX];
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Whether events are recorded.
pub fn is_on() -> bool {
    IS_ON.load(Relaxed)
}

/// Switches recording on or off. What was recorded stays.
pub fn set(is_on: bool) {
    IS_ON.store(is_on, Relaxed);
}

/// The events of `cpu`.
pub fn of(cpu: usize) -> Option<&'static Ring<EVENTS>> {
    RINGS.get(cpu)
}

/// Records what `event` makes, if recording is on. On `cpu` itself.
#[inline(always)]
pub fn record(cpu: usize, event: impl FnOnce() -> Event) {
    if is_on() {
        keep(cpu, &event());
    }
}

#[cold]
fn keep(cpu: usize, event: &Event) {
    if let Some(ring) = RINGS.get(cpu) {
        ring.record(timer::now(), event);
    }
}

/// Who runs in a context.
impl From<Context> for Depth {
    fn from(context: Context) -> Self {
        match context {
            Context::Host => Self::L1,
            Context::Nested => Self::L2,
        }
    }
}
