//! CPUs and machines that end at any moment and begin again, and what must be left of them: nothing.
//!
//! L1 is the payload `storm`, in which all CPUs make, use and forget VMs. [`restarted_at_any_moment`] lets it be reset in
//! the middle of that, in every way there is, in an order that a seed decides; with the console it also races a reset with
//! dumps, audits and shadows dropped. What gnomon has is then what it had at first. `GNOMON_RESETS` says how many there are.

use std::env;

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use system_tests::listing;
use xtask::console::{Console, JsonConsole, PROMPT};
use xtask::machine::{Builder, Machine, Outcome};
use xtask::memory::MemorySize;

use crate::answers::{Records, ask};
use crate::{Result, line};

const PAYLOAD: &str = "storm";
const CPU_COUNT: u32 = 4;
const RAM_MIB: u64 = 1024;

/// How often each CPU goes off and on.
const ROUNDS: u32 = 700;

/// How many resets there are, and the variable that says another number.
const RESETS: u64 = 8;
const RESETS_VARIABLE: &str = "GNOMON_RESETS";

/// How the payload is told to end, and what gnomon says then. The last way is the console's.
const ENDS: [(&str, &str); 5] = [
    ("reset", "gnomon: L1 reset"),
    ("warm", "gnomon: L1 reset, warm"),
    ("l2", "gnomon: L1 reset"),
    ("l2-warm", "gnomon: L1 reset, warm"),
    ("wait", "frames are free as after boot; resetting"),
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("psci_refuses_by_the_errors_of_the_specification", calls),
        trial(
            "cpus_that_go_off_and_on_lose_no_interrupt_and_no_page",
            cpus_come_and_go,
        ),
        trial("restarted_at_any_moment_all_is_as_at_first", restarted_at_any_moment),
    ]
}

/// A trial whose failure tells the whole chain of causes.
fn trial(name: &'static str, play: fn(&str) -> AnyResult<()>) -> Trial {
    crate::trial(name, move |name| -> Result {
        play(name).map_err(|error| format!("{error:#}").into())
    })
}

fn builder(name: &str, words: &str) -> AnyResult<Builder> {
    let builder = Builder::new(name).payload(PAYLOAD)?;
    let words = format!("cpus={CPU_COUNT} {words}");
    Ok(builder
        .smp(CPU_COUNT)
        .memory(MemorySize::from_mib(RAM_MIB))
        .append(&words))
}

fn start(builder: Builder) -> AnyResult<Machine> {
    let mut machine = builder.start()?;
    machine.set_limit(line::LIMIT);
    Ok(machine)
}

/// Runs a payload to its end, which must be a good one.
fn run(builder: Builder) -> AnyResult<()> {
    let mut machine = start(builder)?;
    let outcome = machine.wait_until_off()?;
    let lines = machine.console_lines();
    let last = lines.last().map_or("", |line| line.trim_end());
    ensure!(outcome == Outcome::PoweredOff && last == "P OK", "{outcome}; {last:?}");
    Ok(())
}

fn calls(name: &str) -> AnyResult<()> {
    run(builder(name, "mode=calls")?)
}

fn cpus_come_and_go(name: &str) -> AnyResult<()> {
    let builder = builder(name, &format!("mode=cpus rounds={ROUNDS} hold"))?;
    let mut machine = start(builder.interactive())?;
    machine.wait_for("P ROUND")?;
    let before = pages_of_no_shadow(&mut machine.debug_console()?)?;
    machine.wait_for(&format!("P CPUS {}", ROUNDS * (CPU_COUNT - 1)))?;
    machine.wait_for("P OK")?;
    let mut console = machine.debug_console()?;
    let after = pages_of_no_shadow(&mut console)?;
    ensure!(
        before == after,
        "{before} pages are of no shadow at first, {after} in the end"
    );
    let rows = listing::parse_shadows(&console.command("shadow")?)?;
    let held: Vec<_> = rows.iter().filter(|row| row.refs > 0 || row.mapped != [0; 3]).collect();
    ensure!(held.is_empty(), "the CPUs that are off hold {held:?}");
    drop(console);
    reset_by_console(&machine, 0)
}

/// Frames that are neither free nor of a shadow.
pub(crate) fn pages_of_no_shadow(console: &mut Console) -> AnyResult<u64> {
    console.command("stop")?;
    let lines = console.command("shadow")?;
    console.command("cont")?;
    let frames = listing::parse_frames(&lines).with_context(|| format!("no count of frames in {lines:?}"))?;
    let shadows: u64 = listing::parse_shadows(&lines)?.iter().map(|row| row.table_pages).sum();
    (frames.total - frames.free)
        .checked_sub(shadows)
        .context("shadows have more pages than there are")
}

