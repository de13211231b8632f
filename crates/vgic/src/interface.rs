//! A virtual CPU interface as register values, and when it would signal an interrupt.

use crate::MAX_LIST_REGISTERS;

/// Bits of `ICH_HCR_EL2`.
pub mod hcr {
    /// The virtual CPU interface works at all.
    pub const EN: u64 = 1 << 0;
    /// Maintenance interrupt when at most one list register is valid (underflow).
    pub const UIE: u64 = 1 << 1;
    /// Maintenance interrupt when `EOIcount` is not zero.
    pub const LRENPIE: u64 = 1 << 2;
    /// Maintenance interrupt when no list register is in the pending state.
    pub const NPIE: u64 = 1 << 3;
    /// Maintenance interrupt when Group 0 is enabled.
    pub const VGRP0EIE: u64 = 1 << 4;
    /// Maintenance interrupt when Group 0 is disabled.
    pub const VGRP0DIE: u64 = 1 << 5;
    /// Maintenance interrupt when Group 1 is enabled.
    pub const VGRP1EIE: u64 = 1 << 6;
    /// Maintenance interrupt when Group 1 is disabled.
    pub const VGRP1DIE: u64 = 1 << 7;
    /// Trap the registers common to both groups.
    pub const TC: u64 = 1 << 10;
    /// Trap the Group 0 registers.
    pub const TALL0: u64 = 1 << 11;
    /// Trap the Group 1 registers.
    pub const TALL1: u64 = 1 << 12;
    /// Trap writes of `ICC_DIR_EL1`.
    pub const TDIR: u64 = 1 << 14;
    /// Lowest bit of `EOIcount`.
    pub const EOICOUNT_SHIFT: u32 = 27;
    /// `EOIcount`: deactivations that found no list register.
    pub const EOICOUNT: u64 = 0x1f << EOICOUNT_SHIFT;
}

/// Fields of `ICH_VMCR_EL2`.
pub mod vmcr {
    /// Group 0 enabled, `ICV_IGRPEN0_EL1`.
    pub const VENG0: u64 = 1 << 0;
    /// Group 1 enabled, `ICV_IGRPEN1_EL1`.
    pub const VENG1: u64 = 1 << 1;
    /// Group 1 uses Group 0's binary point, `ICV_CTLR_EL1.CBPR`.
    pub const VCBPR: u64 = 1 << 4;
    /// Priority drop and deactivation are split, `ICV_CTLR_EL1.EOImode`.
    pub const VEOIM: u64 = 1 << 9;
    /// Lowest bit of the Group 1 binary point.
    pub const VBPR1_SHIFT: u32 = 18;
    /// Lowest bit of the Group 0 binary point.
    pub const VBPR0_SHIFT: u32 = 21;
    /// Lowest bit of the priority mask.
    pub const VPMR_SHIFT: u32 = 24;
}

/// Which exception a virtual interrupt is signalled as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Group 1.
    Irq,
    /// Group 0 (`ICH_VMCR_EL2.VFIQEn` is RES1 with system registers).
    Fiq,
}

/// The image of one virtual CPU interface: `ICH_HCR_EL2`, `ICH_VMCR_EL2`, the active priorities and
/// the list registers.
///
/// Either L1's own, which the firmware moves from and to `ICH_*_EL2` around [`Vgic::load`] and
/// [`Vgic::save`], or the one L1 has built in its VNCR page for its guest.
///
/// [`Vgic::load`]: crate::Vgic::load
/// [`Vgic::save`]: crate::Vgic::save
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualInterface {
    /// `ICH_HCR_EL2`.
    pub hcr: u64,
    /// `ICH_VMCR_EL2`.
    pub vmcr: u64,
    /// `ICH_AP0R0_EL2`: a bit for each active Group 0 priority, in steps of 8.
    pub ap0r0: u64,
    /// `ICH_AP1R0_EL2`: the same for Group 1.
    pub ap1r0: u64,
    /// `ICH_LR<n>_EL2`; those beyond the machine's are never looked at.
    pub lr: [u64; MAX_LIST_REGISTERS],
}

/// A register of a virtual CPU interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IchRegister {
    /// `ICH_HCR_EL2`.
    Hcr,
    /// `ICH_VMCR_EL2`.
    Vmcr,
    /// `ICH_AP0R0_EL2`.
    Ap0r0,
    /// `ICH_AP1R0_EL2`.
    Ap1r0,
    /// `ICH_LR<n>_EL2`.
    Lr(usize),
}

/// The registers of a virtual CPU interface, wherever they are: values, or words of a VNCR page.
pub trait Interface {
    /// Reads one; 0 for a list register that does not exist.
    fn get(&self, register: IchRegister) -> u64;
    /// Writes one.
    fn set(&mut self, register: IchRegister, value: u64);
}

impl Interface for VirtualInterface {
    fn get(&self, register: IchRegister) -> u64 {
        match register {
            IchRegister::Hcr => self.hcr,
            IchRegister::Vmcr => self.vmcr,
            IchRegister::Ap0r0 => self.ap0r0,
            IchRegister::Ap1r0 => self.ap1r0,
            IchRegister::Lr(number) => self.lr.get(number).copied().unwrap_or(0),
        }
    }

