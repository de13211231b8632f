//! What the architecture does is the same with and without gnomon, area by area.
//!
//! The payload `conform` prints a line for each thing that it tries. It runs natively and under gnomon, and its lines are
//! to be equal. Those about what gnomon hides are printed as well; each is one that the hardware does not let it hide.

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::machine::Builder;
use xtask::memory::MemorySize;

use crate::{Result, expect_none, line, trial};

const PAYLOAD: &str = "conform";
const RAM_MIB: u64 = 1024;

/// Trials, the areas of the payload, and gnomon's options.
const AREAS: [(&str, &str, &str); 10] = [
    ("conform_registers_are_as_the_table_says", "sweep", ""),
    ("conform_exceptions_and_returns", "exceptions", ""),
    ("conform_trap_forwarding", "forwarding", ""),
    ("conform_fine_grained_traps", "fine", "fgt=1"),
    ("conform_stage_2_of_every_shape", "stage2", ""),
    ("conform_large_addresses", "large", "lpa2=1"),
    ("conform_tlbi", "tlbi", ""),
    ("conform_at", "at", ""),
    ("conform_virtual_cpu_interface", "gic", ""),
    ("conform_timers", "timers", ""),
];

/// What begins the line of something that is hidden, and yet there.
const HIDDEN: &str = "P HIDDEN ";
/// What begins the line of something that is not as the architecture, or the payload's table, has it. QEMU is not judged: it
/// has no `HCR_EL2.TEA`, for example, and gnomon raises the aborts in question itself.
const WRONG: &str = "P WRONG ";

/// Lines that differ, and why.
const UNLIKE: [(&str, &str); 8] = [
    (
        "P SWEEP CNTFRQ_EL0 ",
        "only the highest level writes it, and an attempt of a lower one does not trap",
    ),
    (
        "P VALUE CNTKCTL_EL1 is CNTHCTL_EL2",
        "the hardware's CNTKCTL_EL1, which nothing traps, has no enables for EL1",
    ),
    ("P VALUE CNTHCTL_EL2 to CNTKCTL_EL1", "the same"),
    (
        "P FINE PMUSERENR_EL0 ",
        "QEMU 10.0 has no fine-grained trap of it; gnomon, which sees all of a guest's accesses, has",
    ),
    (
        "P TRAP MDCR.TPMCR ",
        "QEMU 10.0 has no TPMCR; gnomon, which sees all of a guest's accesses, has",
    ),
    (
        "P CALL 0x80000000 ",
        "QEMU's firmware does not know SMCCC_VERSION; gnomon's says 1.1",
    ),
    (
        "P GIC routed imo group 0 ",
        "gnomon gives a guest both kinds of virtual interrupts or none",
    ),
    ("P GIC routed fmo group 1 ", "the same"),
];

/// Why a hidden register or instruction is there all the same.
const UNHIDEABLE: [(&str, &[&str]); 4] = [
    (
        "FEAT_NV2 makes it a word of the VNCR page, whatever the machine has",
        &[
            "HAFGRTR_EL2",
            "SMPRIMAP_EL2",
            "VNCR_EL2",
            "CNTPOFF_EL2",
            "ZCR_EL12",
            "SMCR_EL12",
            "SCXTNUM_EL12",
        ],
    ),
    (
        "no control traps it",
        &["CFP", "DVP", "CPP", "DC", "ALLINT", "ICC_NMIAR1_EL1", "TCO"],
    ),
    ("only REVIDR_EL1 and AIDR_EL1 trap with it", &["SMIDR_EL1"]),
    (
        "the CPACR_EL1 of who uses it traps it first",
        &["ZCR_EL1", "SMCR_EL1", "SVCR"],
    ),
];

