//! The memory behind boot's decisions: reads what the boot loader left in RAM, and puts L1's payload in place.
//!
//! What is decided, and why, is in the crate `machine`.

use alloc::vec::Vec;
use core::ops::Range;

use hyp::{
    layout,
    mm::{CarveOut, phys},
};
use machine::{
    BLOB_ALIGN, HEADER_BYTES, ImageHeader, LoadError, Machine, MachineError, Payload, Plan, blob_bytes, l1_tree,
};

/// Where QEMU leaves the device tree when it loads an ELF and passes no address: the start of RAM.
const DEVICE_TREE_OF_ELF: u64 = 0x4000_0000;
/// The boot map covers this much RAM: what is around the image, on a boundary of the same size.
const BOOT_MAP_BYTES: u64 = 1 << 30;

/// The machine, and how its RAM is divided.
pub struct Survey {
    /// The machine.
    pub machine: Machine,
    /// gnomon's part of RAM.
    pub carve_out: CarveOut,
    /// L1's part of RAM.
    pub ram: Vec<Range<u64>>,
}

/// Reads the device tree at `at`, or where QEMU leaves it when `at` is zero.
pub fn survey(at: u64) -> Result<Survey, MachineError> {
    let blob = device_tree_blob(if at == 0 { DEVICE_TREE_OF_ELF } else { at })?;
    let machine = Machine::parse(blob, layout::image().start, layout::CPU_COUNT_MAX)?;
    let home = machine
        .home_bank()
        .ok_or(MachineError::Missing("RAM under the image"))?;
    let carve_out = CarveOut::of(&home);
    let ram = machine.l1_ram(&carve_out.whole)?;
    Ok(Survey {
        machine,
        carve_out,
        ram,
    })
}

fn device_tree_blob(at: u64) -> Result<&'static [u8], MachineError> {
    let map_end = layout::image().start.next_multiple_of(BOOT_MAP_BYTES);
    let is_mapped = |bytes: usize| map_end - BOOT_MAP_BYTES <= at && at.saturating_add(bytes as u64) <= map_end;
    if !at.is_multiple_of(BLOB_ALIGN) || !is_mapped(HEADER_BYTES) {
        return Err(MachineError::NoDeviceTree(at));
    }
    // SAFETY: the boot map covers it, the boot protocol has it in RAM, and nothing else runs.
    let header = unsafe { phys::boot_bytes(at, HEADER_BYTES) };
    let bytes = blob_bytes(at, header)?;
    if !is_mapped(bytes) {
        return Err(MachineError::NoDeviceTree(at));
    }
    // SAFETY: as above.
    Ok(unsafe { phys::boot_bytes(at, bytes) })
}

/// Where L1 starts.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// First instruction.
    pub pc: u64,
    /// Its device tree, for x0.
    pub device_tree: u64,
}

/// Puts kernel, ramdisk and device tree in place for L1, whose RAM is `ram` and set as such in `phys`.
pub fn load(machine: &Machine, ram: &[Range<u64>]) -> Result<Entry, LoadError> {
    let payload = Payload::find(machine, ram)?;
    let Range { start, end } = payload.kernel.range;
    // SAFETY: checked to be L1's RAM, which nothing else uses before L1 runs.
    let image = unsafe { phys::boot_bytes(start, (end - start) as usize) };
    let header = ImageHeader::parse(image, end - start)?;
    let ramdisk = payload.ramdisk.map(|module| &module.range);
    let tree = l1_tree::for_l1(machine, ram, &payload.kernel.bootargs, ramdisk);

    let plan = Plan::make(&payload, &header, ram, tree.len() as u64)?;
    let no_room = |_| LoadError::NoRoom(header.image_bytes);
    if plan.copy_needed {
        phys::copy_to_guest(plan.kernel_at, image).map_err(no_room)?;
    }
    phys::copy_to_guest(plan.device_tree_at, &tree).map_err(no_room)?;
    Ok(Entry {
        pc: plan.kernel_at,
        device_tree: plan.device_tree_at,
    })
}
