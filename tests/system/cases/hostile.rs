//! A guest hypervisor that attacks at random, from fixed seeds; `scripts/fuzz` goes on with others.
//!
//! gnomon must not panic, must answer on its console during the attack and after it, must have changed nothing where
//! nothing may change, must have no finding of `audit`, and must give every frame back when L1 starts again.

use libtest_mimic::Trial;
use xtask::fuzz::{self, Plan};

use crate::{Result, trial};

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
    [
        ("hostile_l1_on_1_cpu_does_no_harm", counted),
        ("hostile_l1_on_plain_nv_does_no_harm", plain_nv),
        ("hostile_l1_on_4_cpus_does_no_harm", plan(2, 4, 400)),
    ]
    .into_iter()
    .map(|(name, plan)| trial(name, move |name| does_no_harm(name, &plan)))
    .collect()
}

fn does_no_harm(name: &str, plan: &Plan) -> Result {
    let outcome = fuzz::attack(name, plan)?;
    println!("{}", fuzz::line(plan, &outcome));
    if outcome.lost != 0 {
        return Err(format!("{} CPUs of the payload lost themselves", outcome.lost).into());
    }
    Ok(())
}
