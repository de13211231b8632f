//! Guests on different CPUs do not wait for each other's shadows, nor for the console.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use system_tests::listing::{self, ShadowRow};
use system_tests::ptdump::Dump;
use xtask::console::Console;
use xtask::machine::{Builder, Outcome};
use xtask::memory::MemorySize;

use crate::trial;

/// VMs that fault, one more that rests, and CPUs.
const VMS: usize = 3;
const CPUS: u32 = 4;
const LIMIT: Duration = Duration::from_mins(3);
/// How long all of their runs may take.
const RUNS_LIMIT: Duration = Duration::from_mins(10);
/// How often they write all their memory meanwhile, and how many faults each of them takes at least.
const RUNS: u64 = 800;
const FAULTS: u64 = 300;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("faults_in_different_shadows_wait_for_nobody_on_4_cpus", |name| {
        Ok(wait_for_nobody(name)?)
    })]
}

/// Three VMs stay and fault. The console dumps and audits the shadow of a fourth one all the while. Then no CPU has waited
/// for a shadow.
fn wait_for_nobody(name: &str) -> AnyResult<()> {
    let mut machine = Builder::new(name)
        .smp(CPUS)
        .memory(MemorySize::from_mib(1024))
        .vmm(&format!("faults {} 100000", VMS + 1))?
        .interactive()
        .start()?;
    machine.set_limit(LIMIT);
    machine.wait_for(&format!(" s, {} VMs, ", VMS + 1))?;
    let mut console = machine.debug_console()?;
    console.set_limit(LIMIT);
    let (resting, before) = settled(&mut console)?;
    // Nothing is asked meanwhile that looks at the other shadows.
    let waits = waits(&mut console)?;
    let mut dumps = 0;
    let (start, mut now) = (runs(&machine.console_lines()), 0);
    let deadline = Instant::now() + RUNS_LIMIT;
    while now < start + RUNS {
        ensure!(Instant::now() < deadline, "{} runs of {RUNS}", now - start);
        let dump = console.command(&format!("ptdump shadow/{resting}"))?;
        console.command(&format!("audit shadow/{resting}"))?;
        // One that rests too long is given up.
        dumps += usize::from(Dump::parse(&dump).is_ok());
        now = runs(&machine.console_lines());
    }
    let waits = self::waits(&mut console)? - waits;
    let faults = Look::new(&mut console)?.busy_since(&before, FAULTS);
    println!("locks: {dumps} dumps of shadow {resting}; faults of others: {faults:?}; {waits} waits");
    ensure!(dumps > 0, "shadow {resting} was gone before it was dumped");
    ensure!(faults.len() >= VMS, "faults: {faults:?}");
    ensure!(waits == 0, "CPUs waited {waits} times for a shadow; faults: {faults:?}");
    machine.send("\n")?;
    machine.wait_for("vmm: OK")?;
    let outcome = machine.wait_until_off()?;
    ensure!(outcome == Outcome::PoweredOff, "L1 was to power off, but {outcome}");
    Ok(())
}

fn waits(console: &mut Console) -> AnyResult<u64> {
    listing::parse_waits(&console.command("exits")?).context("`exits` counts no waits")
}

/// How often a guest has written all its memory, by L1's last line.
fn runs(lines: &[String]) -> u64 {
    let counts = lines
        .iter()
        .rev()
        .find_map(|line| line.strip_suffix(" runs")?.rsplit(' ').next()?.parse().ok());
    counts.unwrap_or(0)
}

/// What `shadow` says at one moment.
struct Look {
    rows: Vec<ShadowRow>,
}

impl Look {
    fn new(console: &mut Console) -> AnyResult<Self> {
        let lines = console.command("shadow")?;
        Ok(Self {
            rows: listing::parse_shadows(&lines)?,
        })
    }

    /// The shadows that have faulted so often since, and how often.
    fn busy_since(&self, before: &Self, least: u64) -> BTreeMap<u64, u64> {
        let old: BTreeMap<_, _> = before.rows.iter().map(|row| (row.number, row.faults)).collect();
        let faults = self
            .rows
            .iter()
            .filter_map(|row| Some((row.number, row.faults - old.get(&row.number)?)));
        faults.filter(|(_, faults)| *faults >= least).collect()
    }
}

/// Waits until three shadows are in use, and one that has pages is not: that, and what things are then.
fn settled(console: &mut Console) -> AnyResult<(u64, Look)> {
    let deadline = Instant::now() + RUNS_LIMIT;
    loop {
        let before = Look::new(console)?;
        let now = loop {
            let now = Look::new(console)?;
            ensure!(Instant::now() < deadline, "the VMs do not fault: {:?}", now.rows);
            if now.busy_since(&before, 100).len() >= VMS {
                break now;
            }
        };
        let busy = now.busy_since(&before, 1);
        let rest = now
            .rows
            .iter()
            .filter(|row| row.mapped[0] > 0 && !busy.contains_key(&row.number));
        if let Some(number) = rest.max_by_key(|row| row.faults).map(|row| row.number) {
            return Ok((number, now));
        }
    }
}
