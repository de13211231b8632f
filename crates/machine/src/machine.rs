//! What the device tree says of the machine: read once at boot, checked, kept.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::ops::Range;

use fdt::node::FdtNode;

use crate::{
    MachineError, Master, MasterKind, Smmu, Tree, Unconfined, masters,
    modules::{Module, Modules},
    nodes::{self, Uart},
    ranges::{self, PAGE_BYTES},
};

/// Separate banks of RAM that L1 may have.
pub const RAM_BANKS_MAX: usize = 8;
/// L1 with its kernel needs some RAM beside the carve-out.
const L1_BYTES_MIN: u64 = 128 << 20;

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The device tree it was read from.
    pub device_tree: Tree,
    /// Banks of RAM, whole: in ascending order, of whole pages, and apart from each other.
    pub ram: Vec<Range<u64>>,
    /// `MPIDR_EL1` affinity of each CPU, in the tree's order.
    pub cpus: Vec<u64>,
    /// GIC distributor.
    pub gicd: Range<u64>,
    /// GIC redistributors.
    pub gicr: Range<u64>,
    /// L1's console.
    pub l1_uart: Uart,
    /// gnomon's console, if there is another.
    pub debug_uart: Option<Uart>,
    /// Every page of device registers in the tree, GIC and UARTs included; ascending, apart from each other and RAM.
    pub devices: Vec<Range<u64>>,
    /// What of it reaches RAM by itself.
    pub masters: Vec<Master>,
    /// What stands between PCI devices and RAM.
    pub smmu: Result<Smmu, Unconfined>,
    /// L1's kernel.
    pub kernel: Option<Module>,
    /// L1's initial ramdisk.
    pub ramdisk: Option<Module>,
    /// What L1 is to pass on to guests of its own.
    pub passed_on: Vec<Module>,
    /// gnomon's own options.
    pub options: String,
    image_start: u64,
}

impl Machine {
    /// Reads the device tree `blob`, for an image that starts at `image_start` and serves up to `cpu_count_max` CPUs.
    ///
    /// # Errors
    ///
    /// The blob is no valid tree, or the machine it describes is not one that gnomon runs on.
    #[inline(never)]
    pub fn parse(blob: &[u8], image_start: u64, cpu_count_max: usize) -> Result<Self, MachineError> {
        let device_tree = Tree::check(blob)?;
        let tree = device_tree.reader()?;
        // Once: going over them is what a tree is slow at.
        let bus: Vec<_> = nodes::bus(&tree)?.children().collect();
        let bus = &bus[..];
        let chosen = nodes::named(bus, "chosen");
        let modules = Modules::of(chosen)?;
        let (gicd, gicr) = gic(bus)?;
        let stdout = chosen
            .and_then(|chosen| nodes::text(chosen, "stdout-path"))
            .unwrap_or_default();
        let (l1_uart, debug_uart) = uarts(bus, stdout)?;
        let ram = ram(bus)?;
        let (masters, smmu) = masters::survey(bus)?;
        let machine = Self {
            cpus: cpus(bus),
            gicd,
            gicr,
            l1_uart,
            debug_uart,
            devices: devices(bus, &ram)?,
            masters,
            smmu,
            ram,
            kernel: modules.kernel,
            ramdisk: modules.ramdisk,
            passed_on: modules.passed_on,
            options: chosen
                .and_then(|chosen| nodes::text(chosen, "bootargs"))
                .unwrap_or_default()
                .to_string(),
            image_start,
            device_tree,
        };
        match machine.cpus.len() {
            0 => Err(MachineError::Missing("CPUs")),
            count if count > cpu_count_max => Err(MachineError::TooManyCpus {
                count,
                max: cpu_count_max,
            }),
            _ => Ok(machine),
        }
    }

    /// Whether there is to be a debug console. Without one, its UART is L1's as well.
    ///
    /// # Errors
    ///
    /// There is no UART for it.
    pub fn set_console(&mut self, is_wanted: bool) -> Result<(), MachineError> {
        if !is_wanted {
            self.debug_uart = None;
        } else if self.debug_uart.is_none() {
            return Err(MachineError::NoDebugUart);
        }
        Ok(())
    }

    /// The bank of RAM that holds the image.
    #[must_use]
    pub fn home_bank(&self) -> Option<Range<u64>> {
        self.ram.iter().find(|bank| bank.contains(&self.image_start)).cloned()
    }

    /// L1's RAM: all but `carve_out`, which starts where the home bank does.
    ///
    /// # Errors
    ///
    /// There is no home bank, it is too small for both, or L1's banks are more than [`RAM_BANKS_MAX`].
    pub fn l1_ram(&self, carve_out: &Range<u64>) -> Result<Vec<Range<u64>>, MachineError> {
        let home = self.home_bank().ok_or(MachineError::Missing("RAM under the image"))?;
        let have = home.end - home.start;
        let need = carve_out.end.saturating_sub(home.start).saturating_add(L1_BYTES_MIN);
        if have < need {
            return Err(MachineError::TooLittleMemory(have, need));
        }
        let banks = ranges::without(&self.ram, core::slice::from_ref(carve_out));
        if banks.len() > RAM_BANKS_MAX {
            return Err(MachineError::TooManyBanks(banks.len()));
        }
        Ok(banks)
    }

