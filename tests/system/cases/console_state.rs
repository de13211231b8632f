//! What the console says of a vCPU's state: registers, the VNCR page, ID registers, interrupts, timers, memory.
//!
//! All trials are about one machine, whose L2 prints without pause. [`Scene::play`] gathers as a program does, running and
//! stopped; each trial judges one statement.

mod gathered;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::answers::Records;
use crate::{Result, expect_none};
use gathered::{Scene, hex, is, text, value, words};

/// vCPUs of the machine.
const VCPUS: usize = 2;
/// Word 7 of an arm64 `Image` begins with its magic, "ARM\x64".
const IMAGE_MAGIC: u64 = 0x644d_5241;
/// What is written to a register, and read back.
const TRIED: u64 = 0x1234_5678_9abc_def0;

/// A feature that Linux puts into `/proc/cpuinfo` when a field of an ID register is at least this.
const FEATURES: [(&str, &str, u64, &str); 14] = [
    ("ID_AA64ISAR0_EL1", "AES", 1, "aes"),
    ("ID_AA64ISAR0_EL1", "AES", 2, "pmull"),
    ("ID_AA64ISAR0_EL1", "CRC32", 1, "crc32"),
    ("ID_AA64ISAR0_EL1", "Atomic", 2, "atomics"),
    ("ID_AA64ISAR0_EL1", "RNDR", 1, "rng"),
    ("ID_AA64ISAR0_EL1", "TS", 2, "flagm2"),
    ("ID_AA64ISAR1_EL1", "JSCVT", 1, "jscvt"),
    ("ID_AA64ISAR1_EL1", "I8MM", 1, "i8mm"),
    ("ID_AA64ISAR1_EL1", "SB", 1, "sb"),
    ("ID_AA64ISAR2_EL1", "WFxT", 2, "wfxt"),
    ("ID_AA64PFR0_EL1", "SVE", 1, "sve"),
    ("ID_AA64PFR0_EL1", "DIT", 1, "dit"),
    ("ID_AA64PFR1_EL1", "MTE", 2, "mte"),
    ("ID_AA64PFR1_EL1", "SME", 1, "sme"),
];

pub(crate) fn trials() -> Vec<Trial> {
    crate::scene::trials::<Scene>(&[
        ("state_regs_follow_a_vcpu_that_runs", regs_follow),
        ("state_regs_stand_still_while_stopped", regs_stand_still),
        ("state_regs_and_vncr_agree_on_the_page", regs_and_vncr_agree),
        ("state_regs_are_written_and_read_back", regs_are_written),
        ("state_regs_say_what_l1s_stage_2_is", stage_2_of_l1),
        ("state_idregs_are_what_l1s_kernel_found", idregs_are_linuxs),
        ("state_timers_are_due_within_sight", timers_are_sane),
        ("state_vgic_has_the_interrupts_linux_enabled", vgic_has_interrupts),
        ("state_mem_reads_the_kernels_of_l1_and_l2", mem_reads_kernels),
        ("state_mem_reads_by_virtual_address", mem_reads_virtual),
        ("state_commands_refuse_nonsense", nonsense_is_refused),
        ("state_of_a_vcpu_that_is_off_is_off", off_is_off),
    ])
}

/// Two looks at a vCPU that runs are hardly ever at one place; and PCs are of kernels or programs, never of gnomon.
fn regs_follow(scene: &Scene) -> Result {
    let mut wrong = Vec::new();
    for vcpu in 0..VCPUS {
        let rows = scene.looks.iter().flatten().filter(|row| row["vcpu"] == vcpu);
        let mut pcs: Vec<u64> = rows.filter_map(|row| hex(row, "pc")).collect();
        let looks = pcs.len();
        pcs.sort_unstable();
        pcs.dedup();
        if looks != scene.looks.len() || (vcpu == 0 && pcs.len() < 2) {
            wrong.push(format!("vCPU {vcpu}: {looks} looks, at {pcs:x?}"));
        }
    }
    for row in scene.looks.iter().flatten() {
        let is_right = match text(row, "runs") {
            "L1" => matches!(text(row, "mode"), "EL2h" | "EL2t" | "EL0t") && row["shadow"].is_null(),
            "L2" => matches!(text(row, "mode"), "EL1h" | "EL1t" | "EL0t") && row["shadow"].is_u64(),
            _ => false,
        };
        if !is_right {
            wrong.push(format!("no such state: {row}"));
        }
    }
    expect_none(&wrong)
}

