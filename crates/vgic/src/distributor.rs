//! L1's accesses to the distributor's frame, `GICD_*` (IHI 0069, "The Distributor register
//! descriptions"), and the registers it shares with the redistributors.

use crate::PRIORITY_MASK;
use crate::PhysicalGic;
use crate::Vgic;
use crate::bits::{BitRegister, IPRIORITYR};
use crate::intid::{Bits, IntId};
use crate::vgic::affinity;

const CTLR: u64 = 0x0;
const TYPER: u64 = 0x4;
pub(crate) const IIDR: u32 = 0x43b;
const IIDR_OFFSET: u64 = 0x8;
const IPRIORITYR_END: u64 = 0x800;
pub(crate) const ICFGR: u64 = 0xc00;
const ICFGR_END: u64 = 0xd00;
const IROUTER: u64 = 0x6000;
const IROUTER_END: u64 = 0x8000;
pub(crate) const PIDR2_OFFSET: u64 = 0xffe8;
/// Architecture revision 3, as every GICv3 has it.
pub(crate) const PIDR2: u32 = 0x3b;

const CTLR_ENABLE_GRP0: u32 = 1 << 0;
const CTLR_ENABLE_GRP1: u32 = 1 << 1;
/// Affinity routing is always on.
const CTLR_ARE: u32 = 1 << 4;
/// There is one security state.
const CTLR_DS: u32 = 1 << 6;

const TYPER_ID_BITS_SHIFT: u32 = 19;
const TYPER_A3V: u32 = 1 << 24;
const TYPER_NO1N: u32 = 1 << 25;

impl Vgic {
    /// L1 reads `bytes` (1, 2, 4 or 8) at `offset` of the distributor. Reserved registers and sizes
    /// the architecture does not allow read as zero.
    #[must_use]
    pub fn read_distributor(&self, offset: u64, bytes: u8, hw: &impl PhysicalGic) -> u64 {
        match (bytes, offset) {
            (1, IPRIORITYR..IPRIORITYR_END) => u64::from(self.spi_priority(offset - IPRIORITYR)),
            (8, IROUTER..IROUTER_END) if offset.is_multiple_of(8) => self.read_route(offset),
            (4, _) if offset.is_multiple_of(4) => u64::from(self.read_distributor_word(offset, hw)),
            _ => 0,
        }
    }

    /// vCPU `cpu` of L1 writes `bytes` (1, 2, 4 or 8) at `offset` of the distributor. Reserved
    /// registers and sizes the architecture does not allow ignore it.
    pub fn write_distributor(&mut self, cpu: usize, offset: u64, bytes: u8, value: u64, hw: &mut impl PhysicalGic) {
        match (bytes, offset) {
            (1, IPRIORITYR..IPRIORITYR_END) => {
                self.write_spi_priority(offset - IPRIORITYR, (value & 0xff) as u8);
            }
            (8, IROUTER..IROUTER_END) if offset.is_multiple_of(8) => {
                self.write_route(offset, affinity(value), !0, hw);
            }
            (4, _) if offset.is_multiple_of(4) => {
                self.write_distributor_word(cpu, offset, low_half(value), hw);
            }
            _ => {}
        }
    }

    fn read_distributor_word(&self, offset: u64, hw: &impl PhysicalGic) -> u32 {
        match offset {
            CTLR => self.read_ctlr(),
            TYPER => self.spi_words | (self.id_bits - 1) << TYPER_ID_BITS_SHIFT | TYPER_A3V | TYPER_NO1N,
            IIDR_OFFSET if self.cpu_count > 0 => IIDR,
            IPRIORITYR..IPRIORITYR_END => {
                let first = offset - IPRIORITYR;
                u32::from_le_bytes([0, 1, 2, 3].map(|byte| self.spi_priority(first + byte)))
            }
            ICFGR..ICFGR_END => self.read_spi_config(offset - ICFGR),
            IROUTER..IROUTER_END if offset.is_multiple_of(8) => low_half(self.read_route(offset)),
            IROUTER..IROUTER_END => (self.read_route(offset - 4) >> 32) as u32,
            PIDR2_OFFSET => PIDR2,
            _ => match BitRegister::decode(offset) {
                Some((register, word)) if word > 0 => self.read_bits(0, word, register, hw),
                _ => 0,
            },
        }
    }

