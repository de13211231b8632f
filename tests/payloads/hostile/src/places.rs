//! Places of QEMU's `virt` board that a hostile guest hypervisor is after.

/// What gnomon keeps of 1 GiB of RAM, from its start on.
pub(crate) const GNOMON: (u64, u64) = (0x4000_0000, 0x440_0000);
/// The distributor, the redistributors of 4 CPUs, and what lies between and behind.
pub(crate) const GICD: u64 = 0x0800_0000;
pub(crate) const GICR: u64 = 0x080a_0000;
/// Bytes of a redistributor, both frames.
pub(crate) const GICR_BYTES: u64 = 0x2_0000;
/// gnomon's UART.
pub(crate) const DEBUG_UART: (u64, u64) = (0x0904_0000, 0x1000);
/// Frames that nothing is lost with: the last eighth, for all CPUs together.
pub(crate) const SCRATCH: (u64, u64) = (0x4e40_0000, 0xc0_0000);

/// All of them, and holes. Devices of L1's own are left out: it may do with them what it likes.
pub(crate) const RANGES: [(u64, u64); 12] = [
    GNOMON,
    GNOMON,
    (0x4020_0000, 0x20_0000),
    SCRATCH,
    SCRATCH,
    (GICD, 0x1_0000),
    (GICR, 4 * GICR_BYTES),
    (0x0800_0000, 0x100_0000),
    DEBUG_UART,
    // Between devices, behind RAM, and where no physical address is.
    (0x0b00_0000, 0x100_0000),
    (0x8000_0000, 0x8000_0000),
    (1 << 44, 1 << 50),
];

/// Whether `at` is where anything may have been written.
pub(crate) fn is_scratch(at: u64) -> bool {
    at.wrapping_sub(SCRATCH.0) < SCRATCH.1
}

/// Whether `at`, or what the low bits of it are, is memory that this program is in.
pub(crate) fn is_ram_of_l1(at: u64) -> bool {
    const END: u64 = 0x8000_0000;
    (GNOMON.0 + GNOMON.1..END).contains(&(at & 0xff_ffff_ffff))
}