fn regs_stand_still(scene: &Scene) -> Result {
    let mut wrong = Vec::new();
    for [first, second, _] in &scene.stopped {
        for (one, other) in first.iter().zip(second) {
            // Time does not stop: a timer may come due.
            let is_timer = text(one, "register").starts_with("CNT");
            let but_id = |row: &Value| {
                let mut row = row.clone();
                row["id"] = Value::Null;
                row
            };
            if !is_timer && but_id(one) != but_id(other) {
                wrong.push(format!("{one} and {other}"));
            }
        }
        if first.len() < 100 || first.len() != second.len() {
            wrong.push(format!("{} and {} records", first.len(), second.len()));
        }
    }
    expect_none(&wrong)
}

fn regs_and_vncr_agree(scene: &Scene) -> Result {
    let mut wrong = Vec::new();
    for [regs, _, page] in &scene.stopped {
        let runs_l2 = regs.iter().any(|row| is(row, "runs", "L2"));
        let registers = ["HCR_EL2", "VTTBR_EL2", "VTCR_EL2", "CNTVOFF_EL2", "VMPIDR_EL2"];
        // The guest's registers are in the page while it does not run.
        let guests = ["SCTLR_EL1", "TCR_EL1", "TTBR1_EL1", "VBAR_EL1"];
        for register in registers.iter().chain(if runs_l2 { &[][..] } else { &guests }) {
            let both = (value(regs, register), value(page, register));
            if both.0.is_none() || both.0 != both.1 {
                wrong.push(format!("{register}: {both:x?}"));
            }
        }
        let nonzero = page
            .iter()
            .filter(|row| hex(row, "value").is_some_and(|value| value != 0));
        let head = page.iter().find(|row| is(row, "k", "vncr_page"));
        if head.is_none_or(|head| head["nonzero"] != nonzero.count() || hex(head, "pa").is_none_or(|pa| pa % 4096 != 0))
        {
            wrong.push(format!("the line about the page: {head:?}"));
        }
    }
    expect_none(&wrong)
}

fn regs_are_written(scene: &Scene) -> Result {
    let [before, written, after] = scene.written.each_ref().map(|records| value(records, "x28"));
    if written == Some(TRIED) && before == after && before.is_some() {
        Ok(())
    } else {
        Err(format!("x28 was {before:x?}, then {written:x?}, at last {after:x?}").into())
    }
}

/// `VTTBR_EL2` and `VTCR_EL2` of L1 are those in the name of the shadow that its guest runs on.
fn stage_2_of_l1(scene: &Scene) -> Result {
    let names: Vec<&str> = scene.shadows.iter().map(|row| text(row, "name")).collect();
    for [regs, ..] in &scene.stopped {
        let (Some(vttbr), Some(vtcr)) = (value(regs, "VTTBR_EL2"), value(regs, "VTCR_EL2")) else {
            return Err("no VTTBR_EL2".into());
        };
        // The name is without CnP.
        let name = format!("{:#018x}-{vtcr:#018x}-s2-enabled", vttbr & !1);
        if vttbr != 0 && !names.contains(&name.as_str()) {
            return Err(format!("no shadow {name} among {names:?}").into());
        }
    }
    Ok(())
}

/// Linux in L1 turns the fields that it reads into words in `/proc/cpuinfo`.
fn idregs_are_linuxs(scene: &Scene) -> Result {
    let words: Vec<&str> = scene.features.split_whitespace().collect();
    let mut wrong = Vec::new();
    for (register, field, least, word) in FEATURES {
        let row = scene
            .fields
            .iter()
            .find(|row| is(row, "register", register) && is(row, "field", field));
        let shown = row.and_then(|row| row["l1"].as_u64());
        if shown.is_none() || shown.is_some_and(|shown| shown >= least) != words.contains(&word) {
            wrong.push(format!(
                "{register}.{field} is {shown:?}, and Linux says: {}",
                scene.features
            ));
        }
        if let Some(row) = row
            && row["hardware"].as_u64() < shown
        {
            wrong.push(format!("L1 sees more than there is: {row}"));
        }
    }
    expect_none(&wrong)
}

