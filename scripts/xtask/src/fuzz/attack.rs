//! One seed: a machine, the payload `hostile` on it, and the judgement.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use super::evidence::{Evidence, Subject};
use super::ram::Ram;
use super::report::{Area, areas, done, exits};
use crate::console::{Console, JsonConsole};
use crate::firmware;
use crate::machine::{Builder, Machine};
use crate::memory::MemorySize;
use crate::project::Project;

/// The payload.
const PAYLOAD: &str = "hostile";
/// The machine that the payload's addresses are of.
const RAM_BASE: u64 = 0x4000_0000;
const RAM: MemorySize = MemorySize::from_mib(1024);

/// The word of RAM that the payload waits for, and what it may be told there.
const GO: u64 = 0x4d80_0000;
const ATTACK: u64 = 1;
const REST: u64 = 2;

/// How long a run, an answer or a boot may take; far more than on the slowest host.
const LIMIT: Duration = Duration::from_mins(5);
/// Between two looks at the console.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How long the CPUs do at last what they do not come back from, before the judgement.
const DOOM: Duration = Duration::from_millis(500);
/// What `reset` says when all frames have come back.
const ALL_FREE: &str = "frames are free as after boot; resetting";

/// Asked again and again while the attack goes on.
const DURING: [&str; 6] = [
    "exits | head 3",
    "regs 0 | head 4",
    "shadow | count",
    "vgic | count",
    "timer",
    "audit | count",
];
/// Asked at its end.
const AFTER: [&str; 8] = [
    "ptdump | count",
    "vncr 0",
    "vgic",
    "timer",
    "idregs | count",
    "tlbi",
    "shadow",
    "explain vcpu0 0x48200000",
];

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The only part of the attack, if not all.
    pub area: Option<String>,
    /// CPUs.
    pub cpus: u32,
    /// Steps of each CPU.
    pub steps: u64,
    /// The first of them.
    pub from: u64,
    /// Count instructions, on one thread: the same run every time.
    pub icount: bool,
    /// gnomon's own options.
    pub hyp: Option<String>,
}

impl Plan {
    /// Whether gnomon shows L1 the Virtualization Host Extensions.
    fn has_vhe(&self) -> bool {
        let mut words = self.hyp.iter().flat_map(|options| options.split_whitespace());
        !words.any(|word| word == "e2h=0")
    }
}

/// What was done, and survived.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// By part of the attack.
    pub areas: Vec<Area>,
    /// CPUs that the payload could not bring back.
    pub lost: u64,
    /// Ticks of the counter; with [`Plan::icount`] at most so many instructions.
    pub ticks: u64,
    /// Exits that gnomon handled.
    pub exits: u64,
    /// The longest, in ticks.
    pub longest: u64,
    /// Times that the console answered.
    pub answers: u64,
    /// Bytes of gnomon's memory that were compared.
    pub bytes: u64,
}

/// Runs it, logs under the name.
///
/// # Errors
///
/// When gnomon does not stand the attack: it panics, does not answer, has changed where it must not, has lost a frame, or
/// cannot start L1 again. Also when the machine cannot be started.
pub fn attack(name: &str, plan: &Plan) -> Result<Outcome> {
    on_machine(name, plan, |machine, ram| {
        let outcome = judge(machine, plan, ram)?;
        again(machine, ram)?;
        Ok(outcome)
    })
}

/// Does `work` with a machine of its own for the plan; what goes wrong is told with the end of its logs.
fn on_machine<T>(name: &str, plan: &Plan, work: impl FnOnce(&mut Machine, &Ram) -> Result<T>) -> Result<T> {
    let ram = Ram::create(RAM_BASE, RAM)?;
    let mut machine = start(name, plan, &ram)?;
    work(&mut machine, &ram).map_err(|error| anyhow!("{error:#}\n{}", machine.report()))
}

