//! EL2's own stage 1: an identity map with W^X, built once at boot.
//!
//! Instructions are read-execute, constants read-only, everything else read-write and never executable. The lowest
//! page of each stack is left out. RAM beyond the carve-out is mapped because it is L1's, and gnomon reads L1's
//! tables there; the devices mapped are those gnomon drives. The one thing that is not mapped to itself, and that changes,
//! are the *windows*, a page for each CPU, through which the hardware reaches the registers of a hypervisor that L1's guest is
//! (`nested/l2_page.rs`).

use core::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use aarch64_paging::{
    MapError,
    descriptor::El23Attributes,
    idmap::IdMap,
    paging::{El2, MemoryRegion},
};
use vmsa::Pa;

use crate::{
    arch::{
        barrier, cache,
        sysreg::{Readable, SCTLR_EL2, TTBR0_EL2, Writeable},
        tlbi,
    },
    layout::{self, CPU_COUNT_MAX},
};

use super::{PAGE_BYTES, phys};

/// Memory types by index: 0 Device-nGnRE, 1 Normal Write-Back.
pub const MAIR: u64 = 0xff04;
/// 48-bit addresses, 4K granule, 48-bit output, inner shareable write-back walks; RES1 bits 31 and 23.
pub const TCR: u64 = {
    const RES1: u64 = 1 << 31 | 1 << 23;
    const PS_48_BITS: u64 = 5 << 16;
    const INNER_SHAREABLE: u64 = 3 << 12;
    const WRITE_BACK: u64 = 1 << 10 | 1 << 8;
    const T0SZ: u64 = 64 - 48;
    RES1 | PS_48_BITS | INNER_SHAREABLE | WRITE_BACK | T0SZ
};
/// SCTLR_EL2: RES1 bits, MMU, data and instruction cache, SP alignment check; writable memory is never executable.
pub const SCTLR: u64 = SCTLR_RES1 | SCTLR_M | SCTLR_C | SCTLR_I | SCTLR_SA;
const SCTLR_RES1: u64 = 0x30c5_0830;
const SCTLR_M: u64 = 1 << 0;
const SCTLR_C: u64 = 1 << 2;
const SCTLR_SA: u64 = 1 << 3;
const SCTLR_I: u64 = 1 << 12;
/// SCTLR_EL2.WXN, set once the final map is in force: the boot map's one block is both.
const SCTLR_WXN: u64 = 1 << 19;

/// A 1 GiB block of the boot map: valid, access flag, inner shareable Normal memory.
pub const BOOT_MEMORY_BLOCK: u64 = 0x1 | (1 << 2) | (1 << 6) | (3 << 8) | (1 << 10);
/// A 1 GiB block of the boot map: valid, access flag, Device, never executed.
pub const BOOT_DEVICE_BLOCK: u64 = 0x1 | (1 << 6) | (1 << 10) | (1 << 54);

const COMMON: El23Attributes = El23Attributes::VALID
    .union(El23Attributes::ACCESSED)
    .union(El23Attributes::USER_RES1);
const NORMAL: El23Attributes = COMMON
    .union(El23Attributes::ATTRIBUTE_INDEX_1)
    .union(El23Attributes::INNER_SHAREABLE);
const TEXT: El23Attributes = NORMAL.union(El23Attributes::READ_ONLY);
const RODATA: El23Attributes = TEXT.union(El23Attributes::XN);
const DATA: El23Attributes = NORMAL.union(El23Attributes::XN);
const DEVICE: El23Attributes = COMMON
    .union(El23Attributes::ATTRIBUTE_INDEX_0)
    .union(El23Attributes::XN);

/// The windows: one page for each CPU, in the last 512 GiB, where no RAM or device can be that is mapped to itself.
const WINDOWS: u64 = WINDOWS_ENTRY << 39;
const WINDOWS_ENTRY: u64 = 511;
/// A descriptor that leads to another table.
const TABLE: u64 = 0b11;

/// One table.
#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

impl Table {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }

    fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }
}

/// The tables of the windows, from level 1 to 3.
static WINDOW_TABLES: [Table; 3] = [const { Table::new() }; 3];

