//! `timer`: the four timers of each vCPU, who counts for them, and when they are due.

use core::fmt;

use hyp::{
    arch::sysreg::{CNTFRQ_EL0, Readable},
    nested::timer::intid,
    vcpu::Context,
};
use vtimer::Timer;
use wire::Hex;

use super::{Entry, Output, Progress, Task};
use crate::{error::CommandError, inspect::Snapshot, round::Round, system::System};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "timer",
    usage: "timer [vcpuN]",
    help: "the timers of L1 and L2: whether the hardware or gnomon counts for them, and how long until they are due",
    example: "timer vcpu0",
    words: super::vcpu_names,
    run,
};

const HARDWARE: &str = "hardware";
const SOFTWARE: &str = "software";

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let vcpu = match arguments {
        [] => None,
        [name] => Some(super::find_vcpu(name, system)?),
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    };
    Ok(Task::Timer(Timers {
        round: Round::new(vcpu, system),
        has_begun: false,
    }))
}

/// The listing in progress.
pub struct Timers {
    round: Round,
    has_begun: bool,
}

impl Timers {
    /// Prints the timers of the next vCPU.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        if !self.has_begun {
            self.has_begun = true;
            out.heading(format_args!("{}", wire::Timer::HEADING))?;
        }
        self.round.step(system, out, print)
    }
}

fn print(snapshot: &Snapshot, out: &mut Output) -> fmt::Result {
    let timers = &snapshot.timers;
    let (now, guest_now) = (timers.now, timers.guest_virtual_now());
    let (l1, l2) = match snapshot.context {
        Context::Host => (HARDWARE, SOFTWARE),
        Context::Nested => (SOFTWARE, HARDWARE),
    };
    let rows = [
        ("CNTHP", "L1", l1, intid::HYP_PHYSICAL, timers.l1.hyp_physical, now),
        ("CNTHV", "L1", l1, intid::HYP_VIRTUAL, timers.l1.hyp_virtual, now),
        ("CNTP", "L2", l2, intid::PHYSICAL, timers.guest_physical, now),
        ("CNTV", "L2", l2, intid::VIRTUAL, timers.guest_virtual, guest_now),
        ("wake-up", "hw", HARDWARE, intid::HYP_PHYSICAL, timers.wake_up, now),
    ];
    for (timer, whose, place, intid, value, count) in rows {
        let ticks = ticks_from(value, count);
        out.row(&wire::Timer {
            vcpu: snapshot.cpu,
            timer,
            whose,
            place,
            intid,
            ctl: Hex(value.read_ctl(count)),
            cval: Hex(value.cval),
            count: Hex(count),
            ticks,
            microseconds: microseconds(ticks),
        })?;
    }
    out.row(&wire::Counter {
        vcpu: snapshot.cpu,
        physical: Hex(now),
        offset: Hex(timers.offset),
        frequency: CNTFRQ_EL0.get(),
    })
}

/// Ticks from `count` to the compare value, which is compared without a sign: far ahead stays far ahead.
fn ticks_from(timer: Timer, count: u64) -> i64 {
    let distance = |from: u64, to: u64| i64::try_from(to - from).unwrap_or(i64::MAX);
    if timer.cval >= count {
        distance(count, timer.cval)
    } else {
        -distance(timer.cval, count)
    }
}

fn microseconds(ticks: i64) -> i64 {
    let frequency = i128::from(CNTFRQ_EL0.get().max(1));
    i64::try_from(i128::from(ticks) * 1_000_000 / frequency).unwrap_or(i64::MAX)
}
