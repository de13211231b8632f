//! Choosing an area.

use bare::memory::Frames;
use bare::options::Options;
use bare::{println, psci};

use crate::{exceptions, forwarding, sweep};

/// The areas by name.
const AREAS: [(&str, fn(&mut Frames)); 3] = [
    ("sweep", sweep::run),
    ("forwarding", forwarding::run),
    ("exceptions", exceptions::run),
];

/// The payload's main function.
pub(crate) fn main(options: Options<'_>) -> ! {
    let name = options.value("area").unwrap_or("sweep");
    println!("P UP {name}");
    match AREAS.iter().find(|(known, _)| *known == name) {
        Some((_, run)) => {
            run(&mut Frames::all());
            println!("P OK");
        }
        None => println!("P FAIL no such area"),
    }
    psci::power_off()
}

/// No CPU is started but the first.
pub(crate) fn secondary(_: u64) -> ! {
    psci::wait_for_ever()
}
