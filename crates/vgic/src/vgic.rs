//! The state of L1's GIC, and the rules that keep it consistent.

use crate::bank::Bank;
use crate::distributor::low_half;
use crate::intid::{Bits, FIRST_SPECIAL, IntId, WORDS};
use crate::{ConfigError, MAX_LIST_REGISTERS, MAX_VCPUS, PhysicalGic, VgicConfig};

/// What belongs to one vCPU.
#[derive(Clone, Debug)]
pub(crate) struct Cpu {
    /// Its affinity, packed as by [`affinity`].
    pub(crate) affinity: u32,
    /// Its SGIs and PPIs.
    pub(crate) private: Bank,
    /// The physical PPI of each linked PPI.
    pub(crate) pintid: [u8; 32],
    /// SPIs routed here.
    pub(crate) targeted: [u32; WORDS],
    /// SPIs that are active or resident here.
    pub(crate) owned: [u32; WORDS],
    /// The interrupt in each list register.
    pub(crate) slots: [Option<IntId>; MAX_LIST_REGISTERS],
    /// List registers in use.
    pub(crate) used: u16,
    /// The list registers may not be what they should be.
    pub(crate) attention: bool,
    /// `GICR_WAKER.ProcessorSleep`.
    pub(crate) asleep: bool,
}

impl Cpu {
    const EMPTY: Self = Self {
        affinity: 0,
        private: Bank::EMPTY,
        pintid: [0; 32],
        targeted: [0; WORDS],
        owned: [0; WORDS],
        slots: [None; MAX_LIST_REGISTERS],
        used: 0,
        attention: false,
        asleep: true,
    };
}

/// L1's distributor and redistributors.
///
/// Functions that take a `cpu` beyond the configured count, or an interrupt L1 does not have, do
/// nothing. See the crate's documentation for who owns which truth when.
#[derive(Clone, Debug)]
pub struct Vgic {
    pub(crate) cpu_count: usize,
    pub(crate) lr_count: usize,
    pub(crate) spi_words: u32,
    pub(crate) id_bits: u32,
    /// `GICD_CTLR` enables, see [`crate::distributor`].
    pub(crate) group0_enabled: bool,
    pub(crate) group1_enabled: bool,
    pub(crate) cpus: [Cpu; MAX_VCPUS],
    /// SPIs by register word; word 0 stays empty.
    pub(crate) spis: [Bank; WORDS],
    /// Words of SPIs that may not be quiet.
    pub(crate) busy: u32,
    /// `GICD_IROUTER`, packed as by [`affinity`].
    pub(crate) routes: [u32; WORDS * 32],
}

/// The affinity fields of an `MPIDR_EL1` or `GICD_IROUTER` value in 32 bits, Aff3 on top.
pub(crate) fn affinity(register: u64) -> u32 {
    low_half((register >> 8) & 0xff00_0000 | register & 0x00ff_ffff)
}

impl Vgic {
    /// A GIC without vCPUs or interrupts; every register reads as zero. To be placed in a `static`
    /// and configured there.
    #[must_use]
    pub const fn unconfigured() -> Self {
        Self {
            cpu_count: 0,
            lr_count: 1,
            spi_words: 0,
            id_bits: 10,
            group0_enabled: false,
            group1_enabled: false,
            cpus: [const { Cpu::EMPTY }; MAX_VCPUS],
            spis: [const { Bank::EMPTY }; WORDS],
            busy: 0,
            routes: [0; WORDS * 32],
        }
    }

    /// A GIC out of reset: everything disabled, all SPIs routed to affinity 0.
    ///
    /// # Errors
    ///
    /// When `config` asks for what the architecture or this crate cannot give.
    pub fn new(config: &VgicConfig) -> Result<Self, ConfigError> {
        let mut vgic = Self::unconfigured();
        vgic.configure(config)?;
        Ok(vgic)
    }

    /// Makes this a GIC out of reset. Whatever was linked is forgotten; see [`Vgic::reset`].
    ///
    /// # Errors
    ///
    /// When `config` asks for what the architecture or this crate cannot give; nothing is changed.
    pub fn configure(&mut self, config: &VgicConfig) -> Result<(), ConfigError> {
        config.check()?;
        self.cpu_count = config.cpus;
        self.lr_count = config.lr_count;
        self.spi_words = config.spi_count / 32;
        self.id_bits = config.id_bits;
        for (cpu, mpidr) in self.cpus.iter_mut().zip(config.mpidr) {
            cpu.affinity = affinity(mpidr);
        }
        for (word, bank) in (0..).zip(&mut self.spis) {
            bank.implemented = match word {
                _ if word == 0 || word > self.spi_words => 0,
                31 => !0 >> (1024 - FIRST_SPECIAL),
                _ => !0,
            };
        }
        self.clear();
        Ok(())
    }

