//! What the console says of single addresses, and of stage 1: `explain` and `ptdump s1/..`.
//!
//! All trials are about one machine, whose L2 prints and computes without pause. [`Scene::play`] gathers while everything is
//! stopped, so that all answers are about the same tables; each trial judges one statement.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result as AnyResult, bail, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use xtask::console::{Console, JsonConsole};

use crate::answers::{Records, ask};
use crate::scene::{self, Play};
use crate::{Result, expect_none};

/// The stages 1 of the machine's two vCPUs.
const STAGES1: [&str; 4] = ["s1/0/vel2", "s1/0/el1", "s1/1/vel2", "s1/1/el1"];
/// Where QEMU's `virt` board has L2's RAM, and how much of it is looked at.
const L2_RAM: u64 = 0x4000_0000;
const LOOKS: u64 = 24;
/// Most ranges of a stage 1 that AT is asked about.
const AT_LOOKS: usize = 12;
/// The distributor, which gnomon emulates for L1 and L1 for its guest.
const GICD: u64 = 0x800_0000;
/// A shell loop that lets its CPU leave L2 seldom, in the background.
const BUSY: &str = "while :; do :; done &\n";
/// How often the machine is stopped before its L2 must have been running.
const STOPS: usize = 200;
/// Questions to a vCPU between two stops.
const CATCH_UP: usize = 20;
const PAGE_BYTES: u64 = 0x1000;

pub(crate) fn trials() -> Vec<Trial> {
    scene::trials::<Scene>(&[
        ("walks_shadow_leaves_lead_where_the_sentence_says", leaves_lead_there),
        ("walks_of_devices_fault_to_who_emulates_them", devices_fault),
        ("walks_stage_1_dumps_tile_both_halves", dumps_tile),
        ("walks_at_finds_what_the_tables_say", at_agrees),
        ("walks_stage_1_faults_go_to_its_owner", stage_1_faults),
    ])
}

/// What was gathered.
struct Scene {
    /// Of IPAs of L2's RAM: the address, and what was said.
    ram: Vec<(u64, Records)>,
    /// Of the distributor, in L2's view and in L1's.
    device: [Records; 2],
    /// `ptdump`, as text, of each of [`STAGES1`].
    dumps: Vec<Vec<String>>,
    /// `explain .. --at` of addresses of those.
    at: Vec<(String, Records)>,
    /// An address that no stage 1 maps, by each of them.
    holes: Vec<Records>,
    log_dir: PathBuf,
}

impl Play for Scene {
    fn play() -> AnyResult<Self> {
        let mut machine = scene::l1_with_a_shell("console_walks")?;
        scene::start_l2(&mut machine)?;
        scene::start_ticks(&mut machine)?;
        machine.send(BUSY)?;

        let mut console = machine.debug_console()?;
        stop_in_l2(&mut console)?;
        let dumps = stage1_dumps(&mut console)?;
        let mut console = JsonConsole::begin(console)?;
        let shadow = shadow_of_l2(&mut console)?;
        let ram = (0..LOOKS)
            .map(|look| {
                let ipa = L2_RAM + look * 0x54_3000;
                Ok((ipa, ask(&mut console, &format!("explain {shadow} {ipa:#x} w"))?))
            })
            .collect::<AnyResult<_>>()?;
        let device = [
            ask(&mut console, &format!("explain {shadow} {GICD:#x} r"))?,
            ask(&mut console, &format!("explain host {GICD:#x} r"))?,
        ];
        let at = ask_at(&mut console, &dumps)?;
        let holes = STAGES1
            .map(|table| ask(&mut console, &format!("explain {table} 0x0001000000000000 w")))
            .into_iter()
            .collect::<AnyResult<_>>()?;
        console.command("cont")?;
        Ok(Self {
            ram,
            device,
            dumps,
            at,
            holes,
            log_dir: machine.log_dir().to_path_buf(),
        })
    }

    fn log_dir(&self) -> &Path {
        &self.log_dir
    }
}

/// Stops where one vCPU runs L2 and the other L1: each regime is then asked about where it is in force, and where it is not.
fn stop_in_l2(console: &mut Console) -> AnyResult<()> {
    for _ in 0..STOPS {
        // What has come due while everything was stopped is done before L2 goes on.
        for _ in 0..CATCH_UP {
            runs_l2(console, 0)?;
        }
        console.command("stop")?;
        if runs_l2(console, 0)? != runs_l2(console, 1)? {
            return Ok(());
        }
        console.command("cont")?;
    }
    bail!("none of {STOPS} stops found one vCPU in L2 and the other in L1")
}

fn runs_l2(console: &mut Console, vcpu: usize) -> AnyResult<bool> {
    let state = console.command(&format!("regs {vcpu}"))?;
    Ok(state.first().is_some_and(|line| line.contains(" runs L2 ")))
}

fn stage1_dumps(console: &mut Console) -> AnyResult<Vec<Vec<String>>> {
    STAGES1
        .iter()
        .map(|table| console.command(&format!("ptdump {table}")))
        .collect()
}

/// The name of the one shadow.
fn shadow_of_l2(console: &mut JsonConsole) -> AnyResult<String> {
    let tables = ask(console, "ptdump")?;
    let mut names = tables.iter().filter_map(|record| record["table"].as_str());
    let shadow = names.find(|name| name.starts_with("shadow/") && name.ends_with("-s2-enabled"));
    shadow.map(String::from).context("L2 has no shadow")
}

