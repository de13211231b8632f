//! An L2 boots under gnomon: on every number of CPUs, with little memory, with a newer kernel, from
//! the ELF; and what L1 and L2 say is what they say without gnomon.

use std::env;
use std::path::Path;
use std::process::{self, Command};
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use system_tests::compose;
use system_tests::listing;
use system_tests::ptdump::{Dump, split_by_name};
use system_tests::story;
use xtask::console::Console;
use xtask::firmware;
use xtask::machine::Builder;
use xtask::memory::MemorySize;
use xtask::process::capture;
use xtask::project::Project;

use crate::entry::{self, LIMIT, Run};
use crate::{Result, expect_none, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(ON_2_CPUS, |_| judge(on_2_cpus()?, 2)),
        trial("l2_boots_on_1_cpu_in_1_gib", |name| {
            judge(&entry::run(name, &["--smp", "1", "--memory", "1G"])?, 1)
        }),
        trial("l2_boots_on_4_cpus_and_the_console_socket_shows_its_shadow", on_4_cpus),
        trial("l2_boots_with_a_7_kernel", with_a_7_kernel),
        trial("l2_boots_when_l1_is_nvhe", |name| {
            in_mode(name, &[], "nvhe", "Hyp nVHE mode initialized")
        }),
        trial("l2_boots_when_l1_is_protected", when_protected),
        trial("l2_boots_with_fine_grained_traps", with_fine_grained_traps),
        trial("vms_of_every_size_run_with_large_addresses", with_large_addresses),
        trial("l2_boots_on_plain_nv", |name| {
            judge(&entry::run(name, &["--hyp", "nv=1"])?, 2)
        }),
        trial("l2_boots_when_gnomon_is_started_as_an_elf", from_the_elf),
        trial("native_prints_the_same_lines", native_prints_the_same_lines),
    ]
}

const ON_2_CPUS: &str = "l2_boots_on_2_cpus";

/// The default machine, which others are compared with.
fn on_2_cpus() -> Result<&'static Run> {
    static RUN: OnceLock<std::result::Result<Run, String>> = OnceLock::new();
    let run = RUN.get_or_init(|| entry::run(ON_2_CPUS, &[]).map_err(|error| format!("{error:#}")));
    run.as_ref().map_err(Into::into)
}

/// With an L1 that is shown no VHE, and whose KVM is told to be of kind `mode`, which it says to be by `says`.
fn in_mode(name: &str, arguments: &[&str], mode: &str, says: &str) -> Result {
    let append = format!("kvm-arm.mode={mode}");
    let run = entry::run(name, &[arguments, &["--hyp", "e2h=0", "--append", &append]].concat())?;
    judge_in_mode(&run, 2, says)
}

/// L1 is shown FEAT_FGT, finds it, and its KVM traps by it.
fn with_fine_grained_traps(name: &str) -> Result {
    let run = entry::run(name, &["--hyp", "fgt=1"])?;
    if !run.stdout.contains("detected: Fine Grained Traps") {
        return Err("L1 has found no fine-grained traps".into());
    }
    judge(&run, 2)
}

/// L1 is shown FEAT_LPA2 and finds it at both stages: its KVM makes tables with `DS`, for guests of up to 52 bits, which
/// check their memory while it is taken back.
fn with_large_addresses(name: &str) -> Result {
    let builder = Builder::new(name).smp(2).memory(MemorySize::from_mib(2048));
    let mut machine = builder.vmm("stress 2 6")?.hyp("lpa2=1").start()?;
    machine.set_limit(LIMIT);
    machine.wait_for("detected: 52-bit Virtual Addressing (LPA2)")?;
    machine.wait_for("detected: 52-bit Virtual Addressing for KVM (LPA2)")?;
    machine.wait_for("IPA Size Limit: 52 bits")?;
    machine.wait_for("vmm: stress")?;
    machine.wait_for("vmm: OK")?;
    Ok(dump_of_52_bits(name)?)
}

/// Where a machine's RAM begins, and how much that of [`dump_of_52_bits`] has.
const RAM_BASE: u64 = 1 << 30;

