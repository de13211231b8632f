//! The interface of L1's guest on its way from L1's VNCR page into hardware and back.
//!
//! L1 sees as many list registers as the machine has, so each keeps its number. Those without an
//! interrupt stay out of hardware: what their `EOI` bits ask for is L1's maintenance interrupt,
//! which is computed from the page.

use crate::intid::Bits;
use crate::{IchRegister, Interface, ListRegister, VirtualInterface, hcr, ich};

const STATE_MASK: u64 = 3 << 62;

/// Makes `hardware` the interface to put into hardware for L1's guest: L1's `page`, sanitised,
/// hardware links translated by `physical` as in [`ich::translate_for_hardware`]. Says which list
/// registers have an interrupt, one bit each; the others are not to be looked at.
#[inline(always)]
pub fn load(
    page: &impl Interface,
    hardware: &mut VirtualInterface,
    lr_count: usize,
    physical: impl Fn(u32) -> Option<u32>,
) -> u16 {
    hardware.hcr = ich::sanitise_hcr(page.get(IchRegister::Hcr));
    hardware.vmcr = ich::sanitise_vmcr(page.get(IchRegister::Vmcr));
    hardware.ap0r0 = page.get(IchRegister::Ap0r0) & u64::from(u32::MAX);
    hardware.ap1r0 = page.get(IchRegister::Ap1r0) & u64::from(u32::MAX);
    if ich::are_few_and_empty(page, lr_count) {
        0
    } else {
        load_lists(page, hardware, lr_count, physical)
    }
}

#[inline(never)]
fn load_lists(
    page: &impl Interface,
    hardware: &mut VirtualInterface,
    lr_count: usize,
    physical: impl Fn(u32) -> Option<u32>,
) -> u16 {
    let mut valid = 0;
    for (number, to) in hardware.lr.iter_mut().take(lr_count).enumerate() {
        let from = page.get(IchRegister::Lr(number));
        if ListRegister(from).is_valid() {
            *to = ich::translate_for_hardware(from, &physical);
            valid |= 1 << number;
        }
    }
    valid
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
/// `ICH_VMCR_EL2` and `EOIcount`. `before` has the list registers that [`load`] made, of which `valid` have an interrupt,
/// and `after` is what hardware now has of these; `ended` is told of each of L1's interrupts that ended through a link.
/// `before` and `valid` are brought up to date, so that the same end is not told twice.
pub fn save(
    before: &mut VirtualInterface,
    valid: &mut u16,
    after: &VirtualInterface,
    page: &mut impl Interface,
    mut ended: impl FnMut(Ended),
) {
    page.set(IchRegister::Vmcr, after.vmcr);
    page.set(IchRegister::Ap0r0, after.ap0r0);
    page.set(IchRegister::Ap1r0, after.ap1r0);
    let hcr = page.get(IchRegister::Hcr);
    page.set(IchRegister::Hcr, hcr & !hcr::EOICOUNT | after.hcr & hcr::EOICOUNT);
    for number in Bits(u32::from(*valid)) {
        let (at, number) = (1 << number, number as usize);
        let (Some(before), Some(&after)) = (before.lr.get_mut(number), after.lr.get(number)) else {
            break;
        };
        let was = page.get(IchRegister::Lr(number));
        let guest_lr = ListRegister(was & !STATE_MASK | after & STATE_MASK);
        page.set(IchRegister::Lr(number), guest_lr.0);
        if !guest_lr.is_valid() {
            *valid &= !at;
            if guest_lr.is_hw() {
                ended(Ended {
                    intid: guest_lr.pintid(),
                    in_hardware: ListRegister(*before).is_hw(),
                });
            }
        }
        *before = after;
    }
}
