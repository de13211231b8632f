//! Choosing an area.

use bare::memory::Frames;
use bare::options::Options;
use bare::{println, psci};

use crate::{at, exceptions, fine, forwarding, gic, stage2, sweep, timers, tlbi};

/// A part of the architecture: its name, and what tries it.
type Area = (&'static str, fn(&mut Frames));

const AREAS: [Area; 10] = [
    ("sweep", sweep::run),
    ("forwarding", forwarding::run),
    ("fine", fine::run),
    ("exceptions", exceptions::run),
    ("stage2", stage2::run),
    ("large", run_large),
    ("tlbi", tlbi::run),
    ("at", at::run),
    ("gic", gic::run),
    ("timers", timers::run),
];

/// What `FEAT_LPA2` adds, at each stage.
fn run_large(frames: &mut Frames) {
    stage2::run_large(frames);
    tlbi::run_large(frames);
    at::run_large(frames);
}

/// The payload's main function.
pub(crate) fn main(options: Options<'_>) -> ! {
    let mut frames = Frames::all();
    let names = options.value("area").unwrap_or("sweep");
    for name in names.split(',') {
        println!("P UP {name}");
        match AREAS.iter().find(|(known, _)| *known == name) {
            Some((_, run)) => run(&mut frames),
            None => {
                println!("P FAIL no such area");
                psci::power_off()
            }
        }
    }
    println!("P OK");
    psci::power_off()
}

/// No CPU is started but the first.
pub(crate) fn secondary(_: u64) -> ! {
    psci::wait_for_ever()
}
