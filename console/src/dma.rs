//! What devices were refused: taken off the SMMU's queue of events, counted, and told.

use hyp::{
    arch::sysreg::{CNTFRQ_EL0, Readable},
    layout,
    mm::{CarveOut, phys},
    nested::timer,
    vm::Vm,
};
use machine::Machine;
use smmu::{Device, Event, Incident, Report, Tell};
use spin::Mutex;

/// Events that are kept for the console.
const EVENTS_KEPT: usize = 32;

/// What came of devices. The SMMU's queue is read under this lock.
static REPORT: Mutex<Report<EVENTS_KEPT>> = Mutex::new(Report::new());

/// What came of devices so far; `None` if a panic has lost it.
pub fn report() -> Option<Report<EVENTS_KEPT>> {
    // The console's CPU alone takes the lock, so it is free unless that CPU panicked with it.
    REPORT.try_lock().map(|report| *report)
}

/// Takes in what the SMMU has to tell, a bounded number of events, and tells it. With no other lock held.
pub fn serve(vm: &Vm) {
    let Some(smmu) = &vm.smmu else { return };
    let (now, frequency) = (timer::now(), CNTFRQ_EL0.get());
    let mut report = REPORT.lock();
    let errors = smmu.take_events(vm, &mut |record| {
        if let Tell::Line(silent) = report.take(record, now, frequency) {
            log::warn!("{}", incident(&vm.machine, Event::decode(record), silent));
        }
    });
    if errors != 0 {
        report.error_count += 1;
    }
}

/// What happened, in words, after `silent` events that nothing was said of.
fn incident(machine: &Machine, event: Event, silent: u64) -> Incident {
    Incident {
        event,
        device: device(machine, event.stream),
        whose: event.access.map_or("", |access| whose(machine, access.address)),
        silent,
    }
}

/// Who has this stream.
pub fn device(machine: &Machine, stream: u32) -> Device {
    let smmu = machine.smmu.as_ref().ok();
    Device {
        stream,
        requester: smmu.and_then(|smmu| smmu.requester(stream)),
    }
}

/// Whose memory is at a physical address.
pub fn whose(machine: &Machine, at: u64) -> &'static str {
    let own = machine.home_bank().map(|bank| CarveOut::of(&bank).whole);
    if layout::image().contains(&at) {
        "gnomon's image"
    } else if own.is_some_and(|own| own.contains(&at)) {
        "gnomon's memory"
    } else if phys::is_guest_ram(at, 1) {
        "L1's RAM"
    } else if machine.devices.iter().any(|range| range.contains(&at)) {
        "a device"
    } else {
        "nothing"
    }
}
