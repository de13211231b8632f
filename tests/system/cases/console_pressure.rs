//! The debug console when it is needed most: nothing exits, nothing runs, there is too much, everything changes.
//!
//! The guests are scenarios of the payload `faulty`, which do nothing else. That an answer comes at all is most of what
//! is shown.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context, Result as AnyResult, bail, ensure};
use libtest_mimic::Trial;
use system_tests::listing::{self, FrameCount};
use system_tests::ptdump::{Dump, split_by_name};
use xtask::console::{Console, PROMPT};
use xtask::machine::Machine;

use crate::Result;
use crate::answers::expect_answer;
use crate::faulty::{builder, start};
use crate::line::{self, CTRL_C};

/// Commands that read each kind of thing there is.
const LOOKS: [&str; 9] = [
    "help",
    "ptdump",
    "ptdump shadow/0",
    "ptdump guest/0",
    "shadow",
    "audit",
    "tlbi",
    "explain shadow/0 0x80100000 w",
    "exits",
];

/// Where the scenario `crash` takes exceptions for ever.
const UNMAPPED: &str = "pc 0x0000010000000";

/// Leaves of the scenario `million`, beside the one of the programs.
const LEAF_COUNT: u64 = 1 << 20;
/// A line of its dump after some hundred others.
const SOME_LEAF: &str = "0x0000000100100000-";
/// How much may come after Ctrl-C: what was on its way, which is little of the 70 MB that were asked for.
const REST_BYTES_MAX: usize = 2 << 20;

/// How long VMs come and go while the console looks, unless `GNOMON_PRESSURE_SECONDS` says otherwise.
const DUMPING: Duration = Duration::from_secs(30);

/// How findings of an audit begin that are about what must always hold.
const INVARIANTS: [&str; 3] = ["I1 ", "I2 ", "I3 "];

/// What a dump of something that changes may say beside it.
const REMARKS: [&str; 3] = ["note: ", "error: the shadow is gone", "error: no table"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("console_answers_while_l2_spins_with_interrupts_masked", while_l2_spins),
        trial("console_answers_while_everything_is_stopped", while_stopped),
        trial("console_answers_after_l1_has_crashed", after_a_crash),
        trial("console_streams_a_million_leaves_until_ctrl_c", a_million_leaves),
        trial("console_dumps_while_vms_come_and_go_on_8_cpus", vms_come_and_go),
    ]
}

/// A trial whose failure tells the whole chain of causes.
fn trial(name: &'static str, play: fn(&str) -> AnyResult<()>) -> Trial {
    crate::trial(name, move |name| -> Result {
        play(name).map_err(|error| format!("{error:#}").into())
    })
}

fn console(machine: &mut Machine) -> AnyResult<Console> {
    let mut console = machine.debug_console()?;
    console.set_limit(line::LIMIT);
    Ok(console)
}

/// Gives all of [`LOOKS`], none of which may be an error.
fn look(console: &mut Console) -> AnyResult<()> {
    for command in LOOKS {
        let lines = console.command(command)?;
        let first = lines.first().with_context(|| format!("`{command}`: no answer"))?;
        ensure!(!first.starts_with("error:"), "`{command}`: {first}");
    }
    Ok(())
}

/// How many exits there were that a guest brought about itself: all but interrupts.
fn own_exits(console: &mut Console) -> AnyResult<u64> {
    let rows = listing::parse_exits(&console.command("exits")?)?;
    let own = rows.iter().filter(|row| row.cause != "IRQ" && row.cause != "total");
    Ok(own.map(|row| row.count).sum())
}

/// Looks, and makes sure that the guest gave no occasion for it.
fn look_without_an_exit(console: &mut Console) -> AnyResult<()> {
    let before = own_exits(console)?;
    look(console)?;
    let after = own_exits(console)?;
    ensure!(before == after, "{} exits: this shows nothing", after - before);
    Ok(())
}

