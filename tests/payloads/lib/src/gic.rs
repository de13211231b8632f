//! As much of the machine's GICv3 as it takes for one private interrupt of the first CPU.
#![expect(unsafe_code, reason = "registers of a device are memory that is written")]

use core::ptr;

const GICD_CTLR: u64 = 0x0800_0000;
const GICR: u64 = 0x080a_0000;
const GICR_WAKER: u64 = GICR + 0x14;
const GICR_IGROUPR0: u64 = GICR + 0x1_0080;
const GICR_ISENABLER0: u64 = GICR + 0x1_0100;
const GICR_ICENABLER0: u64 = GICR + 0x1_0180;
/// `GICD_CTLR`: affinity routing, group 1.
const ARE_GROUP1: u32 = 1 << 4 | 1 << 1;

/// Switches the GIC on, with the private interrupt `intid` (16 to 31) as the only one of group 1.
pub fn enable(intid: u32) {
    write(GICD_CTLR, ARE_GROUP1);
    write(GICR_WAKER, 0);
    write(GICR_IGROUPR0, 1 << intid);
    write(GICR_ISENABLER0, 1 << intid);
}

/// Disables the private interrupt `intid`.
pub fn disable(intid: u32) {
    write(GICR_ICENABLER0, 1 << intid);
}

fn write(address: u64, value: u32) {
    // SAFETY: registers of the machine's GIC, which is mapped as a device and nobody else's.
    unsafe { ptr::write_volatile(address as *mut u32, value) };
}