    /// Takes an SPI from L1, for a device that L0 keeps: it reads as zero and ignores writes.
    /// To be called before L1 runs.
    pub fn withhold_spi(&mut self, intid: u32) {
        if let Some(id) = IntId::new(intid)
            && let Some(bank) = self.spis.get_mut(id.word())
        {
            bank.implemented &= !id.mask();
        }
    }

    /// Back to the state out of reset, when L1 resets and no vCPU runs: physical SPIs are disabled,
    /// level-sensitive, routed to affinity 0, and nothing is left active. SPIs withheld stay so.
    pub fn reset(&mut self, hw: &mut impl PhysicalGic) {
        let first_target = self.cpu_with_affinity(0);
        for (word, bank) in self.spis.iter().enumerate() {
            for id in Bits(bank.implemented).filter_map(|bit| IntId::at(word, bit)) {
                let mask = id.mask();
                if bank.enabled & mask != 0 {
                    hw.set_enabled(id.number(), false);
                }
                if bank.linked & mask != 0 {
                    hw.set_active(0, id.number(), false);
                }
                if bank.edge & mask != 0 {
                    hw.set_edge(id.number(), false);
                }
                if self.route(id) != 0
                    && let Some(target) = first_target
                {
                    hw.set_route(id.number(), target);
                }
            }
        }
        for (number, cpu) in self.cpus.iter().enumerate() {
            for bit in Bits(cpu.private.linked) {
                let pintid = cpu.pintid.get(bit as usize).copied().unwrap_or(0);
                hw.set_active(number, u32::from(pintid), false);
            }
        }
        self.clear();
    }

    /// The state out of reset, without effects on the physical GIC.
    fn clear(&mut self) {
        self.group0_enabled = false;
        self.group1_enabled = false;
        self.busy = 0;
        self.routes = [0; WORDS * 32];
        for bank in &mut self.spis {
            *bank = Bank {
                implemented: bank.implemented,
                ..Bank::EMPTY
            };
        }
        for (number, cpu) in self.cpus.iter_mut().enumerate() {
            *cpu = Cpu {
                affinity: cpu.affinity,
                ..Cpu::EMPTY
            };
            if number < self.cpu_count {
                cpu.private.implemented = !0;
                cpu.private.edge = SGIS;
            }
        }
        if let Some(first) = self.cpu_with_affinity(0)
            && let Some(cpu) = self.cpus.get_mut(first)
        {
            for (word, bank) in self.spis.iter().enumerate() {
                cpu.targeted[word] = bank.implemented;
            }
        }
    }

    /// The configured vCPUs.
    #[must_use]
    pub fn cpu_count(&self) -> usize {
        self.cpu_count
    }

    /// Whether a `cpu` index is one of the configured vCPUs.
    pub(crate) fn has_cpu(&self, cpu: usize) -> bool {
        cpu < self.cpu_count
    }

    /// The vCPU with this packed affinity.
    pub(crate) fn cpu_with_affinity(&self, wanted: u32) -> Option<usize> {
        self.cpus
            .iter()
            .take(self.cpu_count)
            .position(|cpu| cpu.affinity == wanted)
    }

    /// The bank an interrupt is in, from the point of view of `cpu`.
    pub(crate) fn bank(&self, cpu: usize, id: IntId) -> Option<&Bank> {
        if id.is_private() {
            self.cpus.get(cpu).map(|cpu| &cpu.private)
        } else {
            self.spis.get(id.word())
        }
    }

    /// See [`Self::bank`].
    pub(crate) fn bank_mut(&mut self, cpu: usize, id: IntId) -> Option<&mut Bank> {
        if id.is_private() {
            self.cpus.get_mut(cpu).map(|cpu| &mut cpu.private)
        } else {
            self.spis.get_mut(id.word())
        }
    }

    /// The packed affinity an SPI is routed to.
    pub(crate) fn route(&self, id: IntId) -> u32 {
        self.routes.get(id.number() as usize).copied().unwrap_or_default()
    }

    /// The vCPU an SPI is routed to, if there is one with that affinity.
    // A search: not to be where private interrupts pass, which are more frequent.
    #[inline(never)]
    pub(crate) fn target(&self, id: IntId) -> Option<usize> {
        self.cpus
            .iter()
            .position(|cpu| cpu.targeted[id.word()] & id.mask() != 0)
    }

    /// The vCPU on which an SPI is active or resident.
    #[inline(never)]
    pub(crate) fn owner(&self, id: IntId) -> Option<usize> {
        self.cpus.iter().position(|cpu| cpu.owned[id.word()] & id.mask() != 0)
    }

