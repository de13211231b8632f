//! After a panic of gnomon its console goes on, on the CPU that panicked, and shows what is left. What gnomon's own code
//! does to a CPU is told in words.

use std::iter;
use std::time::Duration;

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use system_tests::ptdump::Dump;
use xtask::console::Console;
use xtask::machine::{Machine, Outcome};

use crate::{Result, line, scene, trial};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("after_a_panic_the_console_still_shows_the_tables", shows_the_tables),
        trial("panic_within_a_panic_ends_in_one_line", ends_in_one_line),
        trial("panic_names_who_never_gives_a_lock_back", names_who_has_the_lock),
    ];
    trials.extend(
        FAILURES
            .iter()
            .map(|failure| trial(failure.trial, move |name| is_told(name, failure).map_err(Into::into))),
    );
    trials
}

/// A way to fail, and what is said of it.
struct Failure {
    trial: &'static str,
    command: &'static [u8],
    cpu: usize,
    /// What the first line says, in this order.
    words: &'static [&'static str],
    /// What is printed below.
    report: &'static [&'static str],
}

/// What is printed of an exception.
const REGISTERS: &[&str] = &[
    "  x0  0x",
    "  x30 0x",
    "  sp  0x",
    "  ESR_EL2 0x",
    "calls, the last one first",
    " hyp::panic::fail+0x",
    " exception_vectors+0x",
];

const FAILURES: [Failure; 4] = [
    Failure {
        trial: "panic_on_another_cpu_is_told_by_that",
        command: b"panic vcpu1\r",
        cpu: 1,
        words: &["asked for at the console at src/panic.rs:"],
        report: &[
            "calls, the last one first",
            " hyp::panic::fail+0x",
            " exception_vectors+0x",
        ],
    },
    Failure {
        trial: "panic_by_stack_overflow_names_the_guard_page",
        command: b"panic stack vcpu1\r",
        cpu: 1,
        words: &[
            "stack overflow: data abort in EL2 on a write: translation fault, level 3 at 0x",
            ", the guard page below the stack of CPU 1, by the instruction at 0x",
        ],
        report: &[
            "  sp  0x",
            " hyp::panic::overflow+0x",
            " times)",
            " hyp::panic::fail+0x",
            " exception_vectors+0x",
        ],
    },
    Failure {
        trial: "panic_by_an_abort_says_that_nothing_is_mapped",
        command: b"panic abort\r",
        cpu: 0,
        words: &[
            "data abort in EL2 on a read: translation fault, level ",
            " at 0x700000000000, where nothing is mapped, by the instruction at 0x",
        ],
        report: REGISTERS,
    },
    Failure {
        trial: "panic_by_an_undefined_instruction_says_so",
        command: b"panic undefined vcpu2\r",
        cpu: 2,
        words: &["undefined instruction in EL2, at 0x"],
        report: REGISTERS,
    },
];

/// One line says what happened to which CPU, its registers, calls and events follow, and the console goes on there.
fn is_told(name: &str, failure: &Failure) -> AnyResult<()> {
    let mut machine = scene::l1_on_cpus(name, 3)?;
    machine.debug_console()?.command("trace on")?;
    scene::in_shell(&mut machine, "traced L1")?;
    let mut line = line::to_console(&machine)?;
    line.send(failure.command)?;
    let text = line.read_until("gnomon> ")?;
    drop(line);
    let first = format!("gnomon: panic: CPU {}: ", failure.cpu);
    let last = format!("the last events of CPU {}:", failure.cpu);
    let parts = iter::once(&*first).chain(failure.words.iter().copied());
    let parts = parts.chain(failure.report.iter().copied()).chain([&*last]);
    let mut rest = &text[..];
    for part in parts {
        let at = rest
            .find(part)
            .with_context(|| format!("no {part:?} in its place in {text}"))?;
        rest = &rest[at + part.len()..];
    }
    let events = rest
        .lines()
        .filter(|line| line.contains(": kvm_") || line.contains(": gnomon_"));
    ensure!((1..=32).contains(&events.count()), "events: {rest}");
    let calls = text
        .lines()
        .filter(|line| line.starts_with("  0x4") && line.contains("::"));
    ensure!(calls.count() >= 3, "calls: {text}");

    let mut console = machine.debug_console()?;
    console.set_limit(Duration::from_mins(3));
    ensure!(console.command("ptdump host")?.len() > 2, "`ptdump host`");
    let regs = console.command("regs")?;
    let lost = format!("CPU {} panicked", failure.cpu);
    ensure!(
        regs.len() == 3 && regs[failure.cpu].starts_with(&lost),
        "`regs`: {regs:?}"
    );
    drop(console);
    ends_in_failure(&mut machine)
}

fn ends_in_failure(machine: &mut Machine) -> AnyResult<()> {
    line::to_console(machine)?.send(b"poweroff\r")?;
    let outcome = machine.wait_until_off()?;
    ensure!(
        matches!(outcome, Outcome::Failed(_)),
        "a machine whose gnomon panicked ended as if nothing were: {outcome}"
    );
    Ok(())
}

