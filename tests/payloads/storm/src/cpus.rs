//! CPUs that switch themselves off with everything in use, and are switched on again at once.
//!
//! Two interrupts are sent to each while it is off or about to be on: an SPI while it is off, an SGI afterwards. It must find
//! both, and its registers as reset leaves them.

use core::hint;
use core::sync::atomic::{AtomicU64, Ordering};

use bare::l2::Program;
use bare::psci::{self, AFFINITY_INFO, CPU_OFF, CPU_ON};
use bare::sysreg::{CNTHP_CTL_EL2, HPFAR_EL2, ICH_HCR_EL2, ICH_LR0_EL2, VTTBR_EL2};
use bare::{println, tlbi};

use crate::rng::numbers_of;
use crate::start::{CPUS_MAX, expect, fail};
use crate::{gic, vms};

/// `AFFINITY_INFO`
const IS_OFF: i64 = 1;
/// Errors of `CPU_ON`.
const ALREADY_ON: i64 = -4;
const ON_PENDING: i64 = -5;

/// How often something that is to come at once is asked for: minutes. The host may let one CPU wait for long while another
/// runs.
const PATIENCE: u64 = 1_000_000_000;
/// Rounds between two lines of progress.
const PROGRESS: u64 = 64;

/// The round that a CPU may end, and the one that it has begun.
static ALLOWED: [AtomicU64; CPUS_MAX as usize] = [const { AtomicU64::new(0) }; CPUS_MAX as usize];
static BEGUN: [AtomicU64; CPUS_MAX as usize] = [const { AtomicU64::new(0) }; CPUS_MAX as usize];

/// The first CPU: switches the others on.
pub(crate) fn run(cpu_count: u64, rounds: u64) {
    gic::init(cpu_count);
    for round in 1..=rounds {
        for cpu in 1..cpu_count {
            await_off(cpu);
            switch_on(cpu, round);
        }
        if round % PROGRESS == 0 {
            println!("P ROUND {round}");
        }
    }
    for cpu in 1..cpu_count {
        await_off(cpu);
        let begun = BEGUN[cpu as usize].load(Ordering::Relaxed);
        expect("rounds of a CPU", begun.cast_signed(), rounds.cast_signed());
    }
    // Of the VMs that were never forgotten.
    tlbi::alle1is();
    println!("P CPUS {}", rounds * (cpu_count - 1));
}

fn switch_on(cpu: u64, round: u64) {
    gic::raise(cpu);
    expect("CPU_ON", psci::call(CPU_ON, [cpu, psci::secondary(), cpu]), 0);
    // It stays on until it is allowed to go.
    let again = psci::call(CPU_ON, [cpu, psci::secondary(), cpu]);
    if !matches!(again, ALREADY_ON | ON_PENDING) {
        fail(format_args!("CPU_ON of a CPU that is on: {again}"));
    }
    if psci::call(AFFINITY_INFO, [cpu, 0, 0]) == IS_OFF {
        fail(format_args!("CPU {cpu} is off again"));
    }
    gic::send(cpu);
    ALLOWED[cpu as usize].store(round, Ordering::Release);
}

fn await_off(cpu: u64) {
    for _ in 0..PATIENCE {
        if psci::call(AFFINITY_INFO, [cpu, 0, 0]) == IS_OFF {
            return;
        }
        hint::spin_loop();
    }
    fail(format_args!("CPU {cpu} does not go off"));
}

/// The others.
pub(crate) fn come_and_go(cpu: u64) -> ! {
    let round = BEGUN[cpu as usize].fetch_add(1, Ordering::Relaxed) + 1;
    check_registers(cpu);
    gic::init_cpu(cpu);
    take(cpu, round);
    let mut rng = numbers_of(round, cpu);
    // The tables of its last VM are about to be overwritten.
    vms::forget(&mut rng);
    tlbi::alle1is();
    let mut l2 = vms::make(cpu, &mut rng);
    if rng.below(2) == 0 {
        let exit = vms::run(&mut l2, Program::Smc, &[CPU_OFF, 0, 0, 0]);
        fail(format_args!("CPU {cpu} is not switched off by L2: {exit}"));
    }
    let answer = psci::call(CPU_OFF, [0; 3]);
    fail(format_args!("CPU {cpu} is not switched off: {answer}"));
}

/// What L1's registers are when a CPU is switched on, as far as L1's boot has not set them.
fn check_registers(cpu: u64) {
    let registers = [
        ("VTTBR_EL2", VTTBR_EL2.get()),
        ("ICH_HCR_EL2", ICH_HCR_EL2.get()),
        ("ICH_LR0_EL2", ICH_LR0_EL2.get()),
        ("HPFAR_EL2", HPFAR_EL2.get()),
        ("CNTHP_CTL_EL2", CNTHP_CTL_EL2.get()),
    ];
    for (name, value) in registers {
        if value != 0 {
            fail(format_args!("CPU {cpu} is switched on with {name} {value:#x}"));
        }
    }
}

/// Takes both interrupts, and waits until the CPU may go.
fn take(cpu: u64, round: u64) {
    let (mut has_sgi, mut has_spi) = (false, false);
    for _ in 0..PATIENCE {
        let Some(intid) = gic::acknowledge() else {
            let is_allowed = ALLOWED[cpu as usize].load(Ordering::Acquire) == round;
            if is_allowed && has_sgi && has_spi {
                return;
            }
            hint::spin_loop();
            continue;
        };
        match intid {
            gic::SGI if !has_sgi => has_sgi = true,
            _ if intid == gic::spi(cpu) && !has_spi => has_spi = true,
            // Nothing else is due.
            _ => fail(format_args!("CPU {cpu} is interrupted by {intid}")),
        }
        gic::end(intid);
    }
    fail(format_args!(
        "CPU {cpu} has lost an interrupt: SGI {has_sgi}, SPI {has_spi}"
    ));
}