    fn write_distributor_word(&mut self, cpu: usize, offset: u64, value: u32, hw: &mut impl PhysicalGic) {
        match offset {
            CTLR => self.write_ctlr(value, hw),
            IPRIORITYR..IPRIORITYR_END => {
                for (byte, priority) in (0..).zip(value.to_le_bytes()) {
                    self.write_spi_priority(offset - IPRIORITYR + byte, priority);
                }
            }
            ICFGR..ICFGR_END => self.write_spi_config(offset - ICFGR, value, hw),
            IROUTER..IROUTER_END if offset.is_multiple_of(8) => {
                self.write_route(offset, affinity(u64::from(value)), 0x00ff_ffff, hw);
            }
            IROUTER..IROUTER_END => {
                let aff3 = affinity(u64::from(value) << 32);
                self.write_route(offset - 4, aff3, 0xff00_0000, hw);
            }
            _ => match BitRegister::decode(offset) {
                Some((register, word)) if word > 0 => {
                    self.write_bits(cpu, word, register, value, hw);
                }
                _ => {}
            },
        }
    }

    fn read_ctlr(&self) -> u32 {
        let mut ctlr = CTLR_ARE | CTLR_DS;
        if self.group0_enabled {
            ctlr |= CTLR_ENABLE_GRP0;
        }
        if self.group1_enabled {
            ctlr |= CTLR_ENABLE_GRP1;
        }
        ctlr
    }

    /// Enables and disables groups. Everything may change, so every vCPU looks again, and lines
    /// whose interrupts waited are asked whether they still do.
    fn write_ctlr(&mut self, value: u32, hw: &mut impl PhysicalGic) {
        let group0 = value & CTLR_ENABLE_GRP0 != 0;
        let group1 = value & CTLR_ENABLE_GRP1 != 0;
        if (group0, group1) == (self.group0_enabled, self.group1_enabled) {
            return;
        }
        self.group0_enabled = group0;
        self.group1_enabled = group1;
        for cpu in 0..self.cpu_count {
            self.resample_bank(cpu, 0, hw);
        }
        for word in Bits(self.busy) {
            self.resample_bank(0, word as usize, hw);
        }
        for cpu in 0..self.cpu_count {
            self.attend(cpu, hw);
        }
    }

    /// Asks after the lines of linked interrupts that are only pending and not resident.
    fn resample_bank(&mut self, cpu: usize, word: usize, hw: &mut impl PhysicalGic) {
        let waiting = IntId::at(word, 0)
            .and_then(|id| self.bank(cpu, id))
            .map_or(0, |bank| bank.linked & !bank.edge & !bank.active & !bank.resident);
        for id in Bits(waiting).filter_map(|bit| IntId::at(word, bit)) {
            self.resample(cpu, id, hw);
            self.settle(cpu, id, hw);
        }
    }

    /// The priority of the SPI with this number, zero if there is none.
    fn spi_priority(&self, intid: u64) -> u8 {
        u32::try_from(intid)
            .ok()
            .and_then(IntId::new)
            .filter(|id| !id.is_private())
            .map_or(0, |id| self.priority(0, id))
    }

    fn write_spi_priority(&mut self, intid: u64, priority: u8) {
        if let Some(id) = u32::try_from(intid).ok().and_then(IntId::new)
            && !id.is_private()
        {
            self.set_priority(0, id, priority);
        }
    }

    /// The priority of an interrupt, zero if L1 does not have it.
    pub(crate) fn priority(&self, cpu: usize, id: IntId) -> u8 {
        self.bank(cpu, id).map_or(0, |bank| bank.priority_of(id))
    }

    /// Changes a priority. The list register of a resident interrupt follows at its CPU's next exit.
    pub(crate) fn set_priority(&mut self, cpu: usize, id: IntId, priority: u8) {
        let Some(bank) = self.bank_mut(cpu, id) else {
            return;
        };
        if bank.implemented & id.mask() == 0 {
            return;
        }
        bank.priority[id.index()] = priority & PRIORITY_MASK;
        if bank.resident & id.mask() == 0 {
            return;
        }
        let holder = if id.is_private() { Some(cpu) } else { self.owner(id) };
        if let Some(state) = holder.and_then(|holder| self.cpus.get_mut(holder)) {
            state.attention = true;
        }
    }

