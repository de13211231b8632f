//! Guest hypervisors with one planted bug each, which the debug console must name.
//!
//! What it says is in the documentation: each scenario has a heading in `docs/console.md`, and the transcript below it is
//! played again here, on a machine that runs the payload `faulty`. So the documentation shows what is, and a fault that
//! is no longer named is a failing test.

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use system_tests::transcript::{self, Exchange};
use xtask::machine::{Builder, Machine};
use xtask::memory::MemorySize;

use crate::{Result, expect_none, line, trial};

const PAYLOAD: &str = "faulty";
const DOCUMENT: &str = include_str!("../../../docs/console.md");
/// The machine on which the transcripts' addresses are those of every run.
const RAM_MIB: u64 = 1024;

/// Trials, and the scenarios of the payload that they are about, which are the headings.
const NAMED: [(&str, &str); 11] = [
    ("faulty_control_has_nothing_to_name", "good"),
    ("faulty_missing_tlbi_is_named", "missing-tlbi"),
    ("faulty_tlbi_under_the_wrong_vmid_is_named", "wrong-vmid"),
    ("faulty_start_level_is_named", "bad-start-level"),
    ("faulty_table_in_gnomons_memory_is_named", "table-in-l0"),
    ("faulty_leaf_to_gnomons_memory_is_named", "leaf-in-l0"),
    ("faulty_contiguous_run_is_named", "contiguous-overlap"),
    ("faulty_table_that_is_its_own_entry_is_named", "self-table"),
    ("faulty_return_is_named", "bad-spsr"),
    ("faulty_vncr_page_in_gnomons_memory_is_named", "vncr-in-l0"),
    ("faulty_vncr_page_that_is_unmapped_is_named", "vncr-unmapped"),
];

pub(crate) fn trials() -> Vec<Trial> {
    let named = NAMED.map(|(name, scenario)| trial(name, move |name| is_named(name, scenario)));
    let natively = [
        ("faulty_control_says_the_same_natively", "good", 1),
        ("nested_l2_says_the_same_natively", "nested", 1),
        ("what_is_taken_from_a_nested_l2_is_taken_on_every_cpu", "nested-smp", 2),
    ]
    .map(|(name, scenario, cpus)| {
        trial(name, move |name| {
            says_the_same_natively(&builder(name, scenario)?.smp(cpus))
        })
    });
    let without_vhe = trial("nested_l2_without_vhe_says_the_same_natively", |name| {
        let builder = Builder::new(name).payload_without_vhe(PAYLOAD)?.hyp("e2h=0").smp(1);
        says_the_same_natively(&in_scenario(builder, "nested"))
    });
    named.into_iter().chain(natively).chain([without_vhe]).collect()
}

/// Starts the payload with a scenario.
pub(crate) fn builder(name: &str, scenario: &str) -> AnyResult<Builder> {
    Ok(in_scenario(Builder::new(name).payload(PAYLOAD)?, scenario))
}

fn in_scenario(builder: Builder, scenario: &str) -> Builder {
    builder
        .memory(MemorySize::from_mib(RAM_MIB))
        .append(&format!("scenario={scenario}"))
}

/// Starts a scenario that stays as it is once its bug is planted, and waits for that.
pub(crate) fn start(builder: Builder) -> AnyResult<Machine> {
    let mut machine = builder.append("hold").start()?;
    machine.set_limit(line::LIMIT);
    machine.wait_for("P READY")?;
    Ok(machine)
}

fn is_named(name: &str, scenario: &str) -> Result {
    let exchanges = transcript::exchanges(DOCUMENT, scenario);
    if exchanges.is_empty() {
        return Err(format!("docs/console.md has no transcript of {scenario}").into());
    }
    let mut machine = start(builder(name, scenario)?)?;
    let mut console = machine.debug_console()?;
    let mut wrong = Vec::new();
    for exchange in &exchanges {
        let lines = console.command(&exchange.command)?;
        if !exchange.is_answered_by(&lines) {
            wrong.push(complaint(exchange, &lines));
        }
    }
    expect_none(&wrong)
}

fn complaint(exchange: &Exchange, lines: &[String]) -> String {
    format!(
        "`{}` should have been answered by\n{}\nand was by\n{}",
        exchange.command,
        exchange.answer.join("\n"),
        lines.join("\n")
    )
}

/// The payload itself is right: without gnomon a scenario that has no bug does the same.
fn says_the_same_natively(builder: &Builder) -> Result {
    let lines = |builder: Builder| -> AnyResult<Vec<String>> {
        let mut machine = builder.start()?;
        machine.set_limit(line::LIMIT);
        let outcome = machine.wait_until_off()?;
        let lines: Vec<String> = machine
            .console_lines()
            .iter()
            .map(|line| line.trim_end().to_owned())
            .collect();
        ensure!(
            lines.last().is_some_and(|line| line == "P OK"),
            "{outcome}; last came {lines:?}"
        );
        Ok(lines)
    };
    let gnomon = lines(builder.clone()).context("under gnomon")?;
    let native = lines(builder.clone().native()).context("natively")?;
    if gnomon == native {
        return Ok(());
    }
    Err(format!("natively {native:?}, under gnomon {gnomon:?}").into())
}
