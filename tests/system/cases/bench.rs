//! What operations cost under gnomon, in instructions, against what was recorded.

use std::fs;

use anyhow::Context;
use libtest_mimic::Trial;
use xtask::bench::{self, baseline};
use xtask::project::Project;

use crate::{Result, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("bench_counts_are_as_recorded", |_| counts_are_as_recorded())]
}

fn counts_are_as_recorded() -> Result {
    let project = Project::new();
    let path = baseline::path(&project);
    let recorded = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let measured = bench::bare_under_gnomon(&project)?;
    let growth = baseline::growth(&measured);
    if !growth.is_empty() {
        return Err(format!("what costs more with more around it:\n{}", growth.join("\n")).into());
    }
    let differences = baseline::differences(&recorded, &measured);
    if differences.is_empty() {
        return Ok(());
    }
    let differences = differences.join("\n");
    Err(format!("{differences}\nIf that is meant, record it: scripts/bench --record").into())
}
