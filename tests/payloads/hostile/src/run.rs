//! The attack from its beginning to its end.

use core::sync::atomic::{AtomicU64, Ordering};

use bare::options::Options;
use bare::sysreg::CNTPCT_EL0;
use bare::{memory, println, psci};

use crate::areas::AREAS;
use crate::cpu::Cpu;
use crate::home::CPU_COUNT_MAX;
use crate::rescue;
use crate::rng::Rng;
use crate::tally::{self, Tally};
use crate::{doom, linux, power};

/// A CPU that does nothing for so long, in ticks, may need help; after the longer time it is lost.
const HELP_TICKS: u64 = 20_000_000;
const LOST_TICKS: u64 = 120_000_000_000;

/// The word that `wait` waits for, in frames that no CPU has, and that it is to go on. Anything else ends it there.
const GO: u64 = 0x4d80_0000;
const ATTACK: u64 = 1;

/// What the command line says, for all CPUs.
struct Plan {
    seed: AtomicU64,
    cpus: AtomicU64,
    from: AtomicU64,
    steps: AtomicU64,
    /// The only area, if it is less than there are.
    area: AtomicU64,
    is_told: AtomicU64,
    /// What all CPUs do when all have made their steps.
    end: AtomicU64,
}

static PLAN: Plan = Plan {
    seed: AtomicU64::new(0),
    cpus: AtomicU64::new(1),
    from: AtomicU64::new(0),
    steps: AtomicU64::new(0),
    area: AtomicU64::new(0),
    is_told: AtomicU64::new(0),
    end: AtomicU64::new(0),
};

const REST: u64 = 1;
const DOOM: u64 = 2;
const GIVE_WAY: u64 = 3;

fn get(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

/// The payload's main function.
pub(crate) fn main(options: Options<'_>) -> ! {
    let number = |name, default| options.number(name).unwrap_or(default);
    let name = options.value("area").unwrap_or("all");
    let area = AREAS.iter().position(|(known, _)| *known == name);
    if area.is_none() && name != "all" {
        println!("P FAIL no such area");
        psci::power_off();
    }
    let (seed, cpus) = (number("seed", 1), number("cpus", 1).clamp(1, CPU_COUNT_MAX as u64));
    for (word, value) in [
        (&PLAN.seed, seed),
        (&PLAN.cpus, cpus),
        (&PLAN.from, number("from", 0)),
        (&PLAN.steps, number("steps", 1000)),
        (&PLAN.area, area.unwrap_or(AREAS.len()) as u64),
        (&PLAN.is_told, options.has("tell").into()),
    ] {
        word.store(value, Ordering::Relaxed);
    }
    let (is_held, is_doomed) = (options.has("hold"), options.has("doom"));
    let linux = number("linux", 0);
    println!("P UP seed {seed} area {name} cpus {cpus}");
    if options.has("wait") {
        wait();
    }
    for cpu in 1..cpus {
        if !psci::cpu_on(cpu) {
            println!("P FAIL CPU {cpu} does not start");
        }
    }
    attack(0);
    let lost = watch(cpus as usize);
    for (index, (name, _)) in AREAS.iter().enumerate() {
        let [steps, sync, irq, serror, own] = tally::sums(index);
        if steps != 0 {
            println!("P AREA {name} seed {seed} steps {steps} sync {sync} irq {irq} serror {serror} own {own}");
        }
    }
    println!("P DONE seed {seed} lost {lost} ticks {}", CNTPCT_EL0.get());
    if linux != 0 {
        PLAN.end.store(GIVE_WAY, Ordering::Relaxed);
        linux::start(&mut Cpu::new(0), cpus, linux);
    }
    if is_held {
        PLAN.end.store(if is_doomed { DOOM } else { REST }, Ordering::Relaxed);
        end(0);
    }
    println!("P OK");
    psci::power_off()
}

/// Waits until somebody outside of the machine says how to go on.
fn wait() {
    loop {
        match memory::read(GO) {
            0 => core::hint::spin_loop(),
            ATTACK => return,
            _ => {
                println!("P AGAIN");
                psci::wait_for_ever();
            }
        }
    }
}

/// The other CPUs.
pub(crate) fn secondary(cpu: u64) -> ! {
    attack(cpu as usize);
    end(cpu as usize)
}

/// All steps of CPU `index`, this one, that it has not made yet.
fn attack(index: usize) {
    let mut cpu = Cpu::new(index);
    let mut neighbour = Watched::new((index + 1) % get(&PLAN.cpus) as usize);
    let (seed, first) = (get(&PLAN.seed), get(&PLAN.from));
    while tally::steps(index) < get(&PLAN.steps) {
        let step = first + tally::steps(index);
        // A number of its own, so that the one step is the same with `area=` given.
        let drawn = Rng::of_step(seed, index as u64, step | 1 << 40).below(AREAS.len() as u64);
        let only = get(&PLAN.area);
        let area = if only < AREAS.len() as u64 { only } else { drawn } as usize;
        let (name, run) = AREAS[area];
        if get(&PLAN.is_told) != 0 {
            println!("P STEP cpu {index} {step} {name} at {}", CNTPCT_EL0.get());
        }
        cpu.tally = Tally::default();
        cpu.begin(seed, step);
        // Before the step: it may be one that begins all this again.
        neighbour.help();
        run(&mut cpu);
        tally::add(index, area, cpu.tally);
    }
    rescue::after_strike(index);
    tally::finish(index);
}

/// What CPU `index`, this one, does at last.
fn end(index: usize) -> ! {
    while get(&PLAN.end) == 0 {
        core::hint::spin_loop();
    }
    let cpu = &mut Cpu::new(index);
    match get(&PLAN.end) {
        DOOM => doom::strike(cpu, get(&PLAN.seed)),
        GIVE_WAY => linux::give_way(cpu),
        _ => {}
    }
    psci::wait_for_ever()
}

/// Waits for all CPUs, helping them. Returns how many never come back.
fn watch(cpus: usize) -> usize {
    let is_lost = |cpu| {
        let mut watched = Watched::new(cpu);
        while !tally::is_done(cpu) {
            if watched.help() > LOST_TICKS {
                println!("P LOST cpu {cpu} at step {}", tally::steps(cpu));
                return true;
            }
        }
        false
    };
    (1..cpus).filter(|cpu| is_lost(*cpu)).count()
}

/// Another CPU, and since when it has been at the same step.
struct Watched {
    cpu: usize,
    steps: u64,
    since: u64,
    helped: u64,
}

impl Watched {
    fn new(cpu: usize) -> Self {
        let now = CNTPCT_EL0.get();
        Self {
            cpu,
            steps: tally::steps(cpu),
            since: now,
            helped: now,
        }
    }

    /// Opens the GIC for its timer if it seems to need that. Returns for how long it has stood still.
    fn help(&mut self) -> u64 {
        power::help();
        let (now, steps) = (CNTPCT_EL0.get(), tally::steps(self.cpu));
        if steps != self.steps {
            (self.steps, self.since, self.helped) = (steps, now, now);
        }
        if now - self.helped > HELP_TICKS && !tally::is_done(self.cpu) {
            self.helped = now;
            rescue::open_gic(self.cpu);
        }
        now - self.since
    }
}
