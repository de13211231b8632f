//! What lets a CPU come home from wherever it went: its timer, and the way of the timer's interrupt.

use bare::host::{CNTHCTL_OPEN, CPTR_OPEN, HCR_HOST, NVHE};
use bare::l2::SCTLR_EL1_OFF;
use bare::sysreg::{
    CNTHCTL_EL2, CNTHP_CTL_EL2, CNTHP_CVAL_EL2, CNTHV_CTL_EL2, CNTP_CTL_EL02, CNTPCT_EL0, CNTV_CTL_EL02, CNTVOFF_EL2,
    CPTR_EL2, HCR_EL2, HSTR_EL2, ICC_AP0R0_EL1, ICC_AP1R0_EL1, ICC_BPR1_EL1, ICC_CTLR_EL1, ICC_IGRPEN1_EL1,
    ICC_PMR_EL1, ICC_SRE_EL1, ICH_AP1R0_EL2, ICH_HCR_EL2, ICH_LR0_EL2, ICH_LR1_EL2, ICH_VMCR_EL2, MDCR_EL2, MDSCR_EL1,
    SCTLR_EL12, VNCR_EL2, VTCR_EL2, VTTBR_EL2,
};

use crate::places::{GICD, GICR, GICR_BYTES};

/// How long a strike may take, in ticks of the counter: a millisecond.
const STRIKE_TICKS: u64 = 1_000_000;

const GICD_CTLR: u64 = GICD;
const GICR_WAKER: u64 = 0x14;
const SGI_FRAME: u64 = 0x1_0000;
const GICR_IGROUPR0: u64 = SGI_FRAME + 0x80;
const GICR_ISENABLER0: u64 = SGI_FRAME + 0x100;
const GICR_ICENABLER0: u64 = SGI_FRAME + 0x180;
const GICR_ICPENDR0: u64 = SGI_FRAME + 0x280;
const GICR_ICACTIVER0: u64 = SGI_FRAME + 0x380;
/// The priorities of INTIDs 24 to 27.
const GICR_IPRIORITYR6: u64 = SGI_FRAME + 0x418;

/// The EL2 physical timer.
const TIMER_INTID: u64 = 26;
/// `ARE`, both groups enabled.
const GICD_ENABLED: u32 = 1 << 4 | 3;

/// A word of a device.
fn device(at: u64, value: u32) {
    // SAFETY: these are registers of the GIC, which the identity map has as a device.
    unsafe { (at as *mut u32).write_volatile(value) }
}

/// Lets the timer's interrupt of CPU `cpu`, this one or another, through the GIC.
pub(crate) fn open_gic(cpu: usize) {
    let frame = GICR + cpu as u64 * GICR_BYTES;
    device(GICD_CTLR, GICD_ENABLED);
    device(frame + GICR_WAKER, 0);
    device(frame + GICR_IGROUPR0, u32::MAX);
    device(frame + GICR_IPRIORITYR6, 0);
    device(frame + GICR_ICACTIVER0, u32::MAX);
    device(frame + GICR_ICPENDR0, u32::MAX);
    device(frame + GICR_ICENABLER0, !(1 << TIMER_INTID));
    device(frame + GICR_ISENABLER0, 1 << TIMER_INTID);
}

/// Lets others of its own interrupts reach CPU `cpu`.
pub(crate) fn enable(cpu: usize, which: u32) {
    device(GICR + cpu as u64 * GICR_BYTES + GICR_ISENABLER0, which);
}

/// Lets none reach any CPU.
pub(crate) fn close_gic() {
    device(GICD_CTLR, 0);
}

/// Ends what the last strike left that would keep this CPU from coming home from the next.
pub(crate) fn after_strike(cpu: usize) {
    CNTHP_CTL_EL2.set(0);
    HCR_EL2.set(HCR_HOST);
    MDSCR_EL1.set(0);
    ICH_HCR_EL2.set(0);
    SCTLR_EL12.set(SCTLR_EL1_OFF);
    open_gic(cpu);
    ICC_SRE_EL1.set(7);
    ICC_CTLR_EL1.set(0);
    ICC_AP0R0_EL1.set(0);
    ICC_AP1R0_EL1.set(0);
    ICC_BPR1_EL1.set(0);
    ICC_PMR_EL1.set(0xff);
    ICC_IGRPEN1_EL1.set(1);
}

/// Makes the registers that a guest runs under what they were in the beginning.
pub(crate) fn all_controls(counters: u64) {
    CPTR_EL2.set(CPTR_OPEN);
    CNTHCTL_EL2.set(CNTHCTL_OPEN);
    MDCR_EL2.set(counters);
    if !NVHE {
        CNTHV_CTL_EL2.set(0);
    }
    CNTV_CTL_EL02.set(0);
    CNTP_CTL_EL02.set(0);
    CNTVOFF_EL2.set(0);
    HSTR_EL2.set(0);
    VNCR_EL2.set(0);
    VTTBR_EL2.set(0);
    VTCR_EL2.set(0);
    ICH_VMCR_EL2.set(0);
    ICH_AP1R0_EL2.set(0);
    ICH_LR0_EL2.set(0);
    ICH_LR1_EL2.set(0);
}

/// Has the timer end whatever comes now.
pub(crate) fn arm() {
    CNTHP_CVAL_EL2.set(CNTPCT_EL0.get() + STRIKE_TICKS);
    CNTHP_CTL_EL2.set(1);
}