/// Waits until the vCPU that runs the payload is where `sign` says, by the first line of `regs`.
fn wait_until(console: &mut Console, sign: &str) -> AnyResult<()> {
    let deadline = Instant::now() + line::LIMIT;
    loop {
        let state = console.command("regs 0")?;
        if state.first().is_some_and(|line| line.contains(sign)) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "no {sign:?} in {state:?}");
    }
}

fn while_l2_spins(name: &str) -> AnyResult<()> {
    let mut machine = start(builder(name, "spin")?)?;
    let mut console = console(&mut machine)?;
    wait_until(&mut console, " runs L2 ")?;
    look_without_an_exit(&mut console)
}

fn while_stopped(name: &str) -> AnyResult<()> {
    let mut machine = start(builder(name, "table-in-l0")?)?;
    let mut console = console(&mut machine)?;
    // L1 has something to do all the time.
    let (before, deadline) = (own_exits(&mut console)?, Instant::now() + line::LIMIT);
    while own_exits(&mut console)? == before {
        ensure!(Instant::now() < deadline, "L1 does nothing before it is stopped");
    }
    expect_answer(&mut console, "stop", "stopped")?;
    look_without_an_exit(&mut console)?;
    expect_answer(&mut console, "cont", "running")
}

fn after_a_crash(name: &str) -> AnyResult<()> {
    let mut machine = start(builder(name, "crash")?)?;
    let mut console = console(&mut machine)?;
    wait_until(&mut console, UNMAPPED)?;
    look_without_an_exit(&mut console)
}

fn a_million_leaves(name: &str) -> AnyResult<()> {
    let mut machine = start(builder(name, "million")?)?;
    let before = {
        let mut console = console(&mut machine)?;
        let lines = console.command("shadow")?;
        let rows = listing::parse_shadows(&lines)?;
        let mapped = rows.first().context("there is no shadow")?.mapped[0];
        ensure_leaves(mapped)?;
        frames(&lines)?
    };
    // One dump that prints, and one that is long over when it has something to say.
    cancel(&machine, "ptdump shadow/0", SOME_LEAF)?;
    cancel(&machine, "ptdump shadow/0 | count", "count\n")?;
    let mut console = console(&mut machine)?;
    let after = frames(&console.command("shadow")?)?;
    ensure!(
        before == after,
        "looking took memory: {before:?} before, {after:?} afterwards"
    );
    Ok(())
}

fn ensure_leaves(mapped: u64) -> AnyResult<()> {
    ensure!(
        mapped >= LEAF_COUNT * 4096,
        "only {mapped:#x} bytes are mapped by pages"
    );
    Ok(())
}

fn frames(lines: &[String]) -> AnyResult<FrameCount> {
    listing::parse_frames(lines).with_context(|| format!("no count of frames in {lines:?}"))
}

/// Gives `command`, waits for `sign`, and ends it: the prompt must come without the rest.
fn cancel(machine: &Machine, command: &str, sign: &str) -> AnyResult<()> {
    let mut line = line::to_console(machine)?;
    line.send(format!("{command}\r").as_bytes())?;
    line.read_until(sign)?;
    line.send(&[CTRL_C])?;
    let rest = line.read_until(&format!("^C\n{PROMPT}"))?;
    ensure!(
        rest.len() < REST_BYTES_MAX,
        "{} bytes came after Ctrl-C in `{command}`",
        rest.len()
    );
    Ok(())
}