fn restarted_at_any_moment(name: &str) -> AnyResult<()> {
    let resets = match env::var(RESETS_VARIABLE) {
        Ok(text) => text.parse().with_context(|| RESETS_VARIABLE.to_owned())?,
        Err(_) => RESETS,
    };
    let mut machine = start(builder(name, "mode=busy")?.interactive())?;
    machine.expect_resets();
    machine.wait_for("P UP 1")?;
    let first = state(&mut machine)?;
    let mut counts = [0; ENDS.len()];
    for seed in 1..=resets {
        // Each way comes once in so many, in another order each time.
        let way = ((3 * seed + seed / ENDS.len() as u64) % ENDS.len() as u64) as usize;
        end(&mut machine, seed, way).with_context(|| format!("reset {seed}, by {:?}", ENDS[way].0))?;
        counts[way] += 1;
        machine.wait_for(&format!("P UP {}", seed + 1))?;
        let now = state(&mut machine)?;
        ensure!(now == first, "after reset {seed}: {}", difference(&first, &now));
    }
    let ways: Vec<String> = ENDS
        .iter()
        .zip(counts)
        .map(|((way, _), count)| format!("{count} {way}"))
        .collect();
    println!("storm: {resets} resets: {}", ways.join(", "));
    Ok(())
}

/// Has all CPUs make VMs, until the machine is reset in one of [`ENDS`].
fn end(machine: &mut Machine, seed: u64, way: usize) -> AnyResult<()> {
    let (word, sign) = ENDS[way];
    machine.send(&format!("{seed} {word}\n"))?;
    machine.wait_for("P BUSY")?;
    if way + 1 == ENDS.len() {
        let mut console = machine.debug_console()?;
        race(&mut console, seed)?;
        drop(console);
        reset_by_console(machine, seed)
    } else {
        machine.wait_for_debug(sign).map(drop)
    }
}

/// Looks at tables that are used and torn down meanwhile, and drops some.
fn race(console: &mut Console, seed: u64) -> AnyResult<()> {
    const COMMANDS: [&str; 4] = ["ptdump shadow | count", "audit | count", "shadow", "tlbi | count"];
    for round in 0..2 + seed % 3 {
        console.command(COMMANDS[((seed + round) % COMMANDS.len() as u64) as usize])?;
        for slot in 0..4 {
            // It may be nobody's.
            console.command(&format!("drop shadow/{}", (seed * 7 + round * 5 + slot) % 64))?;
        }
    }
    Ok(())
}

/// Resets by the console, which must find every frame.
fn reset_by_console(machine: &Machine, seed: u64) -> AnyResult<()> {
    let mut line = line::to_console(machine)?;
    line.send(b"\r")?;
    line.read_until(PROMPT)?;
    // Sometimes in the middle of a dump.
    if seed % 2 == 1 {
        line.send(b"ptdump shadow\r")?;
        line.read_until("---[")?;
        line.send(&[line::CTRL_C])?;
    }
    line.send(b"reset\r")?;
    line.read_until(ENDS[ENDS.len() - 1].1)?;
    line.read_until("gnomon debug console")?;
    Ok(())
}

/// What gnomon has of L1 before L1 has done anything: no shadow, every frame, no interrupt, no timer, the VNCR pages and the
/// host's table.
fn state(machine: &mut Machine) -> AnyResult<Vec<String>> {
    const COMMANDS: [&str; 6] = ["shadow", "vgic", "timer", "vncr vcpu0", "ptdump", "ptdump host"];
    let mut console = JsonConsole::begin(machine.debug_console()?)?;
    let mut state = Vec::new();
    for command in COMMANDS {
        state.extend(lasting(ask(&mut console, command)?));
    }
    console.end()?;
    Ok(state)
}

/// Records without what time changes.
fn lasting(records: Records) -> impl Iterator<Item = String> {
    let of_time = |record: &Value| record["k"] == "counter";
    records
        .into_iter()
        .filter(move |record| !of_time(record))
        .map(|mut record| {
            if let Some(fields) = record.as_object_mut() {
                for field in ["id", "count", "ticks", "microseconds"] {
                    fields.remove(field);
                }
            }
            record.to_string()
        })
}

fn difference(first: &[String], now: &[String]) -> String {
    let missing = first
        .iter()
        .filter(|line| !now.contains(line))
        .map(|line| format!("- {line}"));
    let new = now
        .iter()
        .filter(|line| !first.contains(line))
        .map(|line| format!("+ {line}"));
    missing.chain(new).collect::<Vec<_>>().join("\n")
}