/// A guest of 52 bits has tables as others have: the console prints both, they agree, and nothing is found wrong.
fn dump_of_52_bits(name: &str) -> anyhow::Result<()> {
    let builder = Builder::new(&format!("{name}-dump"))
        .smp(1)
        .memory(MemorySize::from_mib(1024));
    let mut machine = builder.vmm("faults 1 100000")?.hyp("lpa2=1").interactive().start()?;
    machine.set_limit(LIMIT);
    machine.wait_for(" s, 1 VMs, 1 runs")?;
    let mut console = machine.debug_console()?;
    console.command("stop")?;
    let rows = listing::parse_shadows(&console.command("shadow")?)?;
    let row = rows.iter().find(|row| row.name.ipa_bits() == 52 && row.mapped[0] > 0);
    let number = row.with_context(|| format!("no shadow of 52 bits in {rows:?}"))?.number;
    let mut say = |command: &str| console.command(&command.replace('#', &format!("/{number}")));
    ensure!(say("ipa_range shadow#")? == ["52"] && say("levels shadow#")? == ["5"]);
    ensure!(say("ipa_range guest#")? == ["52"] && say("levels guest#")? == ["4"]);
    let [shadow, guest, host] = [say("ptdump shadow#")?, say("ptdump guest#")?, say("ptdump host")?];
    let [shadow, guest, host] = [Dump::parse(&shadow)?, Dump::parse(&guest)?, Dump::parse(&host)?];
    ensure!(shadow.mapped().count() > 0, "nothing is mapped");
    let host_ram = host
        .mapped()
        .filter(|(range, _)| range.start >= RAM_BASE && range.end <= RAM_BASE * 2);
    let host_level = host_ram.map(|(range, _)| range.level).max().unwrap_or(3);
    let found = compose::disagreements(&shadow, &guest, host_level);
    ensure!(found.is_empty(), "{found:?}");
    for range in shadow.mapped().map(|(range, _)| range) {
        let walks = say(&format!("explain shadow# {:#x} r", range.start))?;
        let sentence = walks.last().map_or("", String::as_str);
        ensure!(
            sentence.contains("the shadow follows") && sentence.contains("reaches PA"),
            "{walks:?}"
        );
    }
    let beyond = say(&format!("explain shadow# {:#x} r", 1u64 << 51))?;
    ensure!(
        beyond
            .last()
            .is_some_and(|sentence| sentence.contains("faults to L1 (translation fault, level 0)")),
        "{beyond:?}"
    );
    let audit = say("audit shadow#")?;
    ensure!(audit.iter().any(|line| line.contains("0 findings")), "{audit:?}");
    Ok(())
}

/// Its KVM keeps what it protects from the rest of its kernel: that kernel is a guest with a stage 2 of its own. A kernel
/// 6.12 comes up in this mode, but runs no L2, natively either.
fn when_protected(name: &str) -> Result {
    let kernel = kernel_7()?;
    let arguments = ["--kernel", kernel.trim()];
    in_mode(name, &arguments, "protected", "Protected nVHE mode initialized")
}

fn judge(run: &Run, cpu_count: u32) -> Result {
    judge_in_mode(run, cpu_count, story::VHE)
}

fn judge_in_mode(run: &Run, cpu_count: u32, mode: &str) -> Result {
    let mut complaints = story::complaints(&run.stdout, cpu_count, mode);
    complaints.extend(run.complaint_about_status(0));
    if !complaints.is_empty() {
        complaints.push(run.logs());
    }
    expect_none(&complaints)
}

/// `gnomon.hold` keeps L2 there while a program looks at its tables over `--console`.
fn on_4_cpus(name: &str) -> Result {
    // Short, because the path of a unix socket must be, and this test program's own.
    let path = env::temp_dir().join(format!("gnomon-smp4-{}.sock", process::id()));
    let socket = path.display().to_string();
    let arguments = ["--smp", "4", "--append", "gnomon.hold=20", "--console", &socket];
    let run = entry::run_with(name, &arguments, || {
        let mut console = Console::connect(&path, LIMIT)?;
        let tables = split_by_name(&console.command("ptdump shadow")?);
        let mut enabled = tables.iter().filter(|(name, _)| name.ends_with("-s2-enabled"));
        let (table, lines) = enabled.next().context("there is no shadow while L2 is up")?;
        let dump = Dump::parse_moving(lines).with_context(|| table.clone())?;
        ensure!(dump.mapped().next().is_some(), "{table} is empty while L2 is up");
        Ok(())
    })?;
    judge(&run, 4)
}

/// No network and no cached package is a failure, not a reason to skip.
fn kernel_7() -> anyhow::Result<String> {
    capture(Command::new(Project::new().root().join("scripts/setup")).arg("--kernel-7"))
}

fn with_a_7_kernel(name: &str) -> Result {
    let kernel = kernel_7()?;
    let run = entry::run(name, &["--kernel", kernel.trim()])?;
    let releases = story::lines(&run.stdout);
    let mut complaints = Vec::new();
    for who in ["L1 UP 7.", "L2 UP 7."] {
        if !releases.iter().any(|line| line.starts_with(who)) {
            complaints.push(format!("`{who}` is missing: another kernel ran"));
        }
    }
    expect_none(&complaints)?;
    judge(&run, 2)
}

/// Without Linux's boot protocol: QEMU passes no device tree address.
fn from_the_elf(name: &str) -> Result {
    let elf = match env::var_os(firmware::IMAGE_VARIABLE) {
        // `xtask test` has built both.
        Some(image) => Path::new(&image).with_extension(""),
        None => firmware::build(&Project::new())?.elf,
    };
    let run = entry::run(name, &["--image", &elf.display().to_string()])?;
    judge(&run, 2)?;
    expect_same(&run, on_2_cpus()?)
}

fn native_prints_the_same_lines(name: &str) -> Result {
    let run = entry::run(name, &["--native"])?;
    judge(&run, 2)?;
    expect_same(&run, on_2_cpus()?)
}

fn expect_same(this: &Run, other: &Run) -> Result {
    let (these, others) = (story::normalised(&this.stdout), story::normalised(&other.stdout));
    if these == others {
        return Ok(());
    }
    Err(format!(
        "the lines differ:\n{}\nand\n{}\n{}; {}",
        these.join("\n"),
        others.join("\n"),
        this.logs(),
        other.logs()
    )
    .into())
}