fn start(name: &str, plan: &Plan, ram: &Ram) -> Result<Machine> {
    let builder = Builder::new(name);
    let builder = if plan.has_vhe() {
        builder.payload(PAYLOAD)?
    } else {
        builder.payload_without_vhe(PAYLOAD)?
    };
    let mut builder = builder
        .memory(RAM)
        .smp(plan.cpus)
        .append(&format!(
            "wait hold seed={} steps={} from={} cpus={}",
            plan.seed, plan.steps, plan.from, plan.cpus
        ))
        .interactive();
    if let Some(area) = &plan.area {
        builder = builder.append(&format!("area={area}"));
    }
    // Counted time stands still while a CPU takes exception after exception and executes nothing.
    builder = if plan.icount {
        builder.icount()
    } else {
        builder.append("doom")
    };
    if let Some(options) = &plan.hyp {
        builder = builder.hyp(options);
    }
    for argument in ram.qemu_arguments() {
        builder = builder.qemu_arg(argument);
    }
    let mut machine = builder.start()?;
    machine.set_limit(LIMIT);
    Ok(machine)
}

/// Whether the judge sees what it is there for: after an attack, each range that must stay gets one wrong bit. Returns how
/// many there are.
///
/// # Errors
///
/// When one is not complained about, or anything else is; and as [`attack`].
pub fn plant_faults(name: &str, plan: &Plan) -> Result<usize> {
    on_machine(name, plan, |machine, ram| {
        let scene = under_attack(machine, plan, ram)?;
        notice_each(&scene.evidence, ram)
    })
}

fn notice_each(evidence: &Evidence, ram: &Ram) -> Result<usize> {
    let before = evidence.complaints(ram)?;
    ensure!(before.is_empty(), "gnomon's memory: {}", before.join("; "));
    let samples = evidence.samples();
    for (_, at) in &samples {
        ram.flip(*at)?;
    }
    let complaints = evidence.complaints(ram)?;
    for (name, at) in &samples {
        let at = format!("{at:#x}");
        let is_noticed = |complaint: &String| complaint.contains(name) && complaint.contains(&at);
        ensure!(
            complaints.iter().any(is_noticed),
            "a wrong bit at {at}, of {name}: {complaints:?}"
        );
    }
    ensure!(complaints.len() == samples.len(), "too many: {complaints:?}");
    Ok(samples.len())
}

/// A machine that was attacked and has been stopped, all but the console.
struct Scene {
    console: Console,
    evidence: Evidence,
    answers: u64,
}

fn under_attack(machine: &mut Machine, plan: &Plan, ram: &Ram) -> Result<Scene> {
    machine.wait_for("P UP")?;
    ram.unlink();
    let mut console = machine.debug_console()?;
    console.set_limit(LIMIT);
    let log = machine.debug_lines().iter().find(|line| line.contains("carve-out "));
    let log = log.cloned().unwrap_or_default();
    let elf = firmware::image(&Project::new())?.with_extension("");
    let elf = fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let subject = Subject {
        elf: &elf,
        log: &log,
        cpu_count: plan.cpus.into(),
    };
    let evidence = Evidence::gather(ram, &subject, &mut console)?;
    ram.write(GO, &[ATTACK])?;
    let answers = watch(machine, &mut console)?;
    thread::sleep(DOOM);

    let stopped = console.command("stop")?;
    ensure!(stopped == ["stopped"], "`stop`: {stopped:?}");
    Ok(Scene {
        console,
        evidence,
        answers,
    })
}

