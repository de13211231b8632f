//! Optional features of the CPU that L1 and its guests are given: the payload `features` uses them at virtual EL2 and in
//! an L2, and says the same natively.

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::machine::Builder;
use xtask::memory::MemorySize;

use crate::{Result, line, trial};

const RAM_MIB: u64 = 1024;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("features_are_as_natively", are_as_natively)]
}

/// What the payload prints.
fn lines(builder: Builder) -> AnyResult<Vec<String>> {
    let mut machine = builder
        .payload("features")?
        .memory(MemorySize::from_mib(RAM_MIB))
        .start()?;
    machine.set_limit(line::LIMIT);
    let outcome = machine.wait_until_off()?;
    let mut lines = machine.console_lines();
    lines.retain(|line| line.starts_with("P "));
    ensure!(
        lines.last().is_some_and(|line| line.trim_end() == "P OK"),
        "{outcome}; last came {lines:?}"
    );
    Ok(lines)
}

fn are_as_natively(name: &str) -> Result {
    let gnomon = lines(Builder::new(name)).context("under gnomon")?;
    let native = lines(Builder::new(name).native()).context("natively")?;
    let differs = native.iter().zip(&gnomon).find(|(native, gnomon)| native != gnomon);
    if let Some((native, gnomon)) = differs {
        return Err(format!("natively `{native}`, under gnomon `{gnomon}`").into());
    }
    if native.len() != gnomon.len() {
        return Err(format!("{} lines natively, {} under gnomon", native.len(), gnomon.len()).into());
    }
    Ok(())
}
