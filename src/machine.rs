//! What the device tree says of the machine: read once at boot, checked, kept.
//!
//! The blob comes from QEMU, but a truncated or foreign one must end in a message. So `dtoolkit` validates the whole
//! structure before `fdt`, which trusts its input, reads it.

use alloc::{string::{String, ToString}, vec::Vec};
use core::{fmt, ops::Range};

use fdt::{Fdt, node::FdtNode};

use crate::{layout, mm::{self, PAGE_BYTES, phys}};

/// A PL011 and its interrupt.
#[derive(Clone, Debug)]
pub struct Uart {
    /// Its registers.
    pub registers: Range<u64>,
    /// Its INTID.
    pub intid: u32,
    /// Path of its node.
    pub node: String,
}

/// A blob that QEMU's guest-loader put in RAM.
#[derive(Clone, Debug)]
pub struct Module {
    /// Where it lies.
    pub range: Range<u64>,
    /// Its command line, if it has one.
    pub bootargs: String,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The device tree as it was found.
    pub device_tree: &'static [u8],
    /// Banks of RAM, whole.
    pub ram: Vec<Range<u64>>,
    /// `MPIDR_EL1` affinity of each CPU, in the tree's order.
    pub cpus: Vec<u64>,
    /// GIC distributor.
    pub gicd: Range<u64>,
    /// GIC redistributors.
    pub gicr: Range<u64>,
    /// L1's console.
    pub l1_uart: Uart,
    /// gnomon's console.
    pub debug_uart: Uart,
    /// Every region of device registers in the tree, GIC and UARTs included.
    pub devices: Vec<Range<u64>>,
    /// L1's kernel.
    pub kernel: Option<Module>,
    /// L1's initial ramdisk.
    pub ramdisk: Option<Module>,
    /// gnomon's own options.
    pub options: String,
}

/// Why a machine cannot be used; each says what to do.
#[derive(Debug)]
pub enum MachineError {
    /// No flattened device tree at the address given.
    NoDeviceTree(u64),
    /// The tree breaks the rules of its format.
    Malformed(String),
    /// A node or property that must be there is not.
    Missing(&'static str),
    /// More CPUs than the image has stacks for.
    TooManyCpus(usize),
    /// No second UART.
    NoDebugUart,
    /// The bank that holds the image is too small (bytes of it, bytes needed).
    TooLittleMemory(u64, u64),
}

impl fmt::Display for MachineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDeviceTree(at) => {
                write!(f, "no device tree at {at:#x}: start gnomon with QEMU's -kernel on the virt machine")
            }
            Self::Malformed(why) => write!(f, "malformed device tree ({why}): let QEMU make it, without -dtb"),
            Self::Missing(what) => {
                write!(f, "the device tree has no {what}: start QEMU with -machine virt,virtualization=on,gic-version=3")
            }
            Self::TooManyCpus(count) => {
                write!(f, "{count} CPUs, at most {} are supported: lower QEMU's -smp", layout::CPU_COUNT_MAX)
            }
            Self::NoDebugUart => {
                f.write_str("no second UART for the debug console: give QEMU a second -serial option")
            }
            Self::TooLittleMemory(have, need) => {
                write!(f, "{} MiB of RAM, at least {} MiB are needed: raise QEMU's -m", have >> 20, need >> 20)
            }
        }
    }
}

/// Where QEMU leaves the tree when it loads an ELF and passes no address: the start of RAM.
const DEVICE_TREE_OF_ELF: u64 = 0x4000_0000;
const FDT_MAGIC: u32 = 0xd00d_feed;
/// No tree of QEMU's comes near this; a larger size is garbage.
const DEVICE_TREE_BYTES_MAX: usize = 2 << 20;
/// L1 with its kernel needs some RAM beside the carve-out.
const L1_BYTES_MIN: u64 = 128 << 20;