/// Has AT executed for the beginnings of some mapped ranges of each dump.
fn ask_at(console: &mut JsonConsole, dumps: &[Vec<String>]) -> AnyResult<Vec<(String, Records)>> {
    let mut answers = Vec::new();
    for (table, dump) in STAGES1.iter().zip(dumps) {
        let ranges: Vec<_> = dump.iter().filter_map(|line| Range::of(line)).collect();
        let mapped: Vec<_> = ranges.iter().filter(|range| range.is_mapped).collect();
        ensure!(!mapped.is_empty(), "{table} maps nothing: {dump:?}");
        for range in mapped.iter().step_by(mapped.len().div_ceil(AT_LOOKS)) {
            for access in ["r", "w"] {
                let command = format!("explain {table} {:#x} {access} --at", range.start);
                let records = ask(console, &command)?;
                answers.push((command, records));
            }
        }
    }
    Ok(answers)
}

/// A line of a dump.
#[derive(Clone, Copy)]
struct Range {
    start: u64,
    end: u64,
    is_mapped: bool,
}

impl Range {
    fn of(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        let (start, end) = (number(start)?, number(end)?);
        // Behind the size and the level come attributes.
        let is_mapped = words.nth(2).is_some();
        Some(Self { start, end, is_mapped })
    }
}

/// The last record of a kind.
fn last<'a>(records: &'a Records, kind: &str) -> Option<&'a Value> {
    records.iter().rev().find(|record| record["k"] == kind)
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

fn leaves_lead_there(scene: &Scene) -> Result {
    let mut wrong = Vec::new();
    let mut follow_count = 0;
    for (ipa, records) in &scene.ram {
        let Some(walk) = last(records, "walk") else {
            wrong.push(format!("{ipa:#x}: no sentence in {records:?}"));
            continue;
        };
        let shadow = records
            .iter()
            .rev()
            .find(|record| record["stage"] == "shadow" && record["k"] == "step");
        let leaf = shadow.and_then(|step| Some((number(&step["raw"])?, step["level"].as_u64()?)));
        let (Some((raw, level)), Some(pa), "follows") =
            (leaf, number(&walk["pa"]), walk["shadow"].as_str().unwrap_or(""))
        else {
            // What L2 has not touched is in no shadow, and may be in no table of L1's.
            if !matches!(walk["shadow"].as_str(), Some("empty" | "absent")) {
                wrong.push(format!("{ipa:#x}: {walk}"));
            }
            continue;
        };
        follow_count += 1;
        let size = 1 << (12 + 9 * (3 - level));
        if pa != (raw & 0xffff_ffff_f000 & !(size - 1) | ipa & (size - 1)) {
            wrong.push(format!("{ipa:#x}: leaf {raw:#x} at level {level}, and {walk}"));
        }
    }
    if follow_count == 0 {
        wrong.push(format!("none of {LOOKS} addresses of L2's RAM is in its shadow"));
    }
    expect_none(&wrong)
}

fn devices_fault(scene: &Scene) -> Result {
    let [l2, l1] = &scene.device;
    let end = |records| last(records, "walk").map(|walk| (walk["end"].clone(), walk["receiver"].clone()));
    let mut wrong = Vec::new();
    if end(l2) != Some(("faults".into(), "l1".into())) {
        wrong.push(format!("L2's distributor is L1's to emulate: {l2:?}"));
    }
    if end(l1) != Some(("emulated".into(), Value::Null)) {
        wrong.push(format!("L1's distributor is gnomon's to emulate: {l1:?}"));
    }
    expect_none(&wrong)
}

fn dumps_tile(scene: &Scene) -> Result {
    let mut wrong = Vec::new();
    for (table, dump) in STAGES1.iter().zip(&scene.dumps) {
        let headers: Vec<_> = dump.iter().filter(|line| line.starts_with("---[ ")).collect();
        if headers.len() != 2 || !headers[0].contains("TTBR0") || !headers[1].contains("TTBR1") {
            wrong.push(format!("{table}: headers {headers:?}"));
        }
        let ranges: Vec<_> = dump.iter().filter_map(|line| Range::of(line)).collect();
        if ranges.len() + headers.len() != dump.len() {
            wrong.push(format!(
                "{table}: {} lines are no ranges",
                dump.len() - ranges.len() - headers.len()
            ));
        }
        let Some(upper) = ranges.iter().position(|range| range.start >> 63 != 0) else {
            wrong.push(format!("{table}: nothing of the upper half"));
            continue;
        };
        let gaps = (1..ranges.len()).filter(|&at| at != upper && ranges[at].start != ranges[at - 1].end);
        wrong.extend(gaps.map(|at| format!("{table}: a gap before {:#x}", ranges[at].start)));
        let ends = (ranges[0].start, ranges[ranges.len() - 1].end);
        if ends != (0, 0) {
            wrong.push(format!("{table}: begins and ends at {ends:x?}"));
        }
        if ranges.iter().any(|range| range.start % PAGE_BYTES != 0) {
            wrong.push(format!("{table}: a range within a page"));
        }
    }
    expect_none(&wrong)
}

fn at_agrees(scene: &Scene) -> Result {
    let disagreeing = scene
        .at
        .iter()
        .filter(|(_, records)| last(records, "at").is_none_or(|at| at["agrees"] != true))
        .map(|(command, records)| format!("`{command}`: {records:?}"));
    expect_none(&disagreeing.collect::<Vec<_>>())
}

fn stage_1_faults(scene: &Scene) -> Result {
    let wrong = scene.holes.iter().filter(|records| {
        last(records, "walk").is_none_or(|walk| walk["end"] != "faults" || walk["receiver"] != "guest")
    });
    expect_none(&wrong.map(|records| format!("{records:?}")).collect::<Vec<_>>())
}