/// Eight CPUs make, use and tear down VMs, more than the pool has room for. L1 checks that each VM sees its own pages; here
/// it is checked that each dump has its form, and that no table page is lost.
fn vms_come_and_go(name: &str) -> AnyResult<()> {
    let mut machine = start(builder(name, "recycle")?.smp(8).append("cpus=8"))?;
    machine.wait_for("P ROUND")?;
    let mut console = console(&mut machine)?;
    // The host may have two cores for the eight, of which one has the console, and there is one lock for nine that want it.
    console.set_limit(line::LIMIT);
    let before = pages_outside_shadows(&mut console)?;
    let deadline = Instant::now() + duration()?;
    let mut dump_count = 0;
    while Instant::now() < deadline || dump_count == 0 {
        dump_count += dump_everything(&mut console)?;
    }
    check_invariants(&console.command("audit")?)?;
    // Whatever the console did, L1 goes on, and has seen nothing wrong.
    machine.wait_for("P ROUND")?;
    let after = pages_outside_shadows(&mut console)?;
    ensure!(
        before == after,
        "{before} table pages were in no shadow before {dump_count} dumps, {after} afterwards"
    );
    let lines = machine.console_lines();
    match lines.iter().find(|line| line.starts_with("P FAIL")) {
        Some(failure) => bail!("{failure}"),
        None => Ok(()),
    }
}

fn duration() -> AnyResult<Duration> {
    match env::var("GNOMON_PRESSURE_SECONDS") {
        Ok(text) => Ok(Duration::from_secs(
            text.parse().context("GNOMON_PRESSURE_SECONDS is no number")?,
        )),
        Err(_) => Ok(DUMPING),
    }
}

/// One round of dumps; returns how many there were.
fn dump_everything(console: &mut Console) -> AnyResult<usize> {
    let dumps = split_by_name(&dump(console, "shadow")?);
    ensure!(!dumps.is_empty(), "there is no shadow");
    // Of one that ended between its name and its first line there is nothing but the remark.
    for (name, lines) in dumps.iter().filter(|(_, lines)| !lines.is_empty()) {
        parse(lines).with_context(|| name.clone())?;
    }
    let listed = listing::parse_shadows(&console.command("shadow")?)?;
    console.command("tlbi")?;
    for row in listed.iter().step_by(8) {
        // L1 writes this table at the same time, or has done with it and made others.
        let lines = dump(console, &format!("guest/{}", row.name.text))?;
        if !lines.is_empty() {
            parse(&lines).with_context(|| row.name.text.clone())?;
        }
    }
    Ok(dumps.len())
}

fn parse(lines: &[String]) -> AnyResult<()> {
    match Dump::parse(lines) {
        Ok(_) => Ok(()),
        Err(error) => bail!("{error} in\n{}", lines.join("\n")),
    }
}

/// L1 invalidates before it changes anything, so an audit finds nothing of gnomon's or of L1's that is wrong. What it
/// says of L1's tables themselves is about memory that L1 is writing.
pub(crate) fn check_invariants(lines: &[String]) -> AnyResult<()> {
    ensure!(
        lines.iter().any(|line| line.ends_with(" findings")),
        "the audit has no end: {lines:?}"
    );
    match lines
        .iter()
        .find(|line| INVARIANTS.iter().any(|name| line.starts_with(name)))
    {
        Some(line) => bail!("{line}"),
        None => Ok(()),
    }
}

/// The answer to a dump as far as it came, without the remark that the table has changed meanwhile, or that there is none
/// any more.
fn dump(console: &mut Console, table: &str) -> AnyResult<Vec<String>> {
    let mut lines = console.command(&format!("ptdump {table}"))?;
    lines.retain(|line| !REMARKS.iter().any(|remark| line.starts_with(remark)));
    Ok(lines)
}

/// Frames that are neither free nor of a shadow, with everything stopped: nobody's, if they grow.
fn pages_outside_shadows(console: &mut Console) -> AnyResult<u64> {
    expect_answer(console, "stop", "stopped")?;
    let lines = console.command("shadow")?;
    expect_answer(console, "cont", "running")?;
    let FrameCount { free, total } = frames(&lines)?;
    let shadows: u64 = listing::parse_shadows(&lines)?.iter().map(|row| row.table_pages).sum();
    (total - free)
        .checked_sub(shadows)
        .context("shadows have more pages than there are")
}
