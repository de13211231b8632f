//! An L2 that is a hypervisor itself: Linux with KVM at a virtual EL2 that L1's KVM makes, and a guest of that, L3.
//!
//! All Linuxes are the same kernel, with the small VMM of `tests/payloads/vmm` as only program. At that depth most of what L2
//! does at its EL2 is an exit to gnomon, one to L1 and back, so L2 and L3 do no more than they must. `GNOMON_L3_CPUS` says how
//! many CPUs everybody has when L3 is a Linux, instead of one.

use std::env;
use std::time::Duration;

use anyhow::{Context, Result as AnyResult, bail, ensure};
use libtest_mimic::Trial;
use system_tests::listing;
use system_tests::ptdump::{Dump, split_by_name};
use xtask::console::Console;
use xtask::machine::{Builder, Machine, Outcome};
use xtask::memory::MemorySize;

use crate::console_pressure::check_invariants;
use crate::{Result, trial};

/// How long L2 may print nothing. It is a minute's work for a host that has nothing else to do.
const LIMIT: Duration = Duration::from_mins(15);
const CPUS_VARIABLE: &str = "GNOMON_L3_CPUS";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("l3_runs_on_an_l2_that_is_a_hypervisor", l3_runs),
        trial("a_linux_runs_as_l3", linux_runs_as_l3),
        trial("l3_vms_come_and_go", l3_vms_come_and_go),
    ]
}

/// A bare L3, on an L2 of two CPUs.
fn l3_runs(name: &str) -> Result {
    let mut machine = start(name, 2, 1, "linux 2 bench hvc 10")?;
    machine.wait_for("VHE+NV2 mode initialized successfully")?;
    machine.wait_for("vmm: linux with EL2")?;
    // L2's own words, each after its time.
    machine.wait_for("] vmm: smp: Brought up 1 node, 2 CPUs")?;
    machine.wait_for("] vmm: kvm [1]: VHE mode initialized successfully")?;
    let mut console = machine.debug_console()?;
    let pages = [0, 1].map(|cpu| console.command(&format!("vncr {cpu} | grep VNCR_EL2")));
    check_pages(&pages.into_iter().collect::<AnyResult<Vec<_>>>()?)?;
    machine.wait_for("] vmm: BENCH hvc min")?;
    machine.wait_for("] vmm: OK")?;
    check_end(&mut machine)
}

/// The same kernel for the third time: what it prints is printed by L2's and by L1's.
fn linux_runs_as_l3(name: &str) -> Result {
    let cpus = match env::var(CPUS_VARIABLE) {
        Ok(text) => text.parse().context(CPUS_VARIABLE)?,
        Err(_) => 1,
    };
    let mut machine = start(name, cpus, 2, &format!("linux {cpus} guest {cpus} bench l2-boot 1"))?;
    machine.wait_for("] vmm: kvm [1]: VHE mode initialized successfully")?;
    machine.wait_for("] vmm: linux with EL1")?;
    // L3's own words, after its time and L2's.
    machine.wait_for("] [    0.000000] Linux version")?;
    let mut console = machine.debug_console()?;
    console.set_limit(LIMIT);
    check_tables(&mut console)?;
    machine.wait_for(&format!("] vmm: smp: Brought up 1 node, {cpus} CPU"))?;
    machine.wait_for("] vmm: kvm [1]: HYP mode not available")?;
    machine.wait_for("] vmm: BENCH l2-boot min")?;
    machine.wait_for("] vmm: OK")?;
    check_end(&mut machine)
}

/// Two workers of L2 make L3s, change their memory under them, kill some, and check what the others saw. With more than one
/// CPU a vCPU of L1's KVM sleeps for ever in a WFI of L2's, natively just so.
fn l3_vms_come_and_go(name: &str) -> Result {
    let mut machine = start(name, 1, 1, "linux 1 stress 2 10")?;
    machine.wait_for("] vmm: stress")?;
    let mut console = machine.debug_console()?;
    console.set_limit(LIMIT);
    check_invariants(&console.command("audit")?)?;
    machine.wait_for("] vmm: OK")?;
    check_end(&mut machine)
}

/// Starts the small VMM with these words, and with what it takes to boot the kernel again at so many depths.
fn start(name: &str, cpus: u32, depth: u32, words: &str) -> AnyResult<Machine> {
    let builder = Builder::new(name).smp(cpus).memory(MemorySize::from_mib(3072));
    let mut machine = builder.nested_vmm(depth, words)?.start()?;
    machine.set_limit(LIMIT);
    Ok(machine)
}

fn check_end(machine: &mut Machine) -> Result {
    let outcome = machine.wait_until_off()?;
    let lines = machine.console_lines();
    let last = lines.iter().rev().find(|line| line.starts_with("vmm: "));
    if outcome != Outcome::PoweredOff || last.map(|line| line.trim_end()) != Some("vmm: OK") {
        return Err(format!("{outcome}; L1 ended with {last:?}\n{}", machine.report()).into());
    }
    Ok(())
}

/// On each CPU L1 has named a page of its kernel's for L2's registers.
fn check_pages(answers: &[Vec<String>]) -> AnyResult<()> {
    for lines in answers {
        let address = lines.first().and_then(|line| line.split_whitespace().last());
        ensure!(
            address.is_some_and(|address| address.starts_with("0xffff")),
            "VNCR_EL2 of L1 is {lines:?}"
        );
    }
    Ok(())
}

/// While L3 runs there are shadows of two tables of L1's at the least: those for L2, and those that L1 has made of L2's
/// for L3. Both map memory and are dumped, and nothing is wrong with either.
fn check_tables(console: &mut Console) -> AnyResult<()> {
    const MIB: u64 = 1 << 20;
    let lines = console.command("shadow")?;
    let rows = listing::parse_shadows(&lines)?;
    let is_in_use = |row: &&listing::ShadowRow| row.name.is_enabled && row.mapped.iter().sum::<u64>() > MIB;
    ensure!(
        rows.iter().filter(is_in_use).count() >= 2,
        "not two shadows in {lines:?}"
    );
    let dumps = console.command("ptdump shadow")?;
    for (name, lines) in split_by_name(&dumps) {
        if let Err(error) = Dump::parse_moving(&lines) {
            bail!("{name}: {error}");
        }
    }
    check_invariants(&console.command("audit")?)
}
