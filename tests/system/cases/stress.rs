//! All tables are dumped over and over while L1 makes, changes, recycles and tears down VMs on four CPUs.
//!
//! L1's only program is the small VMM of `tests/payloads/vmm`, whose guests check what they read and whose workers check
//! what they wrote. [`Scene::play`] reads the console meanwhile, and stops the machine now and then, where what is printed
//! must be exact. `GNOMON_STRESS_SECONDS` says for how long at least; the figures are printed at the end.

use std::env;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result as AnyResult, bail};
use libtest_mimic::Trial;
use system_tests::listing::{self, ShadowRow};
use system_tests::ptdump::{Dump, check_for_gaps, split_by_name};
use xtask::console::Console;
use xtask::machine::{Builder, Machine, Outcome};
use xtask::memory::MemorySize;

use crate::answers::expect_answer;
use crate::scene::{self, Play};
use crate::{Result, expect_none};

/// How many rounds of dumps there are, and for how many seconds if this variable says so.
const ROUNDS: usize = 6;
const SECONDS_VARIABLE: &str = "GNOMON_STRESS_SECONDS";
/// When L1 would end it by itself.
const SECONDS_MAX: u64 = 24 * 3600;

const CPU_COUNT: u32 = 4;
const WORKER_COUNT: u32 = 4;
const RAM_MIB: u64 = 2048;
/// How many VMs there are at least: as many as there are workers have only begun.
const VMS_MIN: u64 = 2 * WORKER_COUNT as u64 + 1;

/// How long a single answer may take, and L1 may print nothing: it prints a line a second.
const LIMIT: Duration = Duration::from_mins(3);

/// In one round of so many, the machine stands still.
const STOP_INTERVAL: usize = 4;

/// How long gnomon may take to find out that L1 is done with a guest, which L1 need not say.
const GONE_LIMIT: Duration = Duration::from_mins(3);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What follows a dump of a table that changed meanwhile.
const NOTE: &str = "note: the table changed while it was printed";

pub(crate) fn trials() -> Vec<Trial> {
    scene::trials::<Scene>(&[
        ("stress_every_dump_is_whole_while_vms_come_and_go", dumps_are_whole),
        ("stress_dumps_are_exact_while_stopped", stopped_dumps_are_exact),
        ("stress_l1_goes_on_and_its_guests_read_what_they_wrote", l1_goes_on),
        ("stress_leaves_no_shadow_behind", no_shadow_is_left),
    ])
}

/// What was gathered.
#[derive(Default)]
struct Scene {
    /// Dumps, their lines, those with a note, and commands about a table that was gone by then.
    dumps: usize,
    lines: usize,
    noted: usize,
    gone: usize,
    /// Dumps made while stopped.
    stopped: usize,
    /// What was wrong with dumps while running and while stopped.
    wrong: Vec<String>,
    inexact: Vec<String>,
    /// The VMs made, by L1's lines, and the longest silence between two of these.
    vms: Vec<u64>,
    silence: Duration,
    /// How the VMM ended, and the machine.
    verdict: String,
    outcome: Option<Outcome>,
    /// `shadow` after all VMs have been closed.
    left: Vec<ShadowRow>,
    log_dir: PathBuf,
}

impl Play for Scene {
    fn play() -> AnyResult<Self> {
        let seconds = match env::var(SECONDS_VARIABLE) {
            Ok(text) => text.parse().with_context(|| SECONDS_VARIABLE.to_owned())?,
            Err(_) => 0,
        };
        let mut machine = Builder::new("stress")
            .smp(CPU_COUNT)
            .memory(MemorySize::from_mib(RAM_MIB))
            .vmm(&format!("stress {WORKER_COUNT} {SECONDS_MAX} hold"))?
            .interactive()
            .start()?;
        machine.set_limit(LIMIT);
        machine.wait_for("vmm: stress")?;
        let mut console = machine.debug_console()?;
        let mut scene = Self::default();
        let mut pulse = Pulse::new();
        let end = Instant::now() + Duration::from_secs(seconds);
        for round in 1.. {
            scene.round(&mut console, round % STOP_INTERVAL == 0)?;
            pulse.feel(&machine)?;
            let has_begun = vms(&machine.console_lines())
                .last()
                .is_some_and(|count| *count >= VMS_MIN);
            if round >= ROUNDS && has_begun && Instant::now() > end {
                break;
            }
        }
        machine.send("\n")?;
        machine.wait_for("vmm: done: held")?;
        scene.silence = pulse.silence;
        scene.vms = vms(&machine.console_lines());
        scene.left = wait_until_gone(&mut console)?;
        machine.send("\n")?;
        scene.outcome = Some(machine.wait_until_off()?);
        let lines = machine.console_lines();
        let verdict = lines.iter().rev().find(|line| line.starts_with("vmm: "));
        scene.verdict = verdict.cloned().unwrap_or_default();
        scene.report();
        scene.log_dir = machine.log_dir().to_path_buf();
        Ok(scene)
    }

    fn log_dir(&self) -> &Path {
        &self.log_dir
    }
}

impl Scene {
    fn report(&self) {
        println!(
            "stress: {} VMs; {} dumps of {} lines, {} of tables that changed, {} of tables gone, {} while stopped; \
             longest silence of L1 {:.1} s",
            self.vms.last().copied().unwrap_or(0),
            self.dumps,
            self.lines,
            self.noted,
            self.gone,
            self.stopped,
            self.silence.as_secs_f64()
        );
    }

