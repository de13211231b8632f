//! What a program asks about a machine whose L2 prints without pause, running and stopped.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result as AnyResult, ensure};
use serde_json::Value;
use xtask::console::JsonConsole;
use xtask::machine::Machine;

use super::{FEATURES, TRIED, VCPUS};
use crate::answers::{Records, ask};
use crate::entry::LIMIT;
use crate::scene::{self, Play};

/// Where the host tool puts L1's kernel, and where QEMU's `virt` board has L2's.
const L1_KERNEL: &str = "0x48200000";
const L2_KERNEL: &str = "0x40200000";

/// Lines that must be refused.
const REFUSED: [&str; 12] = [
    "regs 9",
    "regs 0 sctlr_el9",
    "regs 0 midr_el1",
    "regs 0 hw/hcr_el2=1",
    "regs 0 ich_lr0_el2=1",
    "regs 0 pstate=0x1f",
    "regs 0 x0=bogus",
    "vncr",
    "idregs sctlr_el1",
    "mem 0x9000000",
    "mem 0x40000004",
    "mem shadow/1:0x9000000",
];

/// What was gathered.
pub(super) struct Scene {
    /// The line `Features` of L1's `/proc/cpuinfo`.
    pub(super) features: String,
    /// `regs`, again and again, until each context was seen, and vCPU 0 at two places.
    pub(super) looks: Vec<Records>,
    /// `timer`, while running.
    pub(super) timers: Records,
    /// `vgic`, while running.
    pub(super) vgic: Records,
    /// For each vCPU, while stopped: `regs N` twice, `vncr N -a`.
    pub(super) stopped: Vec<[Records; 3]>,
    /// A register before, as written, and restored.
    pub(super) written: [Records; 3],
    /// The names of the shadows.
    pub(super) shadows: Records,
    /// `idregs REGISTER`, for each of [`FEATURES`].
    pub(super) fields: Records,
    /// Memory at L1's kernel and at L2's.
    pub(super) kernels: [Records; 2],
    /// Memory at `VBAR_EL2` of vCPU 0 by stage 1 of either vCPU, and at `VBAR_EL1` likewise.
    pub(super) vectors: [Records; 4],
    /// Lines of [`REFUSED`] that were not.
    pub(super) accepted: Vec<String>,
    /// `regs` while L1 has switched vCPU 1 off, and when it is on again.
    pub(super) hotplug: [Records; 2],
    log_dir: PathBuf,
}

impl Play for Scene {
    fn play() -> AnyResult<Self> {
        let mut machine = scene::l1_with_a_shell("console_state")?;
        let features = features_of_l1(&mut machine)?;
        scene::start_l2(&mut machine)?;
        scene::start_ticks(&mut machine)?;

        let mut console = JsonConsole::begin(machine.debug_console()?)?;
        let looks = look_until_both(&mut console)?;
        let (timers, vgic) = (ask(&mut console, "timer")?, ask(&mut console, "vgic")?);
        console.command("stop")?;
        let stopped = (0..VCPUS)
            .map(|vcpu| frozen(&mut console, vcpu))
            .collect::<AnyResult<_>>()?;
        let written = write_and_restore(&mut console)?;
        let shadows = ask(&mut console, "shadow")?;
        let kernels = kernels(&mut console, &shadows)?;
        let vectors = vectors(&mut console)?;
        let fields = id_fields(&mut console)?;
        let accepted = accepted_nonsense(&mut console);
        console.command("cont")?;
        let hotplug = go_on(&mut machine, &mut console)?;
        Ok(Self {
            features,
            looks,
            timers,
            vgic,
            stopped,
            written,
            shadows,
            fields,
            kernels,
            vectors,
            accepted,
            hotplug,
            log_dir: machine.log_dir().to_path_buf(),
        })
    }

    fn log_dir(&self) -> &Path {
        &self.log_dir
    }
}

/// What Linux in L1 found its CPU to have.
fn features_of_l1(machine: &mut Machine) -> AnyResult<String> {
    machine.send("grep -m1 Features /proc/cpuinfo\n")?;
    // The line is whole when the next one is there.
    scene::in_shell(machine, "L1 cpuinfo")?;
    let lines = machine.console_lines();
    let line = lines.iter().find(|line| line.starts_with("Features"));
    line.cloned().context("no line of features in /proc/cpuinfo")
}

