//! A PCI device that L1 tells to read and write where it has no business.
//!
//! The machine's RAM is a file that the test has open as well, so what the device has done is seen from outside, by nobody
//! whom it could deceive.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process;

use anyhow::{Context, Result as AnyResult, ensure};
use libtest_mimic::Trial;
use xtask::firmware;
use xtask::machine::{Builder, Machine};
use xtask::memory::MemorySize;
use xtask::project::Project;

use crate::{Result, entry, line, trial};

const RAM_MIB: u64 = 1024;
const RAM_START: u64 = 0x4000_0000;
/// Where the payload looks for its orders.
const ORDERS: u64 = 0x4900_0000;
/// RAM of the payload's that it uses for nothing.
const OWN: u64 = 0x4e00_0000;
/// gnomon's first instructions, and heap that nobody has taken.
const IMAGE: u64 = 0x4020_0000;
const HEAP: u64 = 0x4120_0000;
/// The last page of the carve-out, a frame that is taken last.
const LAST_FRAME: u64 = 0x443f_f000;
/// Nothing is behind RAM.
const HOLE: u64 = 0x8000_0000;
const GICD: u64 = 0x0800_0000;
const SMMU: u64 = 0x0905_0000;
const FW_CFG: u64 = 0x0902_0000;
const ECAM: u64 = 0x3f00_0000;
const VIRTIO: u64 = 0x0a00_0000;
const PAGE_BYTES: usize = 4096;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("dma_is_confined_by_an_smmu", is_confined),
        trial("dma_without_an_smmu_reaches_everything", reaches_everything),
        trial("dma_refused_leaves_no_device_that_does_it", refused),
        trial("dma_by_an_smmu_without_stage_2_is_not_confined", without_stage2),
        trial("dma_of_l1_reaches_neither_the_smmu_nor_fw_cfg", hidden),
    ]
}

/// RAM in a file, which goes with the value.
struct Ram {
    path: PathBuf,
    file: File,
}

