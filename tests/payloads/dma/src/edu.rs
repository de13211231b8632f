//! QEMU's `edu` device (QEMU, "EDU device"), on a board whose PCI configuration space is low (`highmem-ecam=off`).

use core::arch::asm;

const ECAM: u64 = 0x3f00_0000;
const DEVICE_BYTES: u64 = 1 << 15;
const DEVICES: u64 = 32;
const EDU: u32 = 0x11e8_1234;

const COMMAND: u64 = 0x04;
const COMMAND_MEMORY_MASTER: u32 = 1 << 1 | 1 << 2;
const BAR0: u64 = 0x10;
/// The board's window for 32-bit BARs.
const WINDOW: u64 = 0x1000_0000;

const DMA_SOURCE: u64 = 0x80;
const DMA_DESTINATION: u64 = 0x88;
const DMA_COUNT: u64 = 0x90;
const DMA_COMMAND: u64 = 0x98;
const DMA_START: u64 = 1 << 0;
const DMA_TO_RAM: u64 = 1 << 1;
/// Its buffer, among its own addresses.
const BUFFER: u64 = 0x4_0000;

/// The device, with its registers at [`WINDOW`].
pub(crate) struct Edu;

impl Edu {
    /// Finds it, and lets it master the bus.
    pub(crate) fn find() -> Option<Self> {
        let mut all = (0..DEVICES).map(|device| ECAM + device * DEVICE_BYTES);
        let config = all.find(|config| load(*config) == EDU)?;
        store(config + BAR0, WINDOW as u32);
        store(config + COMMAND, COMMAND_MEMORY_MASTER);
        Some(Self)
    }

    /// It reads `bytes` from `at`.
    pub(crate) fn read(&self, at: u64, bytes: u64) {
        self.copy(at, BUFFER, bytes, DMA_START);
    }

    /// It writes `bytes` to `at`.
    pub(crate) fn write(&self, at: u64, bytes: u64) {
        self.copy(BUFFER, at, bytes, DMA_START | DMA_TO_RAM);
    }

    fn copy(&self, source: u64, destination: u64, bytes: u64, command: u64) {
        let registers = [
            (DMA_SOURCE, source),
            (DMA_DESTINATION, destination),
            (DMA_COUNT, bytes),
            (DMA_COMMAND, command),
        ];
        for (register, value) in registers {
            // SAFETY: registers of the device; what it copies is in frames or nobody's, by the choice of whoever runs this.
            unsafe { ((WINDOW + register) as *mut u64).write_volatile(value) }
        }
        // SAFETY: as above.
        while unsafe { ((WINDOW + DMA_COMMAND) as *const u64).read_volatile() } & DMA_START != 0 {}
        // SAFETY: it waits until what the device has done is seen.
        unsafe { asm!("dsb sy", options(nostack, preserves_flags)) }
    }
}

/// Reads a word of a device.
pub(crate) fn load(at: u64) -> u32 {
    // SAFETY: the identity map has the first GiB as devices, and this program is no part of it.
    unsafe { (at as *const u32).read_volatile() }
}

fn store(at: u64, value: u32) {
    // SAFETY: as for `load`.
    unsafe { (at as *mut u32).write_volatile(value) }
}
