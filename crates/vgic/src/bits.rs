//! The registers with one bit per interrupt: `IGROUPR`, `ISENABLER`, `ICENABLER`, `ISPENDR`,
//! `ICPENDR`, `ISACTIVER`, `ICACTIVER`. The distributor and the SGI frame of a redistributor have
//! them at the same offsets.

use crate::intid::{Bits, IntId};
use crate::{PhysicalGic, Vgic};

/// Start of `IGROUPR`; the bit registers follow one another up to `IPRIORITYR`.
const BIT_REGISTERS: u64 = 0x80;
/// Start of the priorities, one byte each.
pub(crate) const IPRIORITYR: u64 = 0x400;

/// A register with one bit per interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BitRegister {
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
}

impl BitRegister {
    /// The register at `offset` and its word; the same in `GICD` and in the SGI frame of `GICR`.
    pub(crate) fn decode(offset: u64) -> Option<(Self, usize)> {
        if !(BIT_REGISTERS..IPRIORITYR).contains(&offset) {
            return None;
        }
        let register = match offset / 0x80 {
            1 => Self::Group,
            2 => Self::SetEnable,
            3 => Self::ClearEnable,
            4 => Self::SetPending,
            5 => Self::ClearPending,
            6 => Self::SetActive,
            _ => Self::ClearActive,
        };
        Some((register, (offset % 0x80 / 4) as usize))
    }
}

/// Whether an access at `offset` of the distributor's frame, or of a redistributor's SGI frame,
/// reads or writes pending or active bits: the firmware then saves the list registers of the
/// accessing vCPU first, so that L1 sees what it has just acknowledged or ended.
#[must_use]
pub fn access_needs_lists(offset: u64) -> bool {
    matches!(
        BitRegister::decode(offset & 0xffff),
        Some((
            BitRegister::SetPending | BitRegister::ClearPending | BitRegister::SetActive | BitRegister::ClearActive,
            _
        ))
    )
}

impl Vgic {
    /// Reads one of the bit registers, of the SPIs of `word` or the private interrupts of `cpu`.
    pub(crate) fn read_bits(&self, cpu: usize, word: usize, register: BitRegister, hw: &impl PhysicalGic) -> u32 {
        let Some(bank) = IntId::at(word, 0).and_then(|id| self.bank(cpu, id)) else {
            return 0;
        };
        let value = match register {
            BitRegister::Group => bank.group1,
            BitRegister::SetEnable | BitRegister::ClearEnable => bank.enabled,
            BitRegister::SetActive | BitRegister::ClearActive => bank.active,
            BitRegister::SetPending | BitRegister::ClearPending => {
                let known = bank.pending_as_read();
                let unknown = if word == 0 { 0 } else { bank.implemented & !known };
                // An SPI that has not been forwarded may be pending in the physical GIC.
                Bits(unknown)
                    .filter_map(|bit| IntId::at(word, bit))
                    .filter(|id| hw.is_pending(cpu, id.number()))
                    .fold(known, |pending, id| pending | id.mask())
            }
        };
        value & bank.implemented
    }

    /// Writes one of the bit registers, of the SPIs of `word` or the private interrupts of `cpu`.
    pub(crate) fn write_bits(
        &mut self,
        cpu: usize,
        word: usize,
        register: BitRegister,
        value: u32,
        hw: &mut impl PhysicalGic,
    ) {
        let Some(bank) = IntId::at(word, 0).and_then(|id| self.bank(cpu, id)) else {
            return;
        };
        let concerned = bank.implemented
            & match register {
                BitRegister::Group => value ^ bank.group1,
                BitRegister::SetEnable => value & !bank.enabled,
                BitRegister::ClearEnable => value & bank.enabled,
                BitRegister::SetActive => value & !(bank.active & !bank.resident),
                BitRegister::ClearActive => value & (bank.active | bank.resident),
                BitRegister::SetPending | BitRegister::ClearPending => value,
            };
        for id in Bits(concerned).filter_map(|bit| IntId::at(word, bit)) {
            match register {
                BitRegister::Group => self.flip_group(cpu, id),
                BitRegister::SetEnable => self.enable(cpu, id, hw),
                BitRegister::ClearEnable => self.disable(cpu, id, hw),
                BitRegister::SetPending => self.set_pending(cpu, id),
                BitRegister::ClearPending => self.clear_pending(cpu, id, hw),
                BitRegister::SetActive => self.set_active(cpu, id),
                BitRegister::ClearActive => {
                    self.deactivate(cpu, id.number(), hw);
                    continue;
                }
            }
            self.update(cpu, id, hw);
        }
    }

    fn flip_group(&mut self, cpu: usize, id: IntId) {
        if let Some(bank) = self.bank_mut(cpu, id) {
            bank.group1 ^= id.mask();
        }
    }

    fn enable(&mut self, cpu: usize, id: IntId, hw: &mut impl PhysicalGic) {
        let Some(bank) = self.bank_mut(cpu, id) else {
            return;
        };
        bank.enabled |= id.mask();
        if id.is_private() {
            // A PPI stays linked while disabled, and its line may have dropped since.
            if (bank.active | bank.resident) & id.mask() == 0 {
                self.resample(cpu, id, hw);
            }
        } else {
            hw.set_enabled(id.number(), true);
        }
    }

    fn disable(&mut self, cpu: usize, id: IntId, hw: &mut impl PhysicalGic) {
        if let Some(bank) = self.bank_mut(cpu, id) {
            bank.enabled &= !id.mask();
            if !id.is_private() {
                hw.set_enabled(id.number(), false);
            }
        }
    }

    fn set_pending(&mut self, cpu: usize, id: IntId) {
        if let Some(bank) = self.bank_mut(cpu, id) {
            bank.latch |= id.mask();
        }
    }

    /// Clears the latch. A link whose interrupt is only pending ends, so that a line that is still
    /// high interrupts anew; a link of an active interrupt is not concerned.
    fn clear_pending(&mut self, cpu: usize, id: IntId, hw: &mut impl PhysicalGic) {
        let mask = id.mask();
        let Some(bank) = self.bank_mut(cpu, id) else {
            return;
        };
        bank.latch &= !mask;
        let resident = bank.resident & mask != 0;
        let active = bank.active & mask != 0;
        if resident {
            bank.orders.clear_pending |= mask;
        }
        if !id.is_private() {
            hw.set_pending(id.number(), false);
        }
        if !resident && !active {
            self.release(cpu, id, hw);
        }
    }

    fn set_active(&mut self, cpu: usize, id: IntId) {
        let owner = self.target(id).unwrap_or(cpu);
        let mask = id.mask();
        let Some(bank) = self.bank_mut(cpu, id) else {
            return;
        };
        if bank.resident & mask != 0 {
            bank.orders.set_active |= mask;
            bank.orders.clear_active &= !mask;
        } else {
            bank.active |= mask;
            self.set_owner(id, Some(owner));
        }
    }
}