impl Ram {
    fn new(name: &str) -> AnyResult<Self> {
        let path = entry::inputs_dir()?.join(format!("{name}-{}.ram", process::id()));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path);
        let file = file.with_context(|| format!("cannot create {}", path.display()))?;
        file.set_len(RAM_MIB << 20)?;
        Ok(Self { path, file })
    }

    fn page(&self, at: u64) -> AnyResult<Vec<u8>> {
        let mut page = vec![0; PAGE_BYTES];
        self.file.read_exact_at(&mut page, at - RAM_START)?;
        Ok(page)
    }

    fn write(&self, at: u64, word: u64) -> AnyResult<()> {
        Ok(self.file.write_all_at(&word.to_le_bytes(), at - RAM_START)?)
    }

    /// Has the payload send its device to `addresses`, and waits until that is done.
    fn order(&self, machine: &mut Machine, addresses: &[u64]) -> AnyResult<Vec<String>> {
        for (address, at) in addresses.iter().zip((ORDERS + 8..).step_by(8)) {
            self.write(at, *address)?;
        }
        self.write(ORDERS, addresses.len() as u64)?;
        machine.wait_for("P DONE")?;
        Ok(machine.console_lines())
    }

    /// Lets the payload end.
    fn end(&self, machine: &mut Machine) -> AnyResult<()> {
        self.write(ORDERS, 0)?;
        machine.wait_for("P OK").map(drop)
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A machine whose L1 is the payload, on a board with `board` among its properties, and its RAM.
fn machine(name: &str, board: &str, hyp: &str, append: &str) -> AnyResult<(Machine, Ram)> {
    let ram = Ram::new(name)?;
    let memory = format!(
        "memory-backend-file,id=ram,size={RAM_MIB}M,share=on,mem-path={}",
        ram.path.display()
    );
    let board = format!("virt,highmem-ecam=off,memory-backend=ram{board}");
    let arguments = [
        "-object",
        &memory,
        "-M",
        &board,
        "-device",
        "edu,dma_mask=0xffffffffffffffff",
    ];
    let mut builder = Builder::new(name)
        .payload("dma")?
        .memory(MemorySize::from_mib(RAM_MIB))
        .append(append);
    if !hyp.is_empty() {
        builder = builder.hyp(hyp);
    }
    let mut machine = arguments.into_iter().fold(builder, Builder::qemu_arg).start()?;
    machine.set_limit(line::LIMIT);
    Ok((machine, ram))
}

/// What the payload must say of each address.
fn expect(lines: &[String], address: u64, what: &str) -> AnyResult<()> {
    let wanted = format!("P {address:#x} {what}");
    let found = lines.iter().any(|line| line.trim_end() == wanted);
    ensure!(found, "no line `{wanted}` in {lines:#?}");
    Ok(())
}

/// The page of a table of gnomon's that translates the address of the payload, by the console.
fn page_of(machine: &mut Machine, table: &str) -> AnyResult<u64> {
    let lines = machine
        .debug_console()?
        .command(&format!("ptdump -r {table} 0x48000000+4K"))?;
    let words = lines.first().map(|line| line.split_whitespace());
    let at = words.and_then(|mut words| words.find_map(|word| word.strip_suffix(':')));
    let at = at.and_then(|at| u64::from_str_radix(at.trim_start_matches("0x"), 16).ok());
    Ok(at.with_context(|| format!("no descriptor in {lines:?}"))? & !0xfff)
}

fn is_confined(name: &str) -> Result {
    const FLOOD: usize = 30;
    let (mut machine, ram) = machine(name, ",iommu=smmuv3", "", &format!("flood={FLOOD}"))?;
    machine.wait_for("P READY")?;
    machine.wait_for_debug("DMA of PCI devices is confined to L1's RAM by an SMMUv3.1")?;
    let (host, dma) = (page_of(&mut machine, "host")?, page_of(&mut machine, "dma")?);
    let targets = [OWN, IMAGE, HEAP, LAST_FRAME, host, dma, HOLE, GICD];
    let owned = [IMAGE, HEAP, LAST_FRAME, host, dma];
    let before = owned.map(|at| ram.page(at).ok());
    let lines = ram.order(&mut machine, &targets)?;
    let after = owned.map(|at| ram.page(at).ok());
    for (at, (before, after)) in owned.into_iter().zip(before.into_iter().zip(after)) {
        if before != after {
            return Err(format!("the page at {at:#x} has changed").into());
        }
    }
    let image = fs::read(firmware::outputs(&Project::new()).image).context("gnomon's image")?;
    if !image.starts_with(&ram.page(IMAGE)?) {
        return Err("gnomon's first page is not that of its image".into());
    }
    expect(&lines, OWN, "was written")?;
    for target in &targets[1..] {
        expect(&lines, *target, "was not reached")?;
    }
    judge_report(&mut machine, &targets[1..], FLOOD - FLOOD.div_ceil(targets.len()))?;
    Ok(ram.end(&mut machine)?)
}

/// What gnomon must have said of a write to and a read from each of `targets`, and of `flood` more writes.
fn judge_report(machine: &mut Machine, targets: &[u64], flood: usize) -> AnyResult<()> {
    /// As many lines come at once, and then one a second.
    const BURST: usize = 16;
    const SECONDS_MAX: usize = 60;
    let rows = machine.debug_console()?.command("dma")?;
    let refused = 2 * targets.len() + flood;
    let wanted = format!("{refused} refused, 0 errors");
    let head = rows.first().context("`dma` says nothing")?;
    ensure!(head.contains("0x9050000") && head.ends_with(&wanted), "{head}");
    ensure!(rows.len() == 1 + refused.min(32), "{} rows", rows.len());
    ensure!(rows[1].contains("00:01.0 F_TRANSLATION write"), "{}", rows[1]);
    let said: Vec<&String> = machine
        .debug_lines()
        .iter()
        .filter(|line| line.contains("DMA refused"))
        .collect();
    let whose = |at| match at {
        IMAGE => "gnomon's image",
        GICD => "a device",
        HOLE => "nothing",
        _ => "gnomon's memory",
    };
    for target in targets {
        for access in ["write", "read"] {
            let wanted = format!("00:01.0, {access} at {target:#x}, {} (F_TRANSLATION)", whose(*target));
            ensure!(
                said.iter().any(|line| line.contains(&wanted)),
                "no line `{wanted}` in {said:#?}"
            );
        }
    }
    ensure!(said.len() < BURST + SECONDS_MAX, "{} lines", said.len());
    Ok(())
}

fn reaches_everything(name: &str) -> Result {
    let (mut machine, ram) = machine(name, "", "", "")?;
    machine.wait_for("P READY")?;
    machine.wait_for_debug("DMA of L1's devices is not confined: no SMMU")?;
    let before = ram.page(LAST_FRAME)?;
    let lines = ram.order(&mut machine, &[OWN, LAST_FRAME])?;
    expect(&lines, OWN, "was written")?;
    expect(&lines, LAST_FRAME, "was written")?;
    if ram.page(LAST_FRAME)? == before {
        return Err("the page is as it was".into());
    }
    let rows = machine.debug_console()?.command("dma")?;
    if rows != ["PCI devices are not confined"] {
        return Err(format!("{rows:?}").into());
    }
    Ok(ram.end(&mut machine)?)
}

/// The payload's read of the word at `address` must be an external abort.
fn aborts(name: &str, board: &str, hyp: &str, address: u64, wanted: &str) -> AnyResult<()> {
    let (mut machine, _ram) = machine(name, board, hyp, &format!("touch={address:#x}"))?;
    machine.wait_until_off()?;
    if !wanted.is_empty() {
        machine.wait_for_debug(wanted)?;
    }
    // A data abort at EL2 with the status of a synchronous external abort.
    let lines = machine.console_lines();
    let far = format!("FAR_EL2 {address:#x}");
    let is_abort = |line: &String| line.contains("ESR_EL2 0x96000010") && line.trim_end().ends_with(&far);
    ensure!(lines.iter().any(is_abort), "at {address:#x}: {lines:?}");
    Ok(())
}

fn refused(name: &str) -> Result {
    aborts(name, "", "dma=refuse", ECAM, "PCI is hidden from L1: no SMMU")?;
    aborts(name, "", "dma=refuse", VIRTIO, "")?;
    aborts(name, ",iommu=smmuv3", "dma=refuse", VIRTIO, "is confined")?;
    // What is confined is not refused.
    let (mut machine, ram) = machine(name, ",iommu=smmuv3", "dma=refuse", "")?;
    machine.wait_for("P READY")?;
    let lines = ram.order(&mut machine, &[OWN, LAST_FRAME])?;
    expect(&lines, OWN, "was written")?;
    expect(&lines, LAST_FRAME, "was not reached")?;
    Ok(ram.end(&mut machine)?)
}

/// Boards up to virt-9.1 have an SMMU with stage 1 only.
fn without_stage2(name: &str) -> Result {
    let mut machine = Builder::new(name)
        .payload("dma")?
        .memory(MemorySize::from_mib(RAM_MIB))
        .qemu_arg("-M")
        .qemu_arg("virt-9.1,virtualization=on,gic-version=3,iommu=smmuv3")
        .start()?;
    machine.set_limit(line::LIMIT);
    machine.wait_for("P READY")?;
    machine.wait_for_debug("DMA of L1's devices is not confined: the SMMU has no stage 2")?;
    Ok(())
}

fn hidden(name: &str) -> Result {
    aborts(name, ",iommu=smmuv3", "", SMMU, "is confined")?;
    aborts(name, ",iommu=smmuv3", "", FW_CFG, "")?;
    Ok(aborts(name, "", "", FW_CFG, "is not confined")?)
}
