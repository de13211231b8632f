//! `xtask golden`: Linux's own word on how its page tables are printed, recorded for the tests of `vmsa`.
//!
//! Debian's kernels are built without `CONFIG_PTDUMP_STAGE2_DEBUGFS`. So a small one is built from Debian's source with
//! it (`kernel`), and the small VMM makes VMs with tables of many kinds (`tests/payloads/vmm/src/golden.rs`), twice: on
//! that kernel at QEMU's own EL2, where what Linux prints is the truth, and on the same kernel as L1. There each VM is
//! held still while gnomon's `ptdump guest/...`, `levels` and `ipa_range` are compared with L1's debugfs files, byte for
//! byte, and while the descriptors are read out of the machine's memory through QEMU's monitor, which knows nothing of
//! page tables. What is recorded is the text and the descriptors (`tables`); a host test prints the descriptors again
//! and wants the text.
//!
//! The kernel's own stage 1 is recorded in the same way. Its text has more than a table can tell (Linux splits ranges at
//! the boundaries of its areas and prints their names), which is for the test to take into account.

mod kernel;
mod monitor;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::console::Console;
use crate::machine::{Builder, Machine, Outcome};
use crate::memory::MemorySize;
use crate::progress::say;
use crate::project::Project;
use monitor::Monitor;
use tables::{Root, Tables};

/// Where the recordings are kept, in the project.
const RECORDINGS: &str = "crates/vmsa/tests/golden";

/// A page of 1 GiB for the guests, and a linear map of blocks, so that the recorded stage 1 is not a million lines.
const KERNEL_WORDS: &str = "quiet hugepagesz=1G hugepages=1 rodata=noalias";
const RAM_MIB: u64 = 3072;

/// The VMs' IPA bits, as the VMM makes them.
const IPA_BITS: [u32; 4] = [32, 40, 43, 48];

/// How long the machine may print nothing that is waited for.
const LIMIT: Duration = Duration::from_mins(5);

/// Builds the kernel unless one is given, compares, and records.
///
/// # Errors
///
/// When anything is missing, and when gnomon's text differs from Linux's.
pub fn run(project: &Project, kernel: Option<PathBuf>) -> Result<()> {
    let kernel = match kernel {
        Some(kernel) => kernel,
        None => kernel::build(project)?,
    };
    let native = native_texts(&kernel)?;
    let recordings = record(&kernel)?;
    for (recording, native) in recordings.iter().zip(&native) {
        ensure!(
            &recording.text == native,
            "{}: Linux prints other tables without gnomon",
            recording.name
        );
    }
    let dir = project.root().join(RECORDINGS);
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    for recording in &recordings {
        recording.write(&dir)?;
        say(&format!(
            "golden: {}: {} lines are the same, {} tables recorded",
            recording.name,
            recording.text.len(),
            recording.tables.count()
        ));
    }
    Ok(())
}

/// A table: what Linux prints, and what is in it.
struct Recording {
    name: String,
    text: Vec<String>,
    tables: Tables,
}

