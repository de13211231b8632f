//! The trace of a machine whose L2 runs, and the console as programs use it.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::console::JsonConsole;
use xtask::machine::{Builder, Machine};
use xtask::perfetto;

use crate::{Result, entry, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("a_trace_tells_the_story_of_an_l2", tells_the_story)]
}

/// What L1, L2 and L0 do to each other, in KVM's words.
const EVENTS: [&str; 6] = [
    "kvm_exit",
    "kvm_entry",
    "kvm_nested_eret",
    "kvm_inject_nested_exception",
    "kvm_sys_access",
    "gnomon_shadow_fault",
];

fn tells_the_story(name: &str) -> Result {
    let mut machine = Builder::new(name).smp(1).append("gnomon.hold=600").start()?;
    machine.set_limit(entry::LIMIT);
    machine.wait_for("L1 KVM:")?;
    let mut console = JsonConsole::begin(machine.debug_console()?)?;
    check_json(&mut console)?;
    console.command("trace on")?;
    machine.wait_for("L2 UP")?;
    await_events(&mut console)?;
    console.command("trace off")?;
    let records = console.command("trace dump")?;
    check_balance(&records)?;
    check_registers(&console.command("exits regs")?)?;
    let mut console = console.end()?;
    let lines = console.command("trace dump kvm_nested_eret | head 3")?;
    for line in &lines {
        check_line(line)?;
    }
    check_perfetto(&machine, &records)?;
    Ok(())
}

fn check_json(console: &mut JsonConsole) -> AnyResult<()> {
    let levels = console.command("levels host")?;
    ensure!(levels == [r#"{"v":1,"id":2,"k":"levels","levels":4}"#], "{levels:?}");
    let error = console
        .command("levels nowhere")
        .err()
        .context("`levels nowhere` was answered")?;
    ensure!(error.to_string().contains("no table 'nowhere'"), "{error:#}");
    let count = console.command("help | count")?;
    ensure!(
        matches!(&count[..], [one] if one.contains(r#""k":"count""#)),
        "{count:?}"
    );
    Ok(())
}

/// Waits until each event was recorded: only the last ones are kept, and a guest that idles does not do everything. But one
/// whose shadow is gone faults.
fn await_events(console: &mut JsonConsole) -> AnyResult<()> {
    let tables = console.command("ptdump")?;
    let mut words = tables.iter().flat_map(|record| record.split('"'));
    let shadow = words.find(|word| word.starts_with("shadow/") && word.ends_with("-s2-enabled"));
    let shadow = shadow.context("no shadow of L2 is listed")?;
    for event in EVENTS {
        let deadline = Instant::now() + entry::LIMIT;
        while console.command(&format!("trace dump {event} | head 1"))?.is_empty() {
            ensure!(Instant::now() < deadline, "no {event}");
            console.command(&format!("drop {shadow}"))?;
        }
    }
    Ok(())
}

fn check_balance(records: &[String]) -> AnyResult<()> {
    // L0 is left for a guest as often as a guest for L0, but for the one at either end.
    let count = |event: &str| records.iter().filter(|record| record.contains(event)).count();
    let (exits, entries) = (count("\"kvm_exit\""), count("\"kvm_entry\""));
    ensure!(exits.abs_diff(entries) <= 1, "{exits} exits, {entries} entries");
    Ok(())
}

fn check_registers(rows: &[String]) -> AnyResult<()> {
    // What Linux's KVM cannot do without.
    for register in ["TLBI VMALLE1IS", "SCTLR_EL2"] {
        ensure!(
            rows.iter().any(|row| row.contains(register)),
            "no {register} in {rows:?}"
        );
    }
    Ok(())
}

/// As ftrace prints it: the kernel's own tools read nothing else.
fn check_line(line: &str) -> AnyResult<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    ensure!(
        matches!(
            words[..],
            [
                "vcpu0-0",
                "[000]",
                ".....",
                _,
                "kvm_nested_eret:",
                "elr_el2:",
                _,
                "spsr_el2:",
                ..
            ]
        ),
        "{line:?}"
    );
    Ok(())
}

/// The same records as a file for Perfetto: there is one, and it is not small.
fn check_perfetto(machine: &Machine, records: &[String]) -> AnyResult<()> {
    let dir = machine.log_dir();
    let (from, out) = (dir.join("trace.jsonl"), dir.join("trace.perfetto-trace"));
    fs::write(&from, records.join("\n"))?;
    perfetto::run(&perfetto::Options {
        source: perfetto::Source::Records(from),
        record: None,
        out: out.clone(),
        save: None,
    })?;
    let bytes = fs::metadata(&out)?.len();
    // A packet has a time, a track and a type: 20 bytes at the least.
    ensure!(
        bytes > 20 * records.len() as u64,
        "{bytes} bytes for {} records",
        records.len()
    );
    Ok(())
}
