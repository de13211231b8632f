//! The hardware's virtual CPU interface, and L1's of the same make for its guest.

use syndrome::vncr;
use vgic::{IchRegister, Interface, VirtualInterface};

use crate::{arch::sysreg::*, vcpu::vncr::VncrPage};

/// The hardware's virtual interface of this CPU.
pub fn hardware_interface(lr_count: usize) -> VirtualInterface {
    let mut vif = VirtualInterface::EMPTY;
    read_interface(&mut vif, all_lrs(lr_count));
    vif
}

/// A bit for each of so many list registers, of which there are 1 to 16.
pub(super) const fn all_lrs(lr_count: usize) -> u16 {
    u16::MAX >> (u16::BITS as usize - lr_count)
}

macro_rules! list_registers {
    ($($index:literal = $register:ident),*) => {
        /// Reads the hardware's interface, with the list registers that `lrs` has a bit for.
        pub(super) fn read_interface(vif: &mut VirtualInterface, lrs: u16) {
            vif.hcr = ICH_HCR_EL2.get();
            vif.vmcr = ICH_VMCR_EL2.get();
            vif.ap0r0 = ICH_AP0R0_EL2.get();
            vif.ap1r0 = ICH_AP1R0_EL2.get();
            if lrs != 0 {
                $(if lrs & 1 << $index != 0 { vif.lr[$index] = $register.get(); })*
            }
        }

        /// Writes the hardware's interface. `lrs` has a bit for each list register that has an interrupt, and `in_hardware`
        /// for each that had one until now.
        pub(super) fn write_interface(vif: &VirtualInterface, lrs: u16, in_hardware: &mut u16) {
            ICH_VMCR_EL2.set(vif.vmcr);
            ICH_AP0R0_EL2.set(vif.ap0r0);
            ICH_AP1R0_EL2.set(vif.ap1r0);
            let changes = lrs | *in_hardware;
            if changes != 0 {
                $(if changes & 1 << $index != 0 {
                    $register.set(if lrs & 1 << $index != 0 { vif.lr[$index] } else { 0 });
                })*
                *in_hardware = lrs;
            }
            ICH_HCR_EL2.set(vif.hcr);
        }
    };
}
// QEMU and most cores have four; what a machine has beyond sixteen does not exist.
list_registers! {
    0 = ICH_LR0_EL2, 1 = ICH_LR1_EL2, 2 = ICH_LR2_EL2, 3 = ICH_LR3_EL2,
    4 = ICH_LR4_EL2, 5 = ICH_LR5_EL2, 6 = ICH_LR6_EL2, 7 = ICH_LR7_EL2,
    8 = ICH_LR8_EL2, 9 = ICH_LR9_EL2, 10 = ICH_LR10_EL2, 11 = ICH_LR11_EL2,
    12 = ICH_LR12_EL2, 13 = ICH_LR13_EL2, 14 = ICH_LR14_EL2, 15 = ICH_LR15_EL2
}

/// List registers the hardware has.
pub fn lr_count() -> usize {
    ((ICH_VTR_EL2.get() & 0x1f) as usize + 1).min(vgic::MAX_LIST_REGISTERS)
}

/// L1's `ICH_*` registers, which it has for its guest in its VNCR page.
pub struct L1Interface<'a>(pub &'a VncrPage);

impl L1Interface<'_> {
    const fn offset(register: IchRegister) -> usize {
        match register {
            IchRegister::Hcr => vncr::ICH_HCR_EL2,
            IchRegister::Vmcr => vncr::ICH_VMCR_EL2,
            IchRegister::Ap0r0 => vncr::ICH_AP0R0_EL2,
            IchRegister::Ap1r0 => vncr::ICH_AP1R0_EL2,
            IchRegister::Lr(number) => vncr::ICH_LR0_EL2 + number * 8,
        }
    }
}

impl Interface for L1Interface<'_> {
    fn get(&self, register: IchRegister) -> u64 {
        self.0.get(Self::offset(register))
    }

    fn set(&mut self, register: IchRegister, value: u64) {
        self.0.set(Self::offset(register), value);
    }
}
