//! As much of a `GICv3` as it takes to send interrupts to a CPU that comes and goes.
#![expect(unsafe_code, reason = "its registers are at addresses")]

use core::arch::asm;

use bare::sysreg::{ICC_EOIR1_EL1, ICC_IAR1_EL1, ICC_IGRPEN1_EL1, ICC_PMR_EL1, ICC_SGI1R_EL1};

/// The SGI that is sent, and L1's timer.
pub(crate) const SGI: u64 = 1;
pub(crate) const TIMER: u64 = 26;
/// The first of the SPIs that are made pending, one for each CPU. No device has it.
const FIRST_SPI: u64 = 200;
/// What `ICC_IAR1_EL1` reads if nothing is pending.
const NOTHING: u64 = 1023;

const GICD: u64 = 0x0800_0000;
const GICD_IGROUPR: u64 = GICD + 0x80;
const GICD_ISENABLER: u64 = GICD + 0x100;
const GICD_ISPENDR: u64 = GICD + 0x200;
const GICD_ICACTIVER: u64 = GICD + 0x380;
const GICD_ICFGR: u64 = GICD + 0xc00;
const GICD_IROUTER: u64 = GICD + 0x6000;
const GICR: u64 = 0x080a_0000;
const GICR_BYTES: u64 = 0x2_0000;
const GICR_WAKER: u64 = 0x14;
const GICR_IGROUPR0: u64 = 0x1_0080;
const GICR_ISENABLER0: u64 = 0x1_0100;
const GICR_ICACTIVER0: u64 = 0x1_0380;
/// `GICD_CTLR`: affinity routing, group 1.
const ARE_GROUP1: u32 = 1 << 4 | 1 << 1;

fn write(address: u64, value: u32) {
    // One instruction that a hypervisor can take apart, which a volatile access need not be.
    // SAFETY: registers of the machine's GIC, which is mapped as a device; no write undoes another CPU's.
    unsafe { asm!("str {:w}, [{}]", in(reg) value, in(reg) address, options(nostack, preserves_flags)) }
}

/// The SPI of a CPU.
pub(crate) fn spi(cpu: u64) -> u64 {
    FIRST_SPI + cpu
}

/// The distributor, with an edge-triggered SPI routed to each CPU. To be called once.
pub(crate) fn init(cpu_count: u64) {
    write(GICD, ARE_GROUP1);
    for cpu in 0..cpu_count {
        // An SGI of group 1 goes to no interrupt of another group, also while its CPU is off.
        write(GICR + cpu * GICR_BYTES + GICR_IGROUPR0, !0);
        let (word, bit) = (spi(cpu) / 32 * 4, 1 << (spi(cpu) % 32));
        write(GICD_IGROUPR + word, !0);
        write(GICD_ICFGR + spi(cpu) / 16 * 4, 0xaaaa_aaaa);
        write(GICD_IROUTER + spi(cpu) * 8, cpu as u32);
        write(GICD_IROUTER + spi(cpu) * 8 + 4, 0);
        write(GICD_ISENABLER + word, bit);
    }
}

/// This CPU's redistributor and interface, with nothing active.
pub(crate) fn init_cpu(cpu: u64) {
    let frame = GICR + cpu * GICR_BYTES;
    write(frame + GICR_WAKER, 0);
    write(frame + GICR_ICACTIVER0, !0);
    write(frame + GICR_ISENABLER0, 1 << SGI | 1 << TIMER);
    write(GICD_ICACTIVER + spi(cpu) / 32 * 4, 1 << (spi(cpu) % 32));
    ICC_PMR_EL1.set(0xf0);
    ICC_IGRPEN1_EL1.set(1);
}

/// Makes the SPI of a CPU pending.
pub(crate) fn raise(cpu: u64) {
    write(GICD_ISPENDR + spi(cpu) / 32 * 4, 1 << (spi(cpu) % 32));
}

/// Sends the SGI to a CPU, which has affinity `cpu`.
pub(crate) fn send(cpu: u64) {
    ICC_SGI1R_EL1.set(SGI << 24 | 1 << cpu);
}

/// Acknowledges what is most urgent, if anything is.
pub(crate) fn acknowledge() -> Option<u64> {
    Some(ICC_IAR1_EL1.get()).filter(|intid| *intid != NOTHING)
}

/// Ends it.
pub(crate) fn end(intid: u64) {
    ICC_EOIR1_EL1.set(intid);
}
