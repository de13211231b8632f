//! After a panic of gnomon its console goes on, on the CPU that panicked, and shows what is left.

use std::time::Duration;

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use system_tests::ptdump::Dump;
use xtask::console::Console;
use xtask::machine::Outcome;

use crate::{Result, line, scene, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "after_a_panic_the_console_still_shows_the_tables",
        shows_the_tables,
    )]
}

fn shows_the_tables(name: &str) -> Result {
    let mut machine = scene::l1_with_a_shell(name)?;

    let mut console = machine.debug_console()?;
    let host = console.command("ptdump host")?;
    console.command("trace on")?;
    drop(console);
    let mut line = line::to_console(&machine)?;
    line.send(b"panic\r")?;
    // All at once: what comes together is read together.
    let text = line.read_until("gnomon> ")?;
    ensure_contains(&text, "gnomon: panic: asked for at the console at ")?;
    drop(line);

    let mut console = machine.debug_console()?;
    console.set_limit(Duration::from_mins(3));
    let after = console.command("ptdump host")?;
    ensure_same(&host, &after)?;
    check_what_is_left(&mut console)?;
    check_trace(&mut console)?;

    let mut line = line::to_console(&machine)?;
    line.send(b"poweroff\r")?;
    let outcome = machine.wait_until_off()?;
    if !matches!(outcome, Outcome::Failed(_)) {
        return Err(format!("a machine whose gnomon panicked ended as if nothing were: {outcome}").into());
    }
    Ok(())
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
    let shadow = console.command("ptdump shadow/0")?;
    Dump::parse(&shadow).context("`ptdump shadow/0`")?;
    // The other CPUs rest, and still answer for their vCPUs; the one that panicked cannot.
    let regs = console.command("regs")?;
    ensure!(
        matches!(&regs[..], [lost, other] if lost.starts_with("CPU 0 panicked") && other.starts_with("vCPU 1 runs L1 ")),
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
