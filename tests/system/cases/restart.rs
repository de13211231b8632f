//! Shadows thrown away under a running L2, and L1 started again by the console.

use anyhow::{Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::console::{Console, PROMPT};
use xtask::machine::{Builder, Machine};

use crate::answers::expect_errors;
use crate::{Result, entry, line, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "a_dropped_shadow_comes_back_and_a_reset_begins_anew",
        begins_anew,
    )]
}

fn begins_anew(name: &str) -> Result {
    let mut machine = Builder::new(name).append("gnomon.hold=600").interactive().start()?;
    machine.set_limit(entry::LIMIT);
    machine.wait_for("L2 UP")?;

    // While L2 checks its memory, what it has is thrown away under its feet.
    let mut console = machine.debug_console()?;
    let names: Vec<String> = console.command("ptdump")?;
    let shadow = names
        .iter()
        .find(|name| name.contains("s2-enabled") && name.starts_with("shadow/"));
    let shadow = shadow.ok_or("no shadow of L2 is listed")?.clone();
    for _ in 0..3 {
        let dropped = console.command(&format!("drop {shadow}"))?;
        ensure_dropped(&dropped)?;
        let dropped = console.command(&format!("drop {shadow} 0x40000000+64M"))?;
        ensure_dropped(&dropped)?;
    }
    check_errors(&mut console, &shadow)?;
    drop(console);
    machine.wait_for("L2 OK")?;

    reset(&machine)?;
    machine.wait_for("L1 UP")?;
    machine.wait_for("L2 OK")?;
    Ok(())
}

fn ensure_dropped(answer: &[String]) -> AnyResult<()> {
    ensure!(
        matches!(answer, [one] if one.ends_with("KiB dropped")),
        "`drop`: {answer:?}"
    );
    Ok(())
}

fn check_errors(console: &mut Console, shadow: &str) -> AnyResult<()> {
    let upside_down = format!("drop {shadow} 0x2000-0x1000");
    let commands = [
        "drop",
        "drop host",
        "drop el2",
        "drop shadow/99",
        "reset now",
        &upside_down,
    ];
    expect_errors(console, &commands)
}

/// Resets by the console, which must find every frame, and comes back with a new one.
fn reset(machine: &Machine) -> AnyResult<()> {
    let mut line = line::to_console(machine)?;
    line.send(b"\r")?;
    line.read_until(PROMPT)?;
    line.send(b"reset\r")?;
    line.read_until("frames are free as after boot; resetting")?;
    line.read_until("gnomon debug console")?;
    Ok(())
}