    /// Notes where an SPI is active or resident, or that it is not.
    #[inline(always)]
    pub(crate) fn set_owner(&mut self, id: IntId, owner: Option<usize>) {
        if !id.is_private() {
            self.set_owner_of_spi(id, owner);
        }
    }

    #[inline(never)]
    fn set_owner_of_spi(&mut self, id: IntId, owner: Option<usize>) {
        for (number, cpu) in self.cpus.iter_mut().enumerate() {
            if Some(number) == owner {
                cpu.owned[id.word()] |= id.mask();
            } else {
                cpu.owned[id.word()] &= !id.mask();
            }
        }
    }

    /// The physical number of an interrupt, when it is linked.
    pub(crate) fn pintid(&self, cpu: usize, id: IntId) -> u32 {
        if id.is_private() {
            let cpu = self.cpus.get(cpu);
            cpu.map_or(0, |cpu| u32::from(cpu.pintid[id.index()]))
        } else {
            id.number()
        }
    }

    /// Interrupts of a bank whose group the distributor forwards.
    pub(crate) fn forwarded_groups(&self, bank: &Bank) -> u32 {
        bank.in_groups([self.group0_enabled, self.group1_enabled])
    }

    /// Re-establishes the invariants after the state of one interrupt has changed, and calls the
    /// vCPU that must know.
    pub(crate) fn update(&mut self, cpu: usize, id: IntId, hw: &mut impl PhysicalGic) {
        self.settle(cpu, id, hw);
        if id.is_private() {
            return self.update_private(cpu, id, hw);
        }
        let Some(bank) = self.bank(cpu, id) else {
            return;
        };
        let mask = id.mask();
        let held = (bank.resident | bank.active) & mask != 0;
        let offered = bank.offered() & mask != 0;
        if !bank.is_quiet() {
            self.busy |= 1 << id.word();
        }
        let concerned = match (held, offered) {
            (false, false) => None,
            (true, _) => self.owner(id),
            (false, true) => self.target(id),
        };
        if let Some(concerned) = concerned {
            self.attend(concerned, hw);
        }
    }

    /// [`Self::update`] of an interrupt that can concern nobody else.
    #[inline(always)]
    fn update_private(&mut self, cpu: usize, id: IntId, hw: &mut impl PhysicalGic) {
        if let Some(state) = self.cpus.get_mut(cpu) {
            let bank = &state.private;
            if (bank.resident | bank.active | bank.offered()) & id.mask() != 0 {
                state.attention = true;
                hw.kick(cpu);
            }
        }
    }

    /// Ends a link that has lost its reason: the interrupt is neither active nor in a list register,
    /// and either not pending, or an SPI that L1 has disabled.
    pub(crate) fn settle(&mut self, cpu: usize, id: IntId, hw: &mut impl PhysicalGic) {
        let Some(bank) = self.bank(cpu, id) else {
            return;
        };
        let mask = id.mask();
        if bank.linked & !bank.resident & !bank.active & mask == 0 {
            return;
        }
        let silenced = !id.is_private() && bank.enabled & mask == 0;
        if bank.pending() & mask == 0 || silenced {
            self.release(cpu, id, hw);
        }
    }

    /// Ends a link in software: the physical interrupt becomes inactive.
    pub(crate) fn release(&mut self, cpu: usize, id: IntId, hw: &mut impl PhysicalGic) {
        let pintid = self.pintid(cpu, id);
        if let Some(bank) = self.bank_mut(cpu, id)
            && bank.linked & id.mask() != 0
        {
            bank.unlink(id.mask());
            hw.set_active(cpu, pintid, false);
        }
    }

    /// Asks the hardware whether the line of a linked level-sensitive interrupt is still high.
    pub(crate) fn resample(&mut self, cpu: usize, id: IntId, hw: &impl PhysicalGic) {
        let pintid = self.pintid(cpu, id);
        if let Some(bank) = self.bank_mut(cpu, id)
            && bank.linked & !bank.edge & id.mask() != 0
        {
            if hw.is_pending(cpu, pintid) {
                bank.line |= id.mask();
            } else {
                bank.line &= !id.mask();
            }
        }
    }

    /// Has a vCPU look at its interrupts.
    pub(crate) fn attend(&mut self, cpu: usize, hw: &mut impl PhysicalGic) {
        if let Some(state) = self.cpus.get_mut(cpu) {
            state.attention = true;
            hw.kick(cpu);
        }
    }
}

/// The SGIs of a private bank.
pub(crate) const SGIS: u32 = 0xffff;