    /// `ICFGR` at `relative` to the first: 16 interrupts, two bits each, the upper one for edge.
    fn read_spi_config(&self, relative: u64) -> u32 {
        let first = low_half(relative) * 4;
        match IntId::new(first).filter(|id| !id.is_private()) {
            Some(id) => {
                let bank = self.bank(0, id).map_or(0, |bank| bank.edge);
                spread_config(bank >> (id.index() & 16))
            }
            None => 0,
        }
    }

    fn write_spi_config(&mut self, relative: u64, value: u32, hw: &mut impl PhysicalGic) {
        let first = low_half(relative) * 4;
        if let Some(id) = IntId::new(first).filter(|id| !id.is_private()) {
            self.write_config(0, id.word(), id.index() & 16, value, hw);
        }
    }

    /// Sets the trigger of the 16 interrupts of `word` from bit `shift` on.
    pub(crate) fn write_config(
        &mut self,
        cpu: usize,
        word: usize,
        shift: usize,
        value: u32,
        hw: &mut impl PhysicalGic,
    ) {
        let Some(bank) = IntId::at(word, 0).and_then(|id| self.bank_mut(cpu, id)) else {
            return;
        };
        let edge = gather_config(value) << shift;
        let changed = (edge ^ bank.edge) & (0xffff << shift) & bank.implemented;
        bank.edge ^= changed;
        for id in Bits(changed).filter_map(|bit| IntId::at(word, bit)) {
            if !id.is_private() {
                hw.set_edge(id.number(), edge & id.mask() != 0);
            }
            self.update(cpu, id, hw);
        }
    }

    /// `GICD_IROUTER<n>` of the SPI whose register contains `offset`.
    fn read_route(&self, offset: u64) -> u64 {
        match Self::routed(offset).filter(|&id| self.has_spi(id)) {
            Some(id) => {
                let route = u64::from(self.route(id));
                (route & 0xff00_0000) << 8 | route & 0x00ff_ffff
            }
            None => 0,
        }
    }

    /// Changes the part `part` of an SPI's packed affinity. Nobody's affinity takes the SPI from
    /// every vCPU; the physical route stays.
    fn write_route(&mut self, offset: u64, route: u32, part: u32, hw: &mut impl PhysicalGic) {
        let Some(id) = Self::routed(offset).filter(|&id| self.has_spi(id)) else {
            return;
        };
        let route = self.route(id) & !part | route & part;
        if route == self.route(id) {
            return;
        }
        if let Some(entry) = self.routes.get_mut(id.number() as usize) {
            *entry = route;
        }
        let target = self.cpu_with_affinity(route);
        for (number, cpu) in self.cpus.iter_mut().enumerate() {
            if Some(number) == target {
                cpu.targeted[id.word()] |= id.mask();
            } else {
                cpu.targeted[id.word()] &= !id.mask();
            }
        }
        if let Some(target) = target {
            hw.set_route(id.number(), target);
        }
        self.update(0, id, hw);
    }

    fn routed(offset: u64) -> Option<IntId> {
        let number = u32::try_from(offset.checked_sub(IROUTER)? / 8).ok()?;
        IntId::new(number).filter(|id| !id.is_private())
    }

    fn has_spi(&self, id: IntId) -> bool {
        self.bank(0, id).is_some_and(|bank| bank.implemented & id.mask() != 0)
    }
}

/// The low 32 bits.
pub(crate) fn low_half(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// The upper bit of each pair of an `ICFGR` value for the low 16 bits of `edge`.
pub(crate) fn spread_config(edge: u32) -> u32 {
    Bits(edge & 0xffff).fold(0, |value, bit| value | 2 << (2 * bit))
}

/// The inverse of [`spread_config`].
fn gather_config(value: u32) -> u32 {
    (0..16).fold(0, |edge, bit| edge | (value >> (2 * bit + 1) & 1) << bit)
}