/// Asks what the vCPUs do until one was seen running L1, one running L2, and vCPU 0 at two places.
fn look_until_both(console: &mut JsonConsole) -> AnyResult<Vec<Records>> {
    let deadline = Instant::now() + LIMIT;
    let mut looks = Vec::new();
    loop {
        looks.push(ask(console, "regs")?);
        let has_run = |who: &str| looks.iter().flatten().any(|row| is(row, "runs", who));
        let mut places = looks
            .iter()
            .flatten()
            .filter(|row| row["vcpu"] == 0)
            .map(|row| hex(row, "pc"));
        let first = places.next();
        let has_moved = places.any(|place| Some(place) != first);
        if has_run("L1") && has_run("L2") && has_moved && looks.len() > 4 {
            return Ok(looks);
        }
        ensure!(
            Instant::now() < deadline,
            "never in both contexts, and elsewhere: {looks:?}"
        );
    }
}

fn frozen(console: &mut JsonConsole, vcpu: usize) -> AnyResult<[Records; 3]> {
    let regs = format!("regs {vcpu}");
    Ok([
        ask(console, &regs)?,
        ask(console, &regs)?,
        ask(console, &format!("vncr vcpu{vcpu} -a"))?,
    ])
}

/// `x28` of vCPU 1, which gets its value back before anybody can notice.
fn write_and_restore(console: &mut JsonConsole) -> AnyResult<[Records; 3]> {
    let before = ask(console, "regs 1 x28")?;
    let written = ask(console, &format!("regs 1 x28={TRIED:#x}"))?;
    let old = value(&before, "x28").context("no x28")?;
    let after = ask(console, &format!("regs 1 x28={old:#x}"))?;
    Ok([before, written, after])
}

fn kernels(console: &mut JsonConsole, shadows: &Records) -> AnyResult<[Records; 2]> {
    let enabled = shadows
        .iter()
        .find(|row| text(row, "name").ends_with("-s2-enabled"))
        .context("no shadow")?;
    let l2 = format!("mem shadow/{}:{L2_KERNEL} 8", enabled["number"]);
    Ok([ask(console, &format!("mem {L1_KERNEL} 8"))?, ask(console, &l2)?])
}

fn vectors(console: &mut JsonConsole) -> AnyResult<[Records; 4]> {
    let mut at = |register: &str, stage1: &str| -> AnyResult<Records> {
        let regs = ask(console, &format!("regs 0 {register}"))?;
        let va = value(&regs, register).context("no vectors")?;
        ask(console, &format!("mem {stage1}:{va:#x} 8"))
    };
    Ok([
        at("VBAR_EL2", "s1/0/vel2")?,
        at("VBAR_EL2", "s1/1/vel2")?,
        at("VBAR_EL1", "s1/0/el1")?,
        at("VBAR_EL1", "s1/1/el1")?,
    ])
}

fn id_fields(console: &mut JsonConsole) -> AnyResult<Records> {
    let mut registers: Vec<&str> = FEATURES.iter().map(|feature| feature.0).collect();
    registers.dedup();
    let mut fields = Vec::new();
    for register in registers {
        fields.extend(ask(console, &format!("idregs {}", register.to_lowercase()))?);
    }
    Ok(fields)
}

fn accepted_nonsense(console: &mut JsonConsole) -> Vec<String> {
    REFUSED
        .into_iter()
        .filter_map(|line| console.command(line).ok().map(|answer| format!("`{line}`: {answer:?}")))
        .collect()
}

/// Everything still works, and ends in order; on the way L1 switches a CPU off and on.
fn go_on(machine: &mut Machine, console: &mut JsonConsole) -> AnyResult<[Records; 2]> {
    scene::stop_ticks(machine)?;
    scene::end_l2(machine)?;
    let mut hotplug = |online: u8| -> AnyResult<Records> {
        machine.send(&format!("echo {online} >/sys/devices/system/cpu/cpu1/online\n"))?;
        scene::in_shell(machine, &format!("L1 with {online}"))?;
        ask(console, "regs")
    };
    let hotplug = [hotplug(0)?, hotplug(1)?];
    scene::end_l1(machine)?;
    Ok(hotplug)
}

pub(super) fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}

pub(super) fn is(row: &Value, field: &str, wanted: &str) -> bool {
    text(row, field) == wanted
}

/// A field like `"0x1f"`.
pub(super) fn hex(row: &Value, field: &str) -> Option<u64> {
    u64::from_str_radix(text(row, field).strip_prefix("0x")?, 16).ok()
}

/// What a register has in an answer of `regs` or `vncr`.
pub(super) fn value(records: &Records, register: &str) -> Option<u64> {
    let row = records.iter().find(|row| is(row, "register", register))?;
    hex(row, "value")
}

/// The words of an answer of `mem`.
pub(super) fn words(records: &Records) -> Vec<u64> {
    let words = records.iter().filter_map(|row| row["words"].as_array()).flatten();
    words
        .filter_map(|word| u64::from_str_radix(word.as_str()?.strip_prefix("0x")?, 16).ok())
        .collect()
}
