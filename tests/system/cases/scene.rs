//! Trials about one machine, and the way to a machine whose L2 has a shell.
//!
//! A scene gathers what its trials judge. It is played once, by the first of them, so that each statement is counted by
//! itself and the machine is paid for once.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::machine::{Builder, Machine, Outcome};

use crate::entry::LIMIT;
use crate::{Result, trial};

/// A shell loop that prints for ever, in the background.
const TICKS: &str = "while :; do echo tick; done &\n";

/// A shell loop that wakes L2 up every second, in the background: of an L2 that sleeps the whole time gnomon gives the shadow
/// up.
const NAPS: &str = "while sleep 1; do :; done &\n";

/// What L1's shell says when its L2 has ended.
const L1_AGAIN: &str = "L1 again";

/// What is gathered in one run of a machine.
pub(crate) trait Play: Sized + Send + Sync + 'static {
    fn play() -> AnyResult<Self>;

    /// Where the machine's logs are.
    fn log_dir(&self) -> &Path;
}

/// One statement about a scene.
type Judge<S> = fn(&S) -> Result;

/// The trials of a scene: their names, and what they judge.
pub(crate) fn trials<S: Play>(judges: &[(&'static str, Judge<S>)]) -> Vec<Trial> {
    let scene = Arc::new(OnceLock::new());
    let on_the_scene = |&(name, judge)| {
        let scene = Arc::clone(&scene);
        trial(name, move |_| judge_by(judge, &scene))
    };
    judges.iter().map(on_the_scene).collect()
}

fn judge_by<S: Play>(judge: Judge<S>, scene: &OnceLock<AnyResult<S, String>>) -> Result {
    let scene = scene.get_or_init(|| S::play().map_err(|error| format!("{error:#}")));
    let scene = scene.as_ref()?;
    judge(scene).map_err(|why| {
        let why = why.message().unwrap_or("it does not hold");
        format!("{why}\nlogs are in {}", scene.log_dir().display()).into()
    })
}

/// A machine whose L1 starts no L2 by itself, and has a shell.
pub(crate) fn l1_with_a_shell(name: &str) -> AnyResult<Machine> {
    shell_of(Builder::new(name))
}

/// The same on a machine of `cpus` CPUs.
pub(crate) fn l1_on_cpus(name: &str, cpus: u32) -> AnyResult<Machine> {
    shell_of(Builder::new(name).smp(cpus))
}

fn shell_of(builder: Builder) -> AnyResult<Machine> {
    let mut machine = builder.append("gnomon.l2=off").interactive().start()?;
    machine.set_limit(LIMIT);
    machine.wait_for("L1 OK")?;
    in_shell(&mut machine, "L1")?;
    Ok(machine)
}

/// Starts an L2 from L1's shell, and waits for the shell of that. From then on its shadow is in use.
pub(crate) fn start_l2(machine: &mut Machine) -> AnyResult<()> {
    machine.send(&format!("l2 -s; {}", echo(L1_AGAIN)))?;
    machine.wait_for("L2 OK")?;
    in_shell(machine, "L2")?;
    machine.send(NAPS)?;
    in_shell(machine, "L2 with naps")
}

/// Lets L2 power off and L1's QEMU end.
pub(crate) fn end_l2(machine: &mut Machine) -> AnyResult<()> {
    machine.send("exit\n")?;
    machine.wait_for(&said(L1_AGAIN)).map(drop)
}

/// Lets L1 power off.
pub(crate) fn end_l1(machine: &mut Machine) -> AnyResult<()> {
    machine.send("exit\n")?;
    let outcome = machine.wait_until_off()?;
    ensure!(outcome == Outcome::PoweredOff, "L1 was to power off, but {outcome}");
    Ok(())
}

/// Lets the shell print lines without pause.
pub(crate) fn start_ticks(machine: &mut Machine) -> AnyResult<()> {
    machine.send(TICKS)?;
    machine.wait_for("tick").map(drop)
}

pub(crate) fn stop_ticks(machine: &mut Machine) -> AnyResult<()> {
    machine.send("kill $!\n")?;
    in_shell(machine, "without ticks")
}

/// Waits for a shell by letting it say something that nobody typed.
pub(crate) fn in_shell(machine: &mut Machine, who: &str) -> AnyResult<()> {
    machine.send(&echo(who))?;
    machine.wait_for(&said(who)).map(drop)
}

pub(crate) fn echo(who: &str) -> String {
    format!("echo {who} counts $((6 * 7))\n")
}

pub(crate) fn said(who: &str) -> String {
    format!("{who} counts 42")
}