/// Whoever waits for a lock too long says for which, and who has it. What that lock guards cannot be shown any more.
fn names_who_has_the_lock(name: &str) -> Result {
    let mut machine = scene::l1_with_a_shell(name)?;
    let mut line = line::to_console(&machine)?;
    // CPU 1 never answers. Unless L1 on CPU 0 is the first to need the lock, the second command is.
    line.send(b"panic lock vcpu1\rshadow\r")?;
    let text = line.read_until("gnomon: all guests are stopped for good")?;
    let words = "gnomon: panic: CPU 0: CPU 1 keeps the lock of core::option::Option<shadow::slot::Shadow>; waited 10 s for it at ";
    ensure_contains(&text, words)?;
    ensure_contains(&text, "calls, the last one first")?;
    drop(line);

    let mut console = machine.debug_console()?;
    console.set_limit(Duration::from_mins(3));
    let locked = console.command("shadow")?;
    ensure_contains(&locked.join("\n"), "error: the CPU that panicked holds the lock")?;
    let el2 = console.command("ptdump el2")?;
    ensure_contains(&el2.join("\n"), "0x0000000040")?;
    drop(console);
    Ok(ends_in_failure(&mut machine)?)
}

/// What cannot be reported does not go round in circles.
fn ends_in_one_line(name: &str) -> Result {
    let machine = scene::l1_with_a_shell(name)?;
    let mut line = line::to_console(&machine)?;
    line.send(b"panic twice\r")?;
    let text = line.read_until("asked for at the console, too at ")?;
    ensure_contains(&text, "gnomon: panic: CPU 0 again, while it reported that: ")?;
    line.send(b"\r")?;
    let after = line.read_until_within("gnomon: panic", Duration::from_secs(2));
    if after.is_ok() {
        return Err("it went on".into());
    }
    Ok(())
}

fn shows_the_tables(name: &str) -> Result {
    let mut machine = scene::l1_with_a_shell(name)?;
    scene::start_l2(&mut machine)?;

    let mut console = machine.debug_console()?;
    let host = console.command("ptdump host")?;
    console.command("trace on")?;
    drop(console);
    let mut line = line::to_console(&machine)?;
    line.send(b"panic\r")?;
    // All at once: what comes together is read together.
    let text = line.read_until("gnomon> ")?;
    ensure_contains(&text, "gnomon: panic: CPU 0: asked for at the console at ")?;
    drop(line);

    let mut console = machine.debug_console()?;
    console.set_limit(Duration::from_mins(3));
    let after = console.command("ptdump host")?;
    ensure_same(&host, &after)?;
    check_what_is_left(&mut console)?;
    check_trace(&mut console)?;

    Ok(ends_in_failure(&mut machine)?)
}

fn ensure_contains(text: &str, part: &str) -> AnyResult<()> {
    ensure!(text.contains(part), "no {part:?} in {text:?}");
    Ok(())
}

fn ensure_same(before: &[String], after: &[String]) -> AnyResult<()> {
    ensure!(before == after, "the host's table: before {before:?}, after {after:?}");
    Ok(())
}

/// Tables can be read, nothing can be made to go on.
fn check_what_is_left(console: &mut Console) -> AnyResult<()> {
    let el2 = console.command("ptdump el2")?;
    ensure!(el2.len() > 2, "`ptdump el2`: {el2:?}");
    let tables = console.command("ptdump")?;
    let is_l2s = |name: &&String| name.starts_with("shadow/") && name.ends_with("-s2-enabled");
    let shadow = tables.iter().find(is_l2s).context("L2's shadow is not listed")?;
    let shadow = Dump::parse(&console.command(&format!("ptdump {shadow}"))?).context("L2's shadow")?;
    ensure!(shadow.mapped().count() > 0, "L2's shadow is empty");
    // The other CPUs rest, and still answer for their vCPUs; the one that panicked cannot.
    let regs = console.command("regs")?;
    ensure!(
        matches!(&regs[..], [lost, other] if lost.starts_with("CPU 0 panicked") && other.starts_with("vCPU 1 runs L")),
        "`regs`: {regs:?}"
    );
    let page = console.command("vncr 0")?;
    ensure!(page.iter().any(|line| line.contains(" HCR_EL2 ")), "`vncr 0`: {page:?}");
    for command in ["stop", "cont", "panic", "regs 0", "regs 1 x0=0"] {
        let answer = console.command(command)?;
        ensure!(
            matches!(&answer[..], [error] if error.starts_with("error: ")),
            "`{command}` after a panic: {answer:?}"
        );
    }
    Ok(())
}

/// The console's interrupt, by which the command to panic came, was recorded, and nothing is any more.
fn check_trace(console: &mut Console) -> AnyResult<()> {
    let events = console.command("trace dump vcpu0")?;
    ensure!(events.iter().any(|event| event.contains("gnomon_irq: ")), "{events:?}");
    let again = console.command("trace dump vcpu0")?;
    ensure!(events == again, "a CPU that panicked goes on recording");
    Ok(())
}