    /// Takes from L1 whatever masters the bus, but for PCI devices when they are confined.
    #[inline(never)]
    pub fn refuse_dma(&mut self, is_pci_confined: bool) {
        for master in &mut self.masters {
            master.is_hidden |= !(is_pci_confined && master.kind == MasterKind::PciHost);
        }
    }

    /// The devices of L1 that master the bus.
    pub fn l1_masters(&self) -> impl Iterator<Item = &Master> {
        self.masters.iter().filter(|master| !master.is_hidden)
    }

    /// L1's own devices, in whole pages: all but the GIC, which is emulated, the debug UART, and the masters of the bus
    /// that are hidden.
    #[must_use]
    #[inline(never)]
    pub fn l1_devices(&self) -> Vec<Range<u64>> {
        let hidden = self.masters.iter().filter(|master| master.is_hidden);
        let hidden = hidden.flat_map(|master| &master.ranges);
        // Whole pages go, so that no page that L1 is given has a register of gnomon's in it.
        let debug_uart = self.debug_uart.iter().map(|uart| &uart.registers);
        let kept: Vec<_> = [&self.gicd, &self.gicr]
            .into_iter()
            .chain(debug_uart)
            .chain(hidden)
            .map(ranges::pages)
            .collect();
        ranges::without(&self.devices, &kept)
    }
}

fn gic(bus: &[FdtNode<'_, '_>]) -> Result<(Range<u64>, Range<u64>), MachineError> {
    let node = bus.iter().find(|node| nodes::is_compatible(**node, "arm,gic-v3"));
    let mut regions = nodes::regions(*node.ok_or(MachineError::Missing("GICv3"))?)?.into_iter();
    regions
        .next()
        .zip(regions.next())
        .ok_or(MachineError::Missing("GICv3 distributor and redistributors"))
}

/// The UART that `stdout-path` names, or else the first one, is L1's; the first of the others is the console's.
fn uarts(bus: &[FdtNode<'_, '_>], stdout: &str) -> Result<(Uart, Option<Uart>), MachineError> {
    let mut uarts: Vec<Uart> = Vec::new();
    for node in bus {
        uarts.extend(nodes::uart(*node)?);
    }
    if uarts.is_empty() {
        return Err(MachineError::Missing("PL011 UART"));
    }
    // What follows a colon is the line's speed.
    let stdout = stdout.split(':').next().unwrap_or_default();
    let index = uarts.iter().position(|uart| uart.node == stdout).unwrap_or(0);
    let l1 = uarts.remove(index);
    Ok((l1, uarts.into_iter().next()))
}

fn ram(bus: &[FdtNode<'_, '_>]) -> Result<Vec<Range<u64>>, MachineError> {
    let mut banks = Vec::new();
    for node in bus.iter().filter(|node| nodes::is_type(**node, "memory")) {
        banks.extend(nodes::regions(*node)?);
    }
    // NUMA nodes are neighbours: one bank each would only cost blocks.
    let banks = ranges::merge(banks);
    match banks.iter().find(|bank| (bank.start | bank.end) % PAGE_BYTES != 0) {
        Some(bank) => Err(MachineError::Malformed(format!(
            "RAM at {:#x}-{:#x} is not made of whole pages",
            bank.start, bank.end
        ))),
        None => Ok(banks),
    }
}

fn cpus(bus: &[FdtNode<'_, '_>]) -> Vec<u64> {
    let Some(parent) = nodes::named(bus, "cpus") else {
        return Vec::new();
    };
    parent
        .children()
        .filter(|node| nodes::is_type(*node, "cpu"))
        .filter_map(nodes::affinity)
        .collect()
}

/// Everything that has an address on the CPU's bus: `reg` of the bus's children and the windows of PCI bridges.
fn devices(bus: &[FdtNode<'_, '_>], ram: &[Range<u64>]) -> Result<Vec<Range<u64>>, MachineError> {
    let mut devices = Vec::new();
    for node in bus.iter().filter(|node| !nodes::is_type(**node, "memory")) {
        devices.extend(nodes::regions(*node)?);
        if nodes::is_type(*node, "pci") {
            devices.extend(nodes::pci_windows(*node)?);
        }
    }
    // Eight virtio slots share a page.
    let devices = ranges::merge(devices.iter().filter(|device| !device.is_empty()).map(ranges::pages));
    match devices
        .iter()
        .find(|device| ram.iter().any(|bank| ranges::overlap(device, bank)))
    {
        Some(device) => Err(MachineError::Malformed(format!(
            "device registers at {:#x}-{:#x} overlap RAM",
            device.start, device.end
        ))),
        None => Ok(devices),
    }
}

#[cfg(test)]
mod tests;