impl Machine {
    /// Reads the tree at `at`, or where QEMU leaves it when `at` is zero.
    pub fn read(at: u64) -> Result<Self, MachineError> {
        let blob = device_tree_blob(if at == 0 { DEVICE_TREE_OF_ELF } else { at })?;
        let tree = Fdt::new(blob).map_err(|error| MachineError::Malformed(error.to_string()))?;
        let gic = tree.find_compatible(&["arm,gic-v3"]).ok_or(MachineError::Missing("GICv3"))?;
        let mut gic_regions = regions(gic);
        let (Some(gicd), Some(gicr)) = (gic_regions.next(), gic_regions.next()) else {
            return Err(MachineError::Missing("GICv3 distributor and redistributors"));
        };
        let (l1_uart, debug_uart) = uarts(&tree)?;
        let machine = Self {
            device_tree: blob,
            ram: ram(&tree),
            cpus: cpus(&tree),
            gicd,
            gicr,
            l1_uart,
            debug_uart,
            devices: devices(&tree),
            kernel: module(&tree, "multiboot,kernel"),
            ramdisk: module(&tree, "multiboot,ramdisk"),
            options: chosen(&tree, "bootargs").unwrap_or_default(),
        };
        machine.check()?;
        Ok(machine)
    }

    fn check(&self) -> Result<(), MachineError> {
        if self.cpus.is_empty() {
            return Err(MachineError::Missing("CPUs"));
        }
        if self.cpus.len() > layout::CPU_COUNT_MAX {
            return Err(MachineError::TooManyCpus(self.cpus.len()));
        }
        let home = self.home_bank().ok_or(MachineError::Missing("RAM under the image"))?;
        let need = mm::CarveOut::of(&home).whole.end - home.start + L1_BYTES_MIN;
        if home.end - home.start < need {
            return Err(MachineError::TooLittleMemory(home.end - home.start, need));
        }
        Ok(())
    }

    /// The bank of RAM that holds the image.
    pub fn home_bank(&self) -> Option<Range<u64>> {
        self.ram.iter().find(|bank| bank.contains(&layout::image().start)).cloned()
    }
}

fn device_tree_blob(at: u64) -> Result<&'static [u8], MachineError> {
    const HEADER_BYTES: usize = 40;
    if at % 8 != 0 {
        return Err(MachineError::NoDeviceTree(at));
    }
    // SAFETY: the boot map covers the first GiB of RAM, where the boot protocol puts the tree, and nothing else runs.
    let header = unsafe { phys::boot_bytes(at, HEADER_BYTES) };
    let word = |index: usize| {
        header.get(index * 4..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
    };
    if word(0) != FDT_MAGIC {
        return Err(MachineError::NoDeviceTree(at));
    }
    let bytes = word(1) as usize;
    if !(HEADER_BYTES..=DEVICE_TREE_BYTES_MAX).contains(&bytes) {
        return Err(MachineError::Malformed(alloc::format!("its size is {bytes} bytes")));
    }
    // SAFETY: as above, and the size is bounded.
    let blob = unsafe { phys::boot_bytes(at, bytes) };
    dtoolkit::fdt::Fdt::new(blob).map_err(|error| MachineError::Malformed(error.to_string()))?;
    Ok(blob)
}

fn regions<'a>(node: FdtNode<'_, 'a>) -> impl Iterator<Item = Range<u64>> + use<'a> {
    node.reg().into_iter().flatten().filter_map(|region| {
        let start = region.starting_address as u64;
        Some(start..start.checked_add(region.size? as u64)?)
    })
}

fn ram(tree: &Fdt<'_>) -> Vec<Range<u64>> {
    let mut banks: Vec<Range<u64>> = Vec::new();
    for node in tree.find_node("/").into_iter().flat_map(FdtNode::children) {
        if node.property("device_type").and_then(|kind| kind.as_str()) == Some("memory") {
            banks.extend(regions(node).filter(|bank| !bank.is_empty()));
        }
    }
    banks.sort_by_key(|bank| bank.start);
    // NUMA nodes are neighbours: one bank each would only cost blocks.
    banks.dedup_by(|next, bank| {
        let is_neighbour = bank.end == next.start;
        if is_neighbour {
            bank.end = next.end;
        }
        is_neighbour
    });
    banks
}

fn cpus(tree: &Fdt<'_>) -> Vec<u64> {
    let Some(parent) = tree.find_node("/cpus") else { return Vec::new() };
    parent
        .children()
        .filter(|node| node.property("device_type").and_then(|kind| kind.as_str()) == Some("cpu"))
        .filter_map(|node| {
            let cells = node.property("reg")?.value;
            Some(cells.iter().fold(0, |affinity, byte| affinity << 8 | u64::from(*byte)))
        })
        .collect()
}

