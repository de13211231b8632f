//! What happened on each CPU, for the console and for the last words of a panic.
//!
//! Off, a place that could record costs a load and a branch. On, it costs a few dozen instructions, takes no lock and
//! sends nothing: reading is the console's business, from another CPU, while recording goes on.

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use trace::{Depth, Event, Ring};

use crate::{layout::CPU_COUNT_MAX, nested::timer, vcpu::Context};

/// Events kept of each CPU.
pub const EVENTS: usize = 1024;

static RINGS: [Ring<EVENTS>; CPU_COUNT_MAX] = [const { Ring::new() }; CPU_COUNT_MAX];
/// Why exits go the long way: [`ON`], [`UNUSUAL`]. One word, because that is what every exit looks at.
static LONG_WAY: AtomicU8 = AtomicU8::new(0);
/// Events are recorded.
const ON: u8 = 1;
/// L1 is not of the kind that the short ways know.
const UNUSUAL: u8 = 1 << 1;

/// Whether events are recorded.
#[inline(always)]
pub fn is_on() -> bool {
    LONG_WAY.load(Relaxed) & ON != 0
}

/// Switches recording on or off. What was recorded stays.
pub fn set(is_on: bool) {
    if is_on {
        LONG_WAY.fetch_or(ON, Relaxed);
    } else {
        LONG_WAY.fetch_and(!ON, Relaxed);
    }
}

/// Whether an exit must not go one of the short ways, which record nothing and are made for an L1 with VHE.
#[inline(always)]
pub fn is_long_way() -> bool {
    LONG_WAY.load(Relaxed) != 0
}

/// Keeps every exit off the short ways for good.
pub fn close_short_ways() {
    LONG_WAY.fetch_or(UNUSUAL, Relaxed);
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