    fn set(&mut self, register: IchRegister, value: u64) {
        match register {
            IchRegister::Hcr => self.hcr = value,
            IchRegister::Vmcr => self.vmcr = value,
            IchRegister::Ap0r0 => self.ap0r0 = value,
            IchRegister::Ap1r0 => self.ap1r0 = value,
            IchRegister::Lr(number) => {
                if let Some(lr) = self.lr.get_mut(number) {
                    *lr = value;
                }
            }
        }
    }
}

/// The running priority when nothing is active.
const IDLE_PRIORITY: u8 = 0xff;

impl VirtualInterface {
    /// An interface with nothing in it, switched off.
    pub const EMPTY: Self = Self {
        hcr: 0,
        vmcr: 0,
        ap0r0: 0,
        ap1r0: 0,
        lr: [0; MAX_LIST_REGISTERS],
    };

    /// Whether the guest has enabled the group (`VENG1` or `VENG0`).
    #[must_use]
    pub const fn is_group_enabled(&self, group1: bool) -> bool {
        let enable = if group1 { vmcr::VENG1 } else { vmcr::VENG0 };
        self.vmcr & enable != 0
    }

    /// The priority of the most urgent active interrupt, or `0xff` when there is none.
    #[must_use]
    pub fn running_priority(&self) -> u8 {
        // Five preemption bits: bit n stands for priority 8 * n.
        let steps = (self.ap0r0 | self.ap1r0) & 0xffff_ffff;
        match u8::try_from(steps.trailing_zeros()) {
            Ok(step) if step < 32 => step << 3,
            _ => IDLE_PRIORITY,
        }
    }

    /// Whether a pending interrupt of this group and priority would be signalled now: group
    /// enabled, above the priority mask, and of a higher group priority than what is active.
    /// Mirrors `CanSignalVirtualInterrupt` (IHI 0069), without `ICH_HCR_EL2.En`.
    #[must_use]
    pub fn would_signal(&self, group1: bool, priority: u8) -> bool {
        let mask = (self.vmcr >> vmcr::VPMR_SHIFT & 0xff) as u8;
        if !self.is_group_enabled(group1) || priority >= mask {
            return false;
        }
        let running = self.running_priority();
        let group_bits = self.group_priority_mask(group1);
        running == IDLE_PRIORITY || priority & group_bits < running & group_bits
    }

    /// The bits of a priority that count for preemption, from the binary point (`VGroupBits`).
    const fn group_priority_mask(&self, group1: bool) -> u8 {
        let own_point = group1 && self.vmcr & vmcr::VCBPR == 0;
        let sub_bits = if own_point {
            // The smallest Group 1 binary point is 1, for the same split as 0 in Group 0.
            let point = self.vmcr >> vmcr::VBPR1_SHIFT & 7;
            if point == 0 { 1 } else { point }
        } else {
            (self.vmcr >> vmcr::VBPR0_SHIFT & 7) + 1
        };
        (0xff_u32 << sub_bits & 0xff) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(vmcr: u64) -> VirtualInterface {
        VirtualInterface {
            vmcr,
            ..VirtualInterface::EMPTY
        }
    }

    const OPEN: u64 = vmcr::VENG0 | vmcr::VENG1 | 0xf8 << vmcr::VPMR_SHIFT;

    #[test]
    fn a_priority_equal_to_the_mask_is_masked() {
        let vif = interface(vmcr::VENG1 | 0xa0 << vmcr::VPMR_SHIFT);
        assert!(!vif.would_signal(true, 0xa0));
        assert!(vif.would_signal(true, 0x98));
        assert!(!vif.would_signal(false, 0x98), "Group 0 is disabled");
    }

    #[test]
    fn running_priority_is_the_most_urgent_of_both_groups() {
        let mut vif = interface(OPEN);
        assert_eq!(vif.running_priority(), 0xff);
        vif.ap1r0 = 1 << 20;
        vif.ap0r0 = 1 << 16;
        assert_eq!(vif.running_priority(), 0x80);
        assert!(!vif.would_signal(true, 0x80));
        assert!(vif.would_signal(true, 0x78));
    }

    #[test]
    fn sub_priorities_do_not_preempt() {
        let point = |bpr1: u64| interface(OPEN | bpr1 << vmcr::VBPR1_SHIFT);
        let mut vif = point(6);
        vif.ap1r0 = 1 << 31; // 0xf8 runs; groups of 64 priorities
        assert!(!vif.would_signal(true, 0xc0));
        assert!(vif.would_signal(true, 0xb8));
        vif = interface(OPEN | vmcr::VCBPR | 5 << vmcr::VBPR0_SHIFT);
        vif.ap1r0 = 1 << 31;
        assert!(!vif.would_signal(true, 0xc0), "CBPR takes Group 0's point");
    }

    #[test]
    fn binary_point_seven_of_group_0_never_preempts() {
        let mut vif = interface(OPEN | 7 << vmcr::VBPR0_SHIFT);
        assert!(vif.would_signal(false, 0));
        vif.ap0r0 = 1 << 31;
        assert!(!vif.would_signal(false, 0));
    }
}
