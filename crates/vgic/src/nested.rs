//! The interface of L1's guest on its way from L1's VNCR page into hardware and back.
//!
//! L1 sees as many list registers as the machine has, so each keeps its number. Those without an
//! interrupt stay out of hardware: what their `EOI` bits ask for is L1's maintenance interrupt,
//! which is computed from the page.

use crate::{ListRegister, VirtualInterface, hcr, ich};

const STATE_MASK: u64 = 3 << 62;

/// Makes `hardware` the interface to put into hardware for L1's guest: L1's `page`, sanitised,
/// hardware links translated by `physical` as in [`ich::translate_for_hardware`]. What lies beyond
/// `lr_count` is left alone.
pub fn load(
    page: &VirtualInterface,
    hardware: &mut VirtualInterface,
    lr_count: usize,
    physical: impl Fn(u32) -> Option<u32>,
) {
    hardware.hcr = ich::sanitise_hcr(page.hcr);
    hardware.vmcr = ich::sanitise_vmcr(page.vmcr);
    hardware.ap0r0 = page.ap0r0 & u64::from(u32::MAX);
    hardware.ap1r0 = page.ap1r0 & u64::from(u32::MAX);
    for (to, &from) in hardware.lr.iter_mut().zip(&page.lr).take(lr_count) {
        *to = if ListRegister(from).is_valid() {
            ich::translate_for_hardware(from, &physical)
        } else {
            0
        };
    }
}

/// How one of L1's interrupts ended through a hardware link of L1's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The interrupt, in L1's numbers: the `pINTID` L1 wrote.
    pub intid: u32,
    /// Hardware has deactivated the physical interrupt too ([`Vgic::deactivated`]); otherwise L0
    /// had cleared the link and nothing has ([`Vgic::deactivate`]).
    ///
    /// [`Vgic::deactivated`]: crate::Vgic::deactivated
    /// [`Vgic::deactivate`]: crate::Vgic::deactivate
    pub in_hardware: bool,
}

/// Brings back into L1's `page` what L1's guest has done: states, active priorities,
/// `ICH_VMCR_EL2` and `EOIcount`. `before` has the list registers that [`load`] made and `after` is
/// what hardware now has; `ended` is told of each of L1's interrupts that ended through a link.
/// `before` is brought up to date, so that the same end is not told twice.
pub fn save(
    before: &mut VirtualInterface,
    after: &VirtualInterface,
    page: &mut VirtualInterface,
    lr_count: usize,
    mut ended: impl FnMut(Ended),
) {
    page.vmcr = after.vmcr;
    page.ap0r0 = after.ap0r0;
    page.ap1r0 = after.ap1r0;
    page.hcr = page.hcr & !hcr::EOICOUNT | after.hcr & hcr::EOICOUNT;
    let hardware = before.lr.iter_mut().zip(&after.lr);
    for ((before, &after), lr) in hardware.zip(&mut page.lr).take(lr_count) {
        if !ListRegister(*before).is_valid() {
            continue;
        }
        *lr = *lr & !STATE_MASK | after & STATE_MASK;
        let guest_lr = ListRegister(*lr);
        if guest_lr.is_hw() && !guest_lr.is_valid() {
            ended(Ended {
                intid: guest_lr.pintid(),
                in_hardware: ListRegister(*before).is_hw(),
            });
        }
        *before = after;
    }
}
