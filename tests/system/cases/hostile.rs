//! A guest hypervisor that attacks at random, from fixed seeds; `scripts/fuzz` goes on with others.
//!
//! gnomon must not panic, must answer on its console during the attack and after it, must have changed nothing where
//! nothing may change, must have no finding of `audit` that is not L1's own doing, and must give every frame back when L1
//! starts again.

use std::fs;

use libtest_mimic::Trial;
use xtask::fuzz::{self, Plan};
use xtask::machine::{Builder, Outcome};
use xtask::memory::MemorySize;
use xtask::payload::{COMMAND_LINE, HEADLESS_OPTION, Payload};
use xtask::project::Project;

use crate::{Result, entry, trial};

/// Instructions of one exit, whatever L1 does: some two dozen times an ordinary one, for what is taken down in pieces.
const LONGEST_EXIT: u64 = 40_000;

pub(crate) fn trials() -> Vec<Trial> {
    let plan = |seed, cpus, steps| Plan {
        seed,
        area: None,
        cpus,
        steps,
        from: 0,
        icount: false,
        hyp: None,
    };
    let counted = Plan {
        icount: true,
        ..plan(1, 1, 1000)
    };
    let plain_nv = Plan {
        hyp: Some("nv=1".to_owned()),
        ..plan(3, 2, 400)
    };
    let judged = plan(4, 2, 100);
    let noticed = trial("hostile_l1_could_change_no_byte_unnoticed", move |name| {
        unnoticed(name, &judged)
    });
    let without_vhe = Plan {
        hyp: Some("e2h=0".to_owned()),
        ..plan(11, 2, 400)
    };
    let afterwards = trial("hostile_l1_gives_way_to_a_linux_that_runs_an_l2", gives_way);
    [
        ("hostile_l1_on_1_cpu_does_no_harm", counted),
        ("hostile_l1_on_plain_nv_does_no_harm", plain_nv),
        ("hostile_l1_without_vhe_does_no_harm", without_vhe),
        ("hostile_l1_on_4_cpus_does_no_harm", plan(2, 4, 400)),
    ]
    .into_iter()
    .map(|(name, plan)| trial(name, move |name| does_no_harm(name, &plan)))
    .chain([noticed, afterwards])
    .collect()
}

fn does_no_harm(name: &str, plan: &Plan) -> Result {
    let outcome = fuzz::attack(name, plan)?;
    println!("{}", fuzz::line(plan, &outcome));
    if outcome.lost != 0 {
        return Err(format!("{} CPUs of the payload lost themselves", outcome.lost).into());
    }
    if plan.icount && outcome.longest > LONGEST_EXIT {
        return Err(format!("an exit of {} instructions", outcome.longest).into());
    }
    Ok(())
}

/// The judge itself is judged.
fn unnoticed(name: &str, plan: &Plan) -> Result {
    let count = fuzz::plant_faults(name, plan)?;
    println!("{count} wrong bits, each noticed");
    Ok(())
}

/// On the same gnomon, without a reset: QEMU has put a Linux into memory, to which the payload jumps at its end.
fn gives_way(name: &str) -> Result {
    const KERNEL: u64 = 0x5000_0000;
    const RAMDISK: u64 = 0x5800_0000;
    let linux = Payload::default_for(&Project::new())?;
    let bytes = fs::metadata(&linux.initrd)?.len();
    let mut builder = Builder::new(name)
        .payload("hostile")?
        .memory(MemorySize::from_mib(1024))
        .append(&format!("seed=5 steps=300 cpus=2 linux={KERNEL}"))
        .append(&format!("{COMMAND_LINE} {HEADLESS_OPTION} initrd={RAMDISK:#x},{bytes}"));
    for (file, at) in [(&linux.kernel, KERNEL), (&linux.initrd, RAMDISK)] {
        let loader = format!("loader,file={},addr={at:#x},force-raw=on", file.display());
        builder = builder.qemu_arg("-device").qemu_arg(loader);
    }
    let mut machine = builder.start()?;
    machine.set_limit(entry::LIMIT);
    for line in ["P DONE", "L1 UP", "L2 OK", "L1 OK"] {
        machine.wait_for(line)?;
    }
    match machine.wait_until_off()? {
        Outcome::PoweredOff => Ok(()),
        outcome => Err(format!("{outcome}\n{}", machine.report()).into()),
    }
}