/// Linux arms its timers for some seconds ahead at most, and takes what is due at once.
fn timers_are_sane(scene: &Scene) -> Result {
    const SIGHT_US: u64 = 1_000_000_000;
    let mut wrong = Vec::new();
    for vcpu in 0..VCPUS {
        let timers: Vec<&Value> = scene
            .timers
            .iter()
            .filter(|row| is(row, "k", "timer") && row["vcpu"] == vcpu)
            .collect();
        let of = |timer: &str| timers.iter().find(|row| is(row, "timer", timer));
        let place = |timer: &str| of(timer).map(|row| text(row, "place"));
        let is_on = |row: &Value| hex(row, "ctl").is_some_and(|ctl| ctl & 1 != 0);
        if timers.len() != 5 || place("CNTHP") == place("CNTP") || place("CNTHV") != place("CNTHP") {
            wrong.push(format!("vCPU {vcpu}: {timers:?}"));
        }
        if !of("CNTHP").is_some_and(|row| is_on(row)) && !of("CNTHV").is_some_and(|row| is_on(row)) {
            wrong.push(format!("vCPU {vcpu}: L1 has no timer running"));
        }
        for row in timers
            .into_iter()
            .filter(|row| is_on(row) && !is(row, "timer", "wake-up"))
        {
            if row["microseconds"]
                .as_i64()
                .is_none_or(|us| us.unsigned_abs() > SIGHT_US)
            {
                wrong.push(format!("out of sight: {row}"));
            }
        }
    }
    expect_none(&wrong)
}

/// The timer of L1 and its UART.
fn vgic_has_interrupts(scene: &Scene) -> Result {
    const UART: u64 = 33;
    const TIMERS: [u64; 2] = [26, 27];
    let has = |vcpu: Value, intid: u64| {
        scene.vgic.iter().any(|row| {
            is(row, "k", "interrupt") && row["vcpu"] == vcpu && row["intid"] == intid && row["enabled"] == true
        })
    };
    let mut wrong = Vec::new();
    for vcpu in 0..VCPUS {
        for intid in TIMERS {
            if !has(vcpu.into(), intid) {
                wrong.push(format!("vCPU {vcpu} has no interrupt {intid}"));
            }
        }
        let interfaces = scene
            .vgic
            .iter()
            .filter(|row| is(row, "k", "interface") && row["vcpu"] == vcpu);
        if interfaces.count() != 2 {
            wrong.push(format!("vCPU {vcpu} has not two interfaces"));
        }
    }
    if !has(Value::Null, UART) {
        wrong.push("L1 has no UART interrupt".to_owned());
    }
    expect_none(&wrong)
}

/// A kernel's vectors are at one virtual address on all CPUs, and are instructions.
fn mem_reads_virtual(scene: &Scene) -> Result {
    let [l1, l1_again, l2, l2_again] = scene.vectors.each_ref().map(words);
    let is_code = |words: &[u64]| words.len() == 8 && words.iter().any(|word| *word != 0);
    if l1 == l1_again && l2 == l2_again && is_code(&l1) && is_code(&l2) {
        Ok(())
    } else {
        Err(format!("vectors of L1: {l1:x?}, {l1_again:x?}; of L2: {l2:x?}, {l2_again:x?}").into())
    }
}

fn mem_reads_kernels(scene: &Scene) -> Result {
    let mut wrong = Vec::new();
    for kernel in &scene.kernels {
        let words = words(kernel);
        let magic = words.get(7).map(|word| word & 0xffff_ffff);
        if words.len() != 8 || magic != Some(IMAGE_MAGIC) {
            wrong.push(format!("no arm64 Image: {words:x?}"));
        }
    }
    expect_none(&wrong)
}

fn nonsense_is_refused(scene: &Scene) -> Result {
    expect_none(&scene.accepted)
}

fn off_is_off(scene: &Scene) -> Result {
    let runs = |records: &Records, vcpu: usize| {
        records
            .iter()
            .find(|row| row["vcpu"] == vcpu)
            .map(|row| text(row, "runs").to_owned())
    };
    let [off, on] = &scene.hotplug;
    let found = [runs(off, 0), runs(off, 1), runs(on, 0), runs(on, 1)];
    if found.each_ref().map(Option::as_deref) == [Some("L1"), Some("off"), Some("L1"), Some("L1")] {
        Ok(())
    } else {
        Err(format!("vCPUs 0 and 1 with 1 off, then on: {found:?}").into())
    }
}
