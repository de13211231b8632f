//! gnomon as the L1 of gnomon: its L1, Linux with KVM, is an L2 with an EL2, and the guest of QEMU in that an L3.
//!
//! The default payload runs as it does below one gnomon, and is to say the same. The outer's console shows the tables of the
//! inner, and of Linux for L3.

use std::env;
use std::time::Duration;

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use system_tests::{listing, story};
use xtask::machine::{Builder, Machine, Outcome};
use xtask::memory::MemorySize;

use crate::trial;

/// How long nothing may be printed.
const LIMIT: Duration = Duration::from_mins(15);
const RAM_MIB: u64 = 2048;

/// Says how many CPUs everybody has, instead of 1. With 2, L3 has 2 as well, and it takes several times as long.
const CPUS_VARIABLE: &str = "GNOMON_INNER_CPUS";

/// How the inner's log begins, on the first UART while that is its own.
const INNER_LOG: &str = "[gnomon] ";
/// What the inner says when it gives the UART to its L1.
const INNER_IS_DONE: &str = "[gnomon] L1 starts at ";

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("gnomon_in_gnomon_runs_linux_with_kvm_and_an_l3", |name| {
        play(name).map_err(|error| format!("{error:#}").into())
    })]
}

fn play(name: &str) -> AnyResult<()> {
    let cpus = match env::var(CPUS_VARIABLE) {
        Ok(text) => text.parse().context(CPUS_VARIABLE)?,
        Err(_) => 1,
    };
    let builder = Builder::new(name).inner("").smp(cpus);
    let mut machine = builder.memory(MemorySize::from_mib(RAM_MIB)).start()?;
    machine.set_limit(LIMIT);
    machine.wait_for("L2 memory: ok")?;
    look(&mut machine)?;
    let outcome = machine.wait_until_off()?;
    let printed = machine.console_lines().join("\n");
    let mut complaints = story::complaints(&printed, cpus, story::VHE);
    complaints.extend(complaints_about_the_log(&printed));
    ensure!(
        outcome == Outcome::PoweredOff && complaints.is_empty(),
        "{outcome}\n{}\n{}",
        complaints.join("\n"),
        machine.report()
    );
    Ok(())
}

/// What the outer has of all that while L3 runs: a shadow for each stage 2 that the inner has made, its host's and one of its
/// own shadows at least, and nothing in them that must not be.
fn look(machine: &mut Machine) -> AnyResult<()> {
    let mut console = machine.debug_console()?;
    console.set_limit(LIMIT);
    let shadows = listing::parse_shadows(&console.command("shadow")?)?;
    let used = shadows.iter().filter(|row| row.mapped.iter().any(|bytes| *bytes != 0));
    ensure!(
        used.count() >= 2,
        "there is no shadow for each of L2 and L3: {shadows:?}"
    );
    let audit = console.command("audit")?;
    let is_clean = audit.last().is_some_and(|line| line.ends_with(" 0 findings"));
    ensure!(is_clean, "the audit says: {}", audit.join("\n"));
    let unhandled = console.command("exits | grep emulated")?;
    let is_none = unhandled.first().is_some_and(|line| line.starts_with("0 times "));
    ensure!(is_none, "{unhandled:?}");
    Ok(())
}

/// What is wrong with what the inner says: it is to say something, and nothing once the UART is its L1's.
fn complaints_about_the_log(printed: &str) -> Option<String> {
    let logged: Vec<&str> = printed.lines().filter(|line| line.starts_with(INNER_LOG)).collect();
    let is_right = logged.last().is_some_and(|line| line.starts_with(INNER_IS_DONE));
    (!is_right).then(|| format!("the inner gnomon says: {}", logged.join("\n")))
}