/// The same with `HCR_EL2.E2H` = 0.
const AREAS_WITHOUT_VHE: [(&str, &str, &str); 10] = [
    ("conform_without_vhe_registers_are_as_the_table_says", "sweep", "e2h=0"),
    ("conform_without_vhe_exceptions_and_returns", "exceptions", "e2h=0"),
    ("conform_without_vhe_trap_forwarding", "forwarding", "e2h=0"),
    ("conform_without_vhe_fine_grained_traps", "fine", "e2h=0 fgt=1"),
    ("conform_without_vhe_stage_2_of_every_shape", "stage2", "e2h=0"),
    ("conform_without_vhe_large_addresses", "large", "e2h=0 lpa2=1"),
    ("conform_without_vhe_tlbi", "tlbi", "e2h=0"),
    ("conform_without_vhe_at", "at", "e2h=0"),
    ("conform_without_vhe_virtual_cpu_interface", "gic", "e2h=0"),
    ("conform_without_vhe_timers", "timers", "e2h=0"),
];

/// All areas but those of what is optional, one after the other. Each takes little.
const ON_PLAIN_NV: &str = "exceptions,forwarding,stage2,tlbi,at,gic,timers,sweep";

pub(crate) fn trials() -> Vec<Trial> {
    let on_plain_nv = trial("conform_on_plain_nv", |name| {
        conforms(Builder::new(name).payload(PAYLOAD)?, ON_PLAIN_NV, "nv=1")
    });
    let with_vhe = |(name, area, hyp)| {
        trial(name, move |name| {
            conforms(Builder::new(name).payload(PAYLOAD)?, area, hyp)
        })
    };
    let without = |(name, area, hyp)| {
        trial(name, move |name| {
            conforms(Builder::new(name).payload_without_vhe(PAYLOAD)?, area, hyp)
        })
    };
    let without = AREAS_WITHOUT_VHE.into_iter().map(without);
    let others = AREAS.into_iter().map(with_vhe).chain(without);
    others.chain([on_plain_nv]).collect()
}

fn conforms(builder: Builder, area: &str, hyp: &str) -> Result {
    let builder = builder
        .memory(MemorySize::from_mib(RAM_MIB))
        .append(&format!("area={area}"));
    let native = lines_of(builder.clone().native()).context("natively")?;
    let gnomon = lines_of(builder.hyp(hyp)).context("under gnomon")?;
    let mut complaints = differences(&native, &gnomon);
    complaints.extend(gnomon.iter().filter(|line| is_bad(line)).cloned());
    expect_none(&complaints)
}

/// What the payload prints, to its end.
fn lines_of(builder: Builder) -> AnyResult<Vec<String>> {
    let mut machine = builder.start()?;
    machine.set_limit(line::LIMIT);
    let outcome = machine.wait_until_off()?;
    let lines: Vec<String> = machine
        .console_lines()
        .iter()
        .map(|line| line.trim_end().to_owned())
        .collect();
    let last = lines.last().map_or("nothing", String::as_str);
    ensure!(last == "P OK", "{outcome}; last came {last}");
    Ok(lines)
}

/// The lines that are in one run alone.
fn differences(native: &[String], gnomon: &[String]) -> Vec<String> {
    let compared =
        |lines: &[String]| -> Vec<String> { lines.iter().filter(|line| is_compared(line)).cloned().collect() };
    let (native, gnomon) = (compared(native), compared(gnomon));
    let only = |who: &str, these: &[String], those: &[String]| -> Vec<String> {
        let missing = these.iter().filter(|line| !those.contains(line));
        missing.map(|line| format!("{who}: {line}")).collect()
    };
    let mut all = only("natively", &native, &gnomon);
    all.extend(only("under gnomon", &gnomon, &native));
    if all.is_empty() && native != gnomon {
        all.push("the same lines in another order".to_owned());
    }
    all
}

fn is_compared(line: &str) -> bool {
    !line.starts_with(HIDDEN) && !line.starts_with(WRONG) && !UNLIKE.iter().any(|(prefix, _)| line.starts_with(prefix))
}

/// Whether a line under gnomon says of itself that something is wrong.
fn is_bad(line: &str) -> bool {
    let name = line.strip_prefix(HIDDEN).and_then(|rest| rest.split(' ').next());
    let is_known = |name: &str| UNHIDEABLE.iter().any(|(_, names)| names.contains(&name));
    line.starts_with(WRONG) || name.is_some_and(|name| !is_known(name))
}
