//! An L1 that begins again without the machine: by kexec, and CPU by CPU.
//!
//! L1 is Debian's kernel with the small VMM. What was left of the first kernel (guests that ran to the last moment, their
//! shadows, timers, interrupts) must not be in the way of the second, and gnomon must have it back.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result as AnyResult, bail, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use system_tests::listing;
use xtask::console::{Console, JsonConsole};
use xtask::machine::{Builder, Machine, Outcome};
use xtask::memory::MemorySize;

use crate::answers::{Records, ask};
use crate::storm::pages_of_no_shadow;
use crate::{Result, entry};

const CPU_COUNT: u32 = 4;
const RAM_MIB: u64 = 1024;

/// How long gnomon may take to find out that L1 is done with a guest, which L1 need not say.
const GONE_LIMIT: Duration = Duration::from_mins(3);
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How often Linux switches a CPU off and on.
const SWITCHES: u32 = 30;

/// What is so each time is so, if that is so often. An interrupt that is active is looked at until it has ended.
const LOOKS: usize = 3;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("l1_boots_again_by_kexec_and_runs_an_l2", kexec),
        trial("linux_switches_cpus_off_and_on_while_guests_run", hotplug),
    ]
}

/// A trial whose failure tells the whole chain of causes.
fn trial(name: &'static str, play: fn(&str) -> AnyResult<()>) -> Trial {
    crate::trial(name, move |name| -> Result {
        play(name).map_err(|error| format!("{error:#}").into())
    })
}

fn builder(name: &str) -> Builder {
    let memory = MemorySize::from_mib(RAM_MIB);
    Builder::new(name).smp(CPU_COUNT).memory(memory).interactive()
}

fn kexec(name: &str) -> AnyResult<()> {
    let mut machine = builder(name).kexec_vmm("kexec stress 3 3 hold")?.start()?;
    machine.set_limit(entry::LIMIT);
    machine.wait_for("vmm: done: held")?;
    let before = Left::of(&mut machine)?;
    machine.send("\n")?;
    machine.wait_for("vmm: next kernel")?;
    machine.wait_for("Booting Linux on physical CPU")?;
    machine.wait_for("vmm: done: held")?;
    let after = Left::of(&mut machine)?;
    ensure!(before == after, "before {before:?}, afterwards {after:?}");
    ensure!(after.active.is_empty(), "never ended: {:?}", after.active);
    println!(
        "kexec: {} pages are of no shadow, {} interrupts are enabled",
        after.pages,
        after.enabled.len()
    );
    machine.send("\n")?;
    let outcome = machine.wait_until_off()?;
    let lines = machine.console_lines();
    let last = lines.iter().rev().find(|line| line.starts_with("vmm: "));
    ensure!(
        outcome == Outcome::PoweredOff && last.is_some_and(|line| line == "vmm: OK"),
        "{outcome}; L1 ended with {last:?}"
    );
    Ok(())
}

/// What gnomon has of an L1 that idles.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// Frames that are of no shadow.
    pages: u64,
    /// Interrupts that L1 has enabled, and those that are active.
    enabled: Vec<String>,
    active: Vec<String>,
    /// Timers of guests that are on.
    timers: Vec<String>,
}

impl Left {
    /// Waits until no shadow has anything of a guest left, and looks at the rest.
    fn of(machine: &mut Machine) -> AnyResult<Self> {
        let mut console = machine.debug_console()?;
        wait_until_gone(&mut console)?;
        let pages = pages_of_no_shadow(&mut console)?;
        let mut console = JsonConsole::begin(console)?;
        let timers = ask(&mut console, "timer")?;
        let (mut looks, deadline) = (Vec::new(), Instant::now() + GONE_LIMIT);
        while looks.len() < LOOKS || !always(&looks, "active").is_empty() && Instant::now() < deadline {
            looks.push(ask(&mut console, "vgic")?);
        }
        console.end()?;
        let is_on = |record: &&Value| {
            let ctl = record["ctl"].as_str().unwrap_or("");
            record["whose"] == "L2"
                && u64::from_str_radix(ctl.trim_start_matches("0x"), 16).is_ok_and(|ctl| ctl & 1 != 0)
        };
        Ok(Self {
            pages,
            enabled: always(&looks, "enabled"),
            active: always(&looks, "active"),
            timers: timers.iter().filter(is_on).map(ToString::to_string).collect(),
        })
    }
}

/// The interrupts of L1's GIC for which a field of theirs was true at each look: also an L1 that idles has one now and then.
fn always(looks: &[Records], field: &str) -> Vec<String> {
    let is_so = |record: &&Value| record["k"] == "interrupt" && record[field] == true;
    let name = |record: &Value| format!("{}/{}", record["vcpu"], record["intid"]);
    let mut names: Vec<String> = looks[0].iter().filter(is_so).map(name).collect();
    for look in &looks[1..] {
        names.retain(|wanted| look.iter().filter(is_so).any(|record| name(record) == *wanted));
    }
    names
}

fn wait_until_gone(console: &mut Console) -> AnyResult<()> {
    let deadline = Instant::now() + GONE_LIMIT;
    loop {
        let mut rows = listing::parse_shadows(&console.command("shadow")?)?;
        rows.retain(|row| row.name.is_enabled && (row.mapped != [0; 3] || row.refs > 0));
        if rows.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("left over: {rows:?}");
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

fn hotplug(name: &str) -> AnyResult<()> {
    let builder = builder(name).append("reboot=warm");
    let mut machine = builder.vmm(&format!("hotplug 4 {SWITCHES} hold restart"))?.start()?;
    machine.set_limit(entry::LIMIT);
    machine.expect_resets();
    machine.wait_for("vmm: stress")?;
    let before = pages_of_no_shadow(&mut machine.debug_console()?)?;
    machine.wait_for(&format!("vmm: {SWITCHES} CPUs off and on"))?;
    machine.wait_for("vmm: done: held")?;
    let after = Left::of(&mut machine)?;
    ensure!(after.pages == before, "{before} pages were of no shadow, now {after:?}");
    // L1 restarts the machine, warm as it was told to.
    machine.send("\n")?;
    machine.wait_for_debug("gnomon: L1 reset, warm")?;
    machine.wait_for("vmm: stress")?;
    ensure!(
        pages_of_no_shadow(&mut machine.debug_console()?)? == before,
        "not as at first"
    );
    Ok(())
}