/// The first UART in the tree's own order of preference (`stdout-path`) is L1's, another one is the console's.
fn uarts(tree: &Fdt<'_>) -> Result<(Uart, Uart), MachineError> {
    let mut uarts: Vec<Uart> = Vec::new();
    for node in tree.find_node("/").into_iter().flat_map(FdtNode::children) {
        let is_pl011 = node.compatible().is_some_and(|names| names.all().any(|name| name == "arm,pl011"));
        if let (true, Some(registers), Some(intid)) = (is_pl011, regions(node).next(), spi(node)) {
            uarts.push(Uart { registers, intid, node: alloc::format!("/{}", node.name) });
        }
    }
    let stdout = chosen(tree, "stdout-path").unwrap_or_default();
    let stdout = stdout.split(':').next().unwrap_or_default();
    let index = uarts.iter().position(|uart| uart.node == stdout).unwrap_or(0);
    if uarts.is_empty() {
        return Err(MachineError::Missing("PL011 UART"));
    }
    let l1 = uarts.remove(index);
    let debug = uarts.into_iter().next().ok_or(MachineError::NoDebugUart)?;
    Ok((l1, debug))
}

/// The INTID of a node's first interrupt, when it is a shared peripheral interrupt.
fn spi(node: FdtNode<'_, '_>) -> Option<u32> {
    const FIRST_SPI: u32 = 32;
    let cells = node.property("interrupts")?.value;
    let word = |index: usize| cells.get(index * 4..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    (word(0)? == 0).then_some(word(1)?.checked_add(FIRST_SPI)?)
}

/// Everything in the tree that has an address on the CPU's bus: `reg` of the root's children and the windows of PCI bridges.
fn devices(tree: &Fdt<'_>) -> Vec<Range<u64>> {
    let mut devices = Vec::new();
    for node in tree.find_node("/").into_iter().flat_map(FdtNode::children) {
        let is_memory = node.property("device_type").and_then(|kind| kind.as_str()) == Some("memory");
        if is_memory {
            continue;
        }
        devices.extend(regions(node));
        let is_pci = node.property("device_type").and_then(|kind| kind.as_str()) == Some("pci");
        if let (true, Some(windows)) = (is_pci, node.property("ranges")) {
            devices.extend(pci_windows(windows.value));
        }
    }
    let mut pages: Vec<Range<u64>> = devices
        .into_iter()
        .filter(|device| !device.is_empty())
        .map(|device| device.start & !(PAGE_BYTES - 1)..device.end.next_multiple_of(PAGE_BYTES))
        .collect();
    pages.sort_by_key(|device| device.start);
    // Eight virtio slots share a page.
    pages.dedup_by(|next, device| {
        let overlaps = next.start <= device.end;
        if overlaps {
            device.end = device.end.max(next.end);
        }
        overlaps
    });
    pages
}

/// The CPU addresses in a PCI bridge's `ranges`: three cells of PCI address, two of CPU address, two of size.
fn pci_windows(cells: &[u8]) -> impl Iterator<Item = Range<u64>> {
    const WINDOW_BYTES: usize = 7 * 4;
    cells.chunks_exact(WINDOW_BYTES).filter_map(|window| {
        let double = |at: usize| window.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        let start = double(12)?;
        Some(start..start.checked_add(double(20)?)?)
    })
}

fn chosen(tree: &Fdt<'_>, property: &str) -> Option<String> {
    tree.find_node("/chosen")?.property(property)?.as_str().map(ToString::to_string)
}

fn module(tree: &Fdt<'_>, kind: &str) -> Option<Module> {
    let node = tree
        .find_node("/chosen")?
        .children()
        .find(|node| node.compatible().is_some_and(|names| names.all().any(|name| name == kind)))?;
    // QEMU writes two 64-bit numbers, whatever cell sizes `chosen` declares.
    let reg = node.property("reg")?.value;
    let double = |at: usize| reg.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let start = double(0)?;
    let range = start..start.checked_add(double(8)?)?;
    let bootargs = node.property("bootargs").and_then(|args| args.as_str()).unwrap_or_default().to_string();
    Some(Module { range, bootargs })
}
