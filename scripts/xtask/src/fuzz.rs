//! `xtask fuzz`: random guest hypervisors, one seed after the other, and what they must leave as it was.
//!
//! The payload `hostile` attacks from inside the machine and judges nothing. The judge is here, outside: it plants patterns
//! in gnomon's memory and takes down what must not change (`evidence`, `frames`), by reading the machine's RAM itself
//! (`ram`); it talks to the debug console during the attack and after it, has it reset the machine, and sees L1 start
//! again (`attack`).

mod attack;
mod evidence;
mod frames;
mod ram;
mod report;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;

pub use attack::{Outcome, Plan, attack, plant_faults};
pub use report::Area;

use crate::firmware;
use crate::project::Project;
use crate::setup::{qemu, toolchain};

/// How long it goes on if nobody says.
const DEFAULT_MINUTES: u64 = 10;

/// Most CPUs that the payload uses.
const CPU_COUNT_MAX: u64 = 4;

/// What `xtask fuzz` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long it goes on; one seed alone if that is given and this is not.
    pub minutes: Option<u64>,
    /// The first seed.
    pub seed: Option<u64>,
    /// The only part of the attack.
    pub area: Option<String>,
    /// CPUs, if not by the seed.
    pub cpus: Option<u32>,
    /// Steps of each CPU.
    pub steps: u64,
    /// The first step.
    pub from: u64,
    /// Count instructions.
    pub icount: bool,
    /// gnomon's own options.
    pub hyp: Option<String>,
}

impl Options {
    fn plan(&self, seed: u64) -> Plan {
        let drawn = 1 + u32::try_from(seed % CPU_COUNT_MAX).unwrap_or(0);
        Plan {
            seed,
            area: self.area.clone(),
            cpus: self.cpus.unwrap_or(drawn),
            steps: self.steps,
            from: self.from,
            icount: self.icount,
            hyp: self.hyp.clone(),
        }
    }
}

/// Attacks until the time is over, prints a line for each seed and their sum, and returns whether gnomon stood it.
///
/// # Errors
///
/// When something cannot be built.
pub fn run(project: &Project, options: &Options) -> Result<bool> {
    qemu::ensure(project)?;
    toolchain::ensure(project)?;
    firmware::build(project)?;
    let minutes = match (options.minutes, options.seed) {
        (Some(minutes), _) => minutes,
        (None, Some(_)) => 0,
        (None, None) => DEFAULT_MINUTES,
    };
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let first = options.seed.unwrap_or_else(seed_of_today);
    let mut sum = Sum::default();
    for seed in first.. {
        let plan = options.plan(seed);
        match attack("fuzz", &plan) {
            Ok(outcome) => {
                println!("{}", line(&plan, &outcome));
                sum.add(&outcome);
            }
            Err(error) => {
                println!("seed {seed}: {error:#}\nagain: {}", command(&plan));
                return Ok(false);
            }
        }
        if Instant::now() > end {
            break;
        }
    }
    println!("{}", sum.line());
    Ok(true)
}

/// Another one each time.
fn seed_of_today() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |now| now.as_secs())
}

/// What a run was.
#[must_use]
pub fn line(plan: &Plan, outcome: &Outcome) -> String {
    let steps: u64 = outcome.areas.iter().map(|area| area.steps).sum();
    let exceptions: u64 = outcome.areas.iter().map(|area| area.exceptions).sum();
    let mut line = format!(
        "seed {}: {} CPUs, {steps} steps, {exceptions} exceptions, {} exits, {} answers, {} KiB unchanged",
        plan.seed,
        plan.cpus,
        outcome.exits,
        outcome.answers,
        outcome.bytes >> 10
    );
    if plan.icount {
        line += &format!(", {} instructions, at most {} an exit", outcome.ticks, outcome.longest);
    }
    if outcome.lost != 0 {
        line += &format!(", {} CPUs lost themselves", outcome.lost);
    }
    line
}

/// How to run it once more.
fn command(plan: &Plan) -> String {
    let mut command = format!(
        "scripts/fuzz --seed {} --cpus {} --steps {} --from {}",
        plan.seed, plan.cpus, plan.steps, plan.from
    );
    if let Some(area) = &plan.area {
        command += &format!(" --area {area}");
    }
    if plan.icount {
        command += " --icount";
    }
    if let Some(options) = &plan.hyp {
        command += &format!(" --hyp '{options}'");
    }
    command
}

#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    steps: u64,
    exceptions: u64,
    exits: u64,
    lost: u64,
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.steps += outcome.areas.iter().map(|area| area.steps).sum::<u64>();
        self.exceptions += outcome.areas.iter().map(|area| area.exceptions).sum::<u64>();
        self.exits += outcome.exits;
        self.lost += outcome.lost;
    }

    fn line(&self) -> String {
        format!(
            "{} seeds, {} steps, {} exceptions, {} exits, {} CPUs lost themselves, gnomon unharmed",
            self.seeds, self.steps, self.exceptions, self.exits, self.lost
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_that_shows_it_again() {
        let options = Options {
            minutes: None,
            seed: Some(7),
            area: Some("mmio".into()),
            cpus: None,
            steps: 10,
            from: 5,
            icount: true,
            hyp: Some("nv=1".into()),
        };
        assert_eq!(
            command(&options.plan(7)),
            "scripts/fuzz --seed 7 --cpus 4 --steps 10 --from 5 --area mmio --icount --hyp 'nv=1'"
        );
    }

    #[test]
    fn seeds_take_turns_with_the_number_of_cpus() {
        let options = Options {
            minutes: None,
            seed: None,
            area: None,
            cpus: None,
            steps: 1,
            from: 0,
            icount: false,
            hyp: None,
        };
        let cpus: Vec<u32> = (8..12).map(|seed| options.plan(seed).cpus).collect();
        assert_eq!(cpus, [1, 2, 3, 4]);
    }
}
