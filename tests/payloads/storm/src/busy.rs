//! VMs on all CPUs, until the machine ends.

use core::hint;
use core::sync::atomic::{AtomicU64, Ordering};

use bare::l2::{L2, Program};
use bare::memory::{self, FRAMES};
use bare::psci::{self, SYSTEM_RESET, SYSTEM_RESET2};
use bare::{println, uart};

use crate::rng::numbers_of;
use crate::start::fail;
use crate::{gic, vms};

/// How often the payload was started since the machine was switched on: RAM outlasts a reset. A word that nobody else
/// has, and one that says that it is valid.
const STARTS: u64 = FRAMES.end - 8;
const MARK: u64 = FRAMES.end - 16;
const MAGIC: u64 = 0x7374_6f72_6d21_2121;

/// The most VMs that a CPU makes before it ends the machine.
const VMS_MAX: u64 = 60;

/// The seed, how many CPUs there are, and how many have made a VM.
static SEED: AtomicU64 = AtomicU64::new(0);
static CPU_COUNT: AtomicU64 = AtomicU64::new(0);
static BUSY: AtomicU64 = AtomicU64::new(0);

/// How the machine ends.
static END: AtomicU64 = AtomicU64::new(0);

/// The ways; the last one is that somebody else ends it.
const ENDS: [(&str, End); 5] = [
    ("reset", |_| by_l1([SYSTEM_RESET, 0, 0, 0])),
    ("warm", |_| by_l1([SYSTEM_RESET2, 0, 0, 0])),
    ("l2", |l2| by_l2(l2, [SYSTEM_RESET, 0, 0, 0])),
    ("l2-warm", |l2| by_l2(l2, [SYSTEM_RESET2, 0, 0, 0])),
    ("wait", |_| {}),
];

/// One of them, of a CPU with its VM.
type End = fn(&mut L2);

fn by_l1([function, arguments @ ..]: [u64; 4]) {
    let answer = psci::call(function, arguments);
    fail(format_args!("the machine is not reset: {answer}"));
}

fn by_l2(l2: &mut L2, x: [u64; 4]) {
    let exit = vms::run(l2, Program::Smc, &x);
    fail(format_args!("the machine is not reset by L2: {exit}"));
}

pub(crate) fn run(cpu_count: u64) -> ! {
    if memory::read(MARK) != MAGIC {
        memory::write(STARTS, 0);
        memory::write(MARK, MAGIC);
    }
    memory::write(STARTS, memory::read(STARTS) + 1);
    println!("P UP {}", memory::read(STARTS));
    let mut room = [0; 64];
    let (seed, end) = parse(uart::take_line(&mut room));
    SEED.store(seed, Ordering::Relaxed);
    END.store(end, Ordering::Relaxed);
    CPU_COUNT.store(cpu_count, Ordering::Relaxed);
    gic::init(cpu_count);
    for cpu in 1..cpu_count {
        if !psci::cpu_on(cpu) {
            fail(format_args!("CPU {cpu} does not start"));
        }
    }
    take_part(0)
}

/// `SEED END`
fn parse(line: &str) -> (u64, u64) {
    let Some((seed, end)) = line.split_once(' ') else {
        fail(format_args!("{line:?} is not SEED END"));
    };
    let end = ENDS.iter().position(|(name, _)| *name == end);
    match (seed.parse(), end) {
        (Ok(seed), Some(end)) => (seed, end as u64),
        _ => fail(format_args!("{line:?} is not SEED END")),
    }
}

/// What every CPU does.
pub(crate) fn take_part(cpu: u64) -> ! {
    let (seed, cpu_count) = (SEED.load(Ordering::Relaxed), CPU_COUNT.load(Ordering::Relaxed));
    let mut rng = numbers_of(seed, cpu);
    // All CPUs find the same one.
    let mut common = numbers_of(seed, u64::MAX);
    let ends_it = common.below(cpu_count) == cpu;
    let last = common.below(VMS_MAX);
    gic::init_cpu(cpu);
    for round in 0_u64.. {
        let mut l2 = vms::make(cpu, &mut rng);
        if round == 0 {
            meet(cpu_count);
        }
        if round == last && ends_it {
            ENDS[END.load(Ordering::Relaxed) as usize].1(&mut l2);
        }
        gic::send(rng.below(cpu_count));
        gic::raise(rng.below(cpu_count));
        vms::forget(&mut rng);
    }
    fail("time is over")
}

/// Waits until each CPU has made a VM; the last one says so.
fn meet(cpu_count: u64) {
    if BUSY.fetch_add(1, Ordering::AcqRel) + 1 == cpu_count {
        println!("P BUSY");
    }
    while BUSY.load(Ordering::Acquire) < cpu_count {
        hint::spin_loop();
    }
}