impl Recording {
    fn write(&self, dir: &Path) -> Result<()> {
        let text: String = self.text.iter().map(|line| format!("{line}\n")).collect();
        for (suffix, contents) in [("txt", text), ("tables", self.tables.to_string())] {
            let path = dir.join(format!("{}.{suffix}", self.name));
            fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

fn builder(name: &str, kernel: &Path, arguments: &str) -> Result<Builder> {
    Builder::new(name)
        .memory(MemorySize::from_mib(RAM_MIB))
        .kernel(kernel)
        .append(KERNEL_WORDS)
        .vmm(arguments)
}

/// What Linux prints for each VM at QEMU's own EL2.
fn native_texts(kernel: &Path) -> Result<Vec<Vec<String>>> {
    let mut machine = builder("golden-native", kernel, "golden")?.native().start()?;
    machine.set_limit(LIMIT);
    let outcome = machine.wait_until_off()?;
    ensure!(outcome == Outcome::PoweredOff, "without gnomon: {outcome}");
    let lines = machine.console_lines();
    let texts = IPA_BITS.map(|bits| text_of(&lines, &bits.to_string(), "stage2_page_tables"));
    texts.into_iter().collect()
}

/// Compares gnomon's text with Linux's, and records both and the tables.
fn record(kernel: &Path) -> Result<Vec<Recording>> {
    let monitor_path = std::env::temp_dir().join(format!("gnomon-golden-{}.sock", std::process::id()));
    let mut machine = builder("golden", kernel, "golden hold")?
        .interactive()
        .qemu_arg("-monitor")
        .qemu_arg(format!("unix:{},server=on,wait=off", monitor_path.display()))
        .start()?;
    machine.set_limit(LIMIT);
    let mut monitor = Monitor::connect(&monitor_path)?;
    let mut recordings = Vec::new();
    for bits in IPA_BITS {
        machine.wait_for(&format!("vmm: {bits}: held"))?;
        recordings.push(stage2(&mut machine, &mut monitor, bits)?);
        machine.send("\n")?;
    }
    machine.wait_for("vmm: kernel: held")?;
    recordings.push(stage1(&mut machine, &mut monitor)?);
    Ok(recordings)
}

/// The lines of one of Linux's files between the VMM's own.
fn text_of(lines: &[String], scene: &str, file: &str) -> Result<Vec<String>> {
    let begin = format!("vmm: golden {scene} {file}");
    let begin = lines.iter().position(|line| *line == begin);
    let text = &lines[begin.with_context(|| format!("L1 did not print {file} of {scene}"))? + 1..];
    let end = text.iter().position(|line| line == "vmm: end");
    Ok(text[..end.with_context(|| format!("{file} of {scene} has no end"))?].to_vec())
}

fn stage2(machine: &mut Machine, monitor: &mut Monitor, bits: u32) -> Result<Recording> {
    let mut console = machine.debug_console()?;
    expect(&mut console, "stop", &["stopped".to_owned()])?;
    let names = console.command("ptdump")?;
    let named = names.iter().filter_map(|name| Some((name, guest_registers(name)?)));
    let mut of_this_size = named.filter(|(_, (_, vtcr))| 64 - (vtcr & 0x3f) == u64::from(bits));
    let Some((name, (vttbr, vtcr))) = of_this_size.next() else {
        bail!("gnomon knows no guest with {bits} bits of IPA: {names:?}");
    };
    let lines = machine.console_lines();
    let scene = bits.to_string();
    let text = text_of(&lines, &scene, "stage2_page_tables")?;
    expect(&mut console, &format!("ptdump {name}"), &text)?;
    expect(
        &mut console,
        &format!("levels {name}"),
        &text_of(&lines, &scene, "stage2_levels")?,
    )?;
    expect(
        &mut console,
        &format!("ipa_range {name}"),
        &text_of(&lines, &scene, "ipa_range")?,
    )?;
    let tables = Tables::read(monitor, &Root::stage2(vttbr, vtcr))?;
    expect(&mut console, "cont", &["running".to_owned()])?;
    Ok(Recording {
        name: format!("stage2-{bits}"),
        text,
        tables,
    })
}

/// `VTTBR_EL2` and `VTCR_EL2` in `guest/0x...-0x...-s2-enabled`.
fn guest_registers(name: &str) -> Option<(u64, u64)> {
    let (vttbr, vtcr) = name.strip_prefix("guest/0x")?.split_once("-0x")?;
    let vtcr = vtcr.strip_suffix("-s2-enabled")?;
    Some((
        u64::from_str_radix(vttbr, 16).ok()?,
        u64::from_str_radix(vtcr, 16).ok()?,
    ))
}

fn stage1(machine: &mut Machine, monitor: &mut Monitor) -> Result<Recording> {
    let mut console = machine.debug_console()?;
    expect(&mut console, "stop", &["stopped".to_owned()])?;
    let registers = console.command("regs 0")?;
    let value = |name: &str| -> Result<u64> {
        let mut lines = registers.iter().map(|line| line.split_whitespace());
        let found = lines.find_map(|mut words| {
            let is_it = words.next() == Some("L1") && words.next() == Some(name);
            u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16)
                .ok()
                .filter(|_| is_it)
        });
        found.with_context(|| format!("gnomon does not show L1's {name}"))
    };
    let root = Root::stage1(value("TTBR1_EL2")?, value("TCR_EL2")?, value("MAIR_EL2")?);
    Ok(Recording {
        name: "kernel".to_owned(),
        text: text_of(&machine.console_lines(), "kernel", "kernel_page_tables")?,
        tables: Tables::read(monitor, &root)?,
    })
}

/// Whether the console answers exactly that.
fn expect(console: &mut Console, command: &str, wanted: &[String]) -> Result<()> {
    let answer = console.command(command)?;
    let differs = answer.iter().zip(wanted).find(|(have, want)| have != want);
    if let Some((have, want)) = differs {
        bail!("`{command}` prints\n{have:?}\nand should print\n{want:?}");
    }
    ensure!(
        answer.len() == wanted.len(),
        "`{command}` prints {} lines and should print {}",
        answer.len(),
        wanted.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_registers_are_in_its_name() {
        let name = "guest/0x00010001009bc000-0x00000000800d3520-s2-enabled";
        assert_eq!(guest_registers(name), Some((0x0001_0001_009b_c000, 0x800d_3520)));
        assert_eq!(guest_registers("shadow/0x0-0x0-s2-enabled"), None);
        assert_eq!(guest_registers("host"), None);
    }

    #[test]
    fn a_file_is_what_stands_between_its_lines() {
        let lines = [
            "vmm: golden 40 a",
            "1",
            "vmm: end",
            "vmm: golden 40 b",
            " 2 ",
            "vmm: end",
        ];
        let lines = lines.map(str::to_owned);
        assert_eq!(text_of(&lines, "40", "b").unwrap(), [" 2 "]);
        assert!(text_of(&lines, "40", "c").is_err());
        assert!(text_of(&lines[..5], "40", "b").is_err());
    }
}
