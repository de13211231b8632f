//! An L2 that is a hypervisor itself: Linux with KVM at a virtual EL2 that L1's KVM makes, and a guest of that, L3.
//!
//! L1 and L2 are the same kernel, with the small VMM of `tests/payloads/vmm` as only program. At that depth most of what L2 does
//! at its EL2 is an exit to gnomon, one to L1 and back, so L2 and L3 do no more than they must.

use std::time::Duration;

use anyhow::{Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::machine::{Builder, Outcome};
use xtask::memory::MemorySize;

use crate::{Result, trial};

/// How long L2 may print nothing. It is a minute's work for a host that has nothing else to do.
const LIMIT: Duration = Duration::from_mins(15);

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("l3_runs_on_an_l2_that_is_a_hypervisor", l3_runs)]
}

fn l3_runs(name: &str) -> Result {
    let builder = Builder::new(name).smp(1).memory(MemorySize::from_mib(2048));
    let mut machine = builder.nested_vmm("bench hvc 10")?.start()?;
    machine.set_limit(LIMIT);
    machine.wait_for("VHE+NV2 mode initialized successfully")?;
    machine.wait_for("vmm: linux with EL2")?;
    // L2's own words, each after its time.
    machine.wait_for("] vmm: kvm [1]: VHE mode initialized successfully")?;
    check_console(&machine.debug_console()?.command("vncr 0 | grep VNCR_EL2")?)?;
    machine.wait_for("] vmm: BENCH hvc min")?;
    machine.wait_for("] vmm: OK")?;
    let outcome = machine.wait_until_off()?;
    let lines = machine.console_lines();
    let last = lines.iter().rev().find(|line| line.starts_with("vmm: "));
    if outcome != Outcome::PoweredOff || last.map(|line| line.trim_end()) != Some("vmm: OK") {
        return Err(format!("{outcome}; L1 ended with {last:?}\n{}", machine.report()).into());
    }
    Ok(())
}

/// L1 has named a page of its kernel's for L2's registers.
fn check_console(lines: &[String]) -> AnyResult<()> {
    let address = lines.first().and_then(|line| line.split_whitespace().last());
    ensure!(
        address.is_some_and(|address| address.starts_with("0xffff")),
        "VNCR_EL2 of L1 is {lines:?}"
    );
    Ok(())
}