/// The address of the window of CPU `cpu`.
pub const fn window(cpu: usize) -> u64 {
    WINDOWS + cpu as u64 * PAGE_BYTES
}

/// The descriptor of a window.
fn window_entry(cpu: usize) -> &'static AtomicU64 {
    let [_, _, Table(entries)] = &WINDOW_TABLES;
    &entries[cpu % CPU_COUNT_MAX]
}

/// Has the closed window of CPU `cpu` lead to the page of RAM at `at`.
pub fn open_window(cpu: usize, at: u64, is_writable: bool) {
    let attributes = if is_writable {
        DATA
    } else {
        DATA.union(El23Attributes::READ_ONLY)
    };
    const PAGE: u64 = 0b11;
    window_entry(cpu).store(at | attributes.bits() as u64 | PAGE, Ordering::Release);
    barrier::dsb_sy();
    barrier::isb();
}

/// Has the window of CPU `cpu` lead nowhere, for all CPUs, once this returns.
pub fn close_window(cpu: usize) {
    if window_entry(cpu).swap(0, Ordering::AcqRel) != 0 {
        barrier::dsb_ish();
        tlbi::vale2is(window(cpu) >> 12);
        barrier::dsb_ish();
    }
}

/// Hangs the windows into the map whose root is at `root`, before that is in force. Says whether there is room.
fn add_windows(root: u64) -> bool {
    let [first, second, third] = &WINDOW_TABLES;
    first.0[0].store(second.address() | TABLE, Ordering::Relaxed);
    second.0[0].store(third.address() | TABLE, Ordering::Relaxed);
    let at = Pa::new(root + WINDOWS_ENTRY * 8);
    let is_free = phys::read(at) == 0;
    if is_free {
        phys::write(at, first.address() | TABLE);
    }
    is_free
}

/// The root of the final map, for secondary CPUs; read by `boot/entry.S`.
pub static SECONDARY_TTBR0: AtomicU64 = AtomicU64::new(0);

/// Builds the map of a machine with this RAM and these devices and turns it on, on the boot CPU.
pub fn activate(ram: &[Range<u64>], devices: &[Range<u64>]) -> Result<(), MapError> {
    let mut map = IdMap::<El2>::new(0, El2);
    let mut add = |range: Range<u64>, attributes| {
        if range.is_empty() {
            return Ok(());
        }
        map.map_range(&MemoryRegion::new(range.start as usize, range.end as usize), attributes)
    };
    let image = layout::image();
    for bank in ram {
        if bank.contains(&image.start) {
            add(bank.start..image.start, DATA)?;
            add(image.end..bank.end, DATA)?;
        } else {
            add(bank.clone(), DATA)?;
        }
    }
    add(layout::text(), TEXT)?;
    add(layout::rodata(), RODATA)?;
    add(layout::data(), DATA)?;
    for cpu in 0..layout::CPU_COUNT_MAX {
        add(layout::stack(cpu), DATA)?;
        add(layout::emergency_stack(cpu), DATA)?;
    }
    for device in devices {
        add(device.clone(), DEVICE)?;
    }
    let root = map.root_address().0 as u64;
    // The map lives as long as the machine.
    core::mem::forget(map);
    if !add_windows(root) {
        return Err(MapError::InvalidFlags(WINDOWS as usize));
    }
    SECONDARY_TTBR0.store(root, Ordering::Release);
    // The other CPUs read it with their MMU off.
    cache::clean_to_point_of_coherency(SECONDARY_TTBR0.as_ptr() as u64);
    // Both maps translate everything in use to itself, so no access in between can go astray.
    barrier::dsb_sy();
    TTBR0_EL2.set(root);
    barrier::isb();
    tlbi::alle2();
    barrier::dsb_sy();
    forbid_writable_code();
    Ok(())
}

/// Sets SCTLR_EL2.WXN on this CPU: from now on nothing writable is executable, whatever a descriptor says.
pub fn forbid_writable_code() {
    SCTLR_EL2.set(SCTLR | SCTLR_WXN);
    barrier::isb();
}

/// The root of the map in force.
pub fn root() -> Pa {
    Pa::new(TTBR0_EL2.get() & 0x0000_ffff_ffff_f000)
}
