//! The debug console and people: whatever is typed, it answers the next sensible line.

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::console::{Console, PROMPT};
use xtask::machine::{Machine, Outcome};

use crate::line::{self, CTRL_C};
use crate::scene::{in_shell, l1_with_a_shell};
use crate::{Result, expect_none, trial};

/// How much nonsense is typed.
const GARBAGE_BYTES: usize = 100_000;

/// As many dumps as are typed ahead; their lines fit into the console's 256 bytes for that.
const DUMPS: usize = 20;

/// The commands that the console must have.
const COMMANDS: [&str; 20] = [
    "help",
    "ptdump",
    "levels",
    "ipa_range",
    "explain",
    "shadow",
    "exits",
    "regs",
    "vncr",
    "vgic",
    "timer",
    "idregs",
    "mem",
    "tlbi",
    "trace",
    "set",
    "stop",
    "cont",
    "panic",
    "poweroff",
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("console_survives_bad_input", survives_bad_input)]
}

/// One machine for all of it: what survives one thing must survive the next.
fn survives_bad_input(name: &str) -> Result {
    let mut machine = l1_with_a_shell(name)?;

    let mut console = machine.debug_console()?;
    console.set_limit(line::LIMIT);
    check_help(&mut console)?;
    expect_none(&complaints_about_errors(&mut console)?)?;
    drop(console);

    type_garbage(&machine)?;
    check_help(&mut machine.debug_console()?).context("after garbage was typed")?;

    cancel_dumps(&machine)?;
    check_help(&mut machine.debug_console()?).context("after Ctrl-C")?;

    in_shell(&mut machine, "L1 lives")?;
    power_off(&mut machine)?;
    Ok(())
}

fn check_help(console: &mut Console) -> AnyResult<()> {
    let lines = console.command("help")?;
    for command in COMMANDS {
        let is_its = |line: &String| line.split_whitespace().next() == Some(command);
        ensure!(lines.iter().any(is_its), "help does not speak of {command}: {lines:?}");
        let more = console.command(&format!("help {command}"))?;
        ensure!(
            more.iter().any(|line| line.starts_with("usage: ")),
            "`help {command}` says: {more:?}"
        );
    }
    Ok(())
}

/// Lines that mean nothing, each of which must be answered by one line of error.
fn complaints_about_errors(console: &mut Console) -> AnyResult<Vec<String>> {
    let long = "x".repeat(200);
    let bad = [
        "bogus",
        "help bogus",
        "ptdump bogus",
        "ptdump shadow/99",
        "ptdump shadow/",
        "ptdump shadow/0x0123",
        "ptdump guest/-1",
        "ptdump host el2",
        "ptdump -x",
        "levels",
        "levels bogus",
        "ipa_range",
        "ipa_range el2",
        "explain host",
        "explain bogus 0",
        "explain host nowhere",
        "explain host 0 rw",
        "explain host 0 --at",
        "explain s1/9/el1 0",
        "explain vcpu9 0",
        "ptdump s1/9/el1",
        "ptdump s1/0/el3",
        "exits vcpu9",
        "regs vcpu9",
        "regs 0 bogus",
        "regs bogus=1",
        "regs hcr_el2=bogus",
        "regs 0 hcr_el2 x",
        "vncr",
        "vncr 9",
        "vgic 9",
        "timer x",
        "idregs bogus",
        "mem",
        "mem bogus",
        "mem 1",
        "mem pa:0xffffffffffffff8",
        "mem bogus:0",
        "exits -1",
        "exits regs vcpu9",
        "trace bogus",
        "trace dump bogus",
        "set json",
        "set json maybe",
        "shadow 1",
        "stop now",
        "cont",
        "panic now",
        "poweroff please",
        "ptdump host | bogus",
        "ptdump host |",
        "| head 1",
        &long,
    ];
    let mut wrong = Vec::new();
    for line in bad {
        let answer = console.command(line)?;
        if !matches!(&answer[..], [error] if error.starts_with("error: ") && error.len() > "error: ".len()) {
            wrong.push(format!("`{line}` was answered by {answer:?}"));
        }
    }
    Ok(wrong)
}

/// Types a hundred thousand bytes of every value, then drops what is left on the line.
fn type_garbage(machine: &Machine) -> AnyResult<()> {
    let mut state = 1_u32;
    let garbage: Vec<u8> = (0..GARBAGE_BYTES)
        .map(|_| {
            // Numerical Recipes' generator: the same bytes in every run.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    let mut line = line::to_console(machine)?;
    line.send(&garbage)?;
    // What was typed last decides whether the end of it is a line, so it is dropped. The answer to the
    // line after that shows that all has been read.
    line.send(&[CTRL_C, CTRL_C])?;
    line.send(b"\rlevels after-garbage\r")?;
    line.read_until("no table 'after-garbage'").map(drop)
}

/// Types many dumps ahead and ends the first one: none of the others may follow.
fn cancel_dumps(machine: &Machine) -> AnyResult<()> {
    let mut line = line::to_console(machine)?;
    line.send(&b"ptdump host\r".repeat(DUMPS))?;
    line.read_until("---[ Guest IPA ]---")?;
    line.send(&[CTRL_C])?;
    let text = line.read_until(&format!("^C\n{PROMPT}"))?;
    let begun = 1 + text.matches("---[ Guest IPA ]---").count();
    ensure!(begun < DUMPS, "all {DUMPS} dumps came in spite of Ctrl-C");
    // In one burst with the line it ends, and with one that it must not end.
    line.send(b"ptdump host\r\x03levels after-burst\r")?;
    let text = line.read_until("no table 'after-burst'")?;
    ensure!(text.contains("^C\n"), "Ctrl-C was lost in {text:?}");
    Ok(())
}

fn power_off(machine: &mut Machine) -> AnyResult<()> {
    let mut line = line::to_console(machine)?;
    line.send(b"poweroff\r")?;
    let outcome = machine.wait_until_off()?;
    ensure!(outcome == Outcome::PoweredOff, "`poweroff`, but {outcome}");
    Ok(())
}