fn judge(machine: &mut Machine, plan: &Plan, ram: &Ram) -> Result<Outcome> {
    let Scene {
        console,
        evidence,
        mut answers,
    } = under_attack(machine, plan, ram)?;
    let complaints = evidence.complaints(ram)?;
    ensure!(complaints.is_empty(), "gnomon's memory: {}", complaints.join("; "));
    let mut records = JsonConsole::begin(console)?;
    let charges = charges(&records.command("audit")?)?;
    ensure!(charges.is_empty(), "`audit`: {}", charges.join("\n"));
    let mut console = records.end()?;
    console.command("cont")?;
    for command in AFTER {
        console.command(command)?;
        answers += 1;
    }
    let (exits, longest) = exits(&console.command("exits")?).context("`exits` has no sums")?;
    let lines = machine.console_lines();
    let (lost, ticks) = done(&lines).unwrap_or((plan.cpus.into(), 0));
    Ok(Outcome {
        areas: areas(&lines),
        lost,
        ticks,
        exits,
        longest,
        answers,
        bytes: evidence.bytes(),
    })
}

/// Talks to the console until the payload has ended, or is lost. Returns how often there was an answer.
fn watch(machine: &mut Machine, console: &mut Console) -> Result<u64> {
    let deadline = Instant::now() + LIMIT;
    let mut answers = 0;
    for command in DURING.into_iter().cycle() {
        if done(&machine.console_lines()).is_some() || Instant::now() > deadline {
            break;
        }
        console.command(command)?;
        answers += 1;
        check(machine)?;
        thread::sleep(LOOK_INTERVAL);
    }
    check(machine)?;
    Ok(answers)
}

/// Nothing that gnomon or the payload printed is a failure.
fn check(machine: &mut Machine) -> Result<()> {
    let bad = ["gnomon: panic: ", "gnomon: error: ", "gnomon: L1 "];
    let debug = machine
        .debug_lines()
        .iter()
        .find(|line| bad.iter().any(|bad| line.starts_with(bad)));
    if let Some(line) = debug {
        bail!("{line}");
    }
    let lines = machine.console_lines();
    match lines
        .iter()
        .find(|line| line.starts_with("P FAIL") || line.starts_with("gnomon: "))
    {
        Some(line) => bail!("{line}"),
        None => Ok(()),
    }
}

/// L1 is started again by the console, which must find every frame.
fn again(machine: &mut Machine, ram: &Ram) -> Result<()> {
    ram.write(GO, &[REST])?;
    let mut console = machine.debug_console()?;
    console.set_limit(LIMIT);
    // The next prompt is that of the next boot.
    let said = console.command("reset")?;
    ensure!(said.iter().any(|line| line.contains(ALL_FREE)), "`reset`: {said:?}");
    drop(console);
    machine.wait_for("P AGAIN")?;
    Ok(())
}

/// What of an audit is not L1's own doing, whose tables make no sense and change without a TLBI. What gnomon remembers too
/// little for counts only where a table is in use.
fn charges(audit: &[String]) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Finding {
        cause: Option<String>,
        counts: Option<bool>,
    }

    let mut charges = Vec::new();
    for record in audit {
        let finding: Finding = serde_json::from_str(record).with_context(|| format!("`audit`: {record}"))?;
        let is_charge = match finding.cause.as_deref() {
            Some("gnomon") => true,
            Some("unknown") => finding.counts == Some(true),
            _ => false,
        };
        if is_charge {
            charges.push(record.clone());
        }
    }
    let has_ended = audit.last().is_some_and(|record| record.contains("\"k\":\"audit\""));
    ensure!(has_ended, "`audit` did not end");
    Ok(charges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_l1s_doing_is_charged() {
        let audit = |finding: &str| [finding.to_owned(), "{\"id\":1,\"k\":\"audit\"}".to_owned()];
        let charged = |cause, counts| {
            let finding = format!("{{\"k\":\"finding\",\"cause\":\"{cause}\",\"counts\":{counts}}}");
            charges(&audit(&finding)).unwrap().len()
        };
        assert_eq!((charged("l1-table", true), charged("missing-tlbi", true)), (0, 0));
        assert_eq!((charged("gnomon", true), charged("gnomon", false)), (1, 1));
        assert_eq!((charged("unknown", true), charged("unknown", false)), (1, 0));
        assert!(charges(&["{\"k\":\"finding\"}".to_owned()]).is_err());
    }
}