    /// Asks for everything once.
    fn round(&mut self, console: &mut Console, stops: bool) -> AnyResult<()> {
        if stops {
            expect_answer(console, "stop", "stopped")?;
        }
        let shadows = console.command("shadow")?;
        if let Err(error) = listing::parse_shadows(&shadows) {
            self.wrong.push(error.to_string());
        }
        for table in console.command("ptdump")? {
            let lines = console.command(&format!("ptdump {table}"))?;
            self.judge(&table, lines, stops);
        }
        let mut lines = console.command("ptdump shadow")?;
        let has_note = lines.pop_if(|line| line == NOTE).is_some();
        self.noted += usize::from(has_note);
        for (name, lines) in split_by_name(&lines) {
            self.judge(&name, lines, stops);
        }
        if stops {
            expect_answer(console, "cont", "running")?;
        }
        Ok(())
    }

    /// A stage 1, which is a program's or a kernel's: it changes all the time, and nobody needs to say so.
    fn judge_stage1(&mut self, table: &str, lines: Vec<String>) {
        if let Err(error) = check_for_gaps(&ranges(lines)) {
            self.wrong.push(format!("{table}: {error}"));
        }
    }

    fn judge(&mut self, table: &str, mut lines: Vec<String>, is_stopped: bool) {
        self.dumps += 1;
        self.lines += lines.len();
        if table == "el2" || table.starts_with("s1/") {
            self.judge_stage1(table, lines);
            return;
        }
        // L1 may have torn a VM down and use the memory of its tables for something else, without a word to anybody.
        let is_l1s = table.starts_with("guest/");
        if is_stopped {
            self.stopped += 1;
            let dump = if is_l1s {
                Dump::parse_moving(&lines)
            } else {
                Dump::parse(&lines)
            };
            if let Err(error) = dump {
                self.inexact.push(format!("{table}: {error}"));
            }
            return;
        }
        if lines.pop_if(|line| line.starts_with("error: ")).is_some() {
            self.gone += 1;
        } else if lines.pop_if(|line| line == NOTE).is_some() {
            self.noted += 1;
        }
        // Of a table that is gone at once there is not even the header.
        if !lines.is_empty()
            && let Err(error) = Dump::parse_moving(&lines)
        {
            self.wrong.push(format!("{table}: {error}"));
        }
    }
}

/// The lines of a dump without notes, and without the error that the table was gone.
fn ranges(mut lines: Vec<String>) -> Vec<String> {
    lines.retain(|line| !line.starts_with("error: ") && !line.starts_with("note: "));
    lines
}

/// Whether L1 goes on.
struct Pulse {
    line_count: usize,
    last: Instant,
    silence: Duration,
}

impl Pulse {
    fn new() -> Self {
        Self {
            line_count: 0,
            last: Instant::now(),
            silence: Duration::ZERO,
        }
    }

    /// Fails when it does not.
    fn feel(&mut self, machine: &Machine) -> AnyResult<()> {
        let lines = machine.console_lines();
        self.silence = self.silence.max(self.last.elapsed());
        if lines.len() > self.line_count {
            (self.line_count, self.last) = (lines.len(), Instant::now());
        } else if self.last.elapsed() > LIMIT {
            bail!("L1 has said nothing for {} s\n{}", LIMIT.as_secs(), machine.report());
        }
        Ok(())
    }
}

/// How many VMs there had been, line by line: `vmm: stress 12 s, 345 VMs, 1234 runs`.
fn vms(lines: &[String]) -> Vec<u64> {
    let numbers = lines.iter().filter_map(|line| {
        let rest = line.strip_prefix("vmm: stress ")?;
        let (_, rest) = rest.split_once(" s, ")?;
        rest.split_once(" VMs")?.0.parse().ok()
    });
    numbers.collect()
}

/// Waits until no shadow has anything of a guest left; returns those that have after all.
fn wait_until_gone(console: &mut Console) -> AnyResult<Vec<ShadowRow>> {
    let deadline = Instant::now() + GONE_LIMIT;
    loop {
        let mut rows = listing::parse_shadows(&console.command("shadow")?)?;
        rows.retain(|row| row.name.is_enabled && (row.mapped != [0; 3] || row.refs > 0));
        if rows.is_empty() || Instant::now() > deadline {
            return Ok(rows);
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

fn dumps_are_whole(scene: &Scene) -> Result {
    if scene.noted + scene.gone == 0 {
        return Err("no table ever changed while it was printed: this shows nothing".into());
    }
    expect_none(&scene.wrong)
}

fn stopped_dumps_are_exact(scene: &Scene) -> Result {
    if scene.stopped == 0 {
        return Err("the machine was never stopped".into());
    }
    expect_none(&scene.inexact)
}

fn l1_goes_on(scene: &Scene) -> Result {
    if scene.verdict != "vmm: OK" {
        return Err(format!("the VMM said {:?}", scene.verdict).into());
    }
    if scene.outcome != Some(Outcome::PoweredOff) {
        return Err(format!("the machine was to power off, not {:?}", scene.outcome).into());
    }
    match scene.vms.last() {
        Some(count) if *count >= VMS_MIN => Ok(()),
        count => Err(format!("only {count:?} VMs").into()),
    }
}

fn no_shadow_is_left(scene: &Scene) -> Result {
    let rows = scene.left.iter().map(|row| format!("left over: {row:?}"));
    expect_none(&rows.collect::<Vec<_>>())
}
