//! What makes interrupts pending or ends them, other than L1's accesses to the GIC's registers.

use crate::intid::IntId;
use crate::vgic::SGIS;
use crate::{PhysicalGic, Vgic};

/// Which register an SGI was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SgiRegister {
    /// `ICC_SGI0R_EL1`: reaches SGIs of Group 0.
    Sgi0,
    /// `ICC_SGI1R_EL1`: reaches SGIs of either group, as with one security state.
    Sgi1,
    /// `ICC_ASGI1R_EL1`: as [`Self::Sgi0`] when there is one security state.
    Asgi1,
}

/// Private interrupts of a CPU, one bit each, as [`Vgic::remap_ppis`] found them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ppis {
    /// Those with a physical one behind them that are pending or active, so that the physical one is to be active.
    pub in_use: u32,
    /// All whose line is high as last known.
    pub high: u32,
}

impl Vgic {
    /// L1 on vCPU `from` wrote `value` to one of the SGI registers (IHI 0069, `ICC_SGI1R_EL1`).
    pub fn send_sgi(&mut self, from: usize, register: SgiRegister, value: u64, hw: &mut impl PhysicalGic) {
        let Some(id) = IntId::new((value >> 24 & 0xf) as u32) else {
            return;
        };
        let to_all_others = value >> 40 & 1 != 0;
        let range = (value >> 44 & 0xf) as u32;
        let cluster = (value >> 48 & 0xff) << 24 | (value >> 32 & 0xff) << 16 | (value >> 16 & 0xff) << 8;
        for target in 0..self.cpu_count {
            let Some(state) = self.cpus.get_mut(target) else {
                break;
            };
            let aff0 = state.affinity & 0xff;
            let addressed = if to_all_others {
                target != from
            } else {
                u64::from(state.affinity & !0xff) == cluster && aff0 >> 4 == range && value >> (aff0 & 0xf) & 1 != 0
            };
            let group0 = state.private.group1 & id.mask() == 0;
            if addressed && (group0 || register == SgiRegister::Sgi1) {
                state.private.latch |= id.mask();
                self.update(target, id, hw);
            }
        }
    }

    /// The line of an emulated interrupt is now `level`: a PPI of `cpu`, or an SPI (`cpu` is then
    /// ignored). A rising line of an edge-triggered interrupt makes it pending. Says whether that is
    /// a change.
    #[inline]
    pub fn set_level(&mut self, cpu: usize, intid: u32, level: bool, hw: &mut impl PhysicalGic) -> bool {
        self.is_high(cpu, intid) != level && self.change_level(cpu, intid, level, hw)
    }

    /// The line of an interrupt as last known; low if there is none.
    #[inline]
    #[must_use]
    pub fn is_high(&self, cpu: usize, intid: u32) -> bool {
        let id = IntId::new(intid);
        id.and_then(|id| Some(self.bank(cpu, id)?.line & id.mask() != 0))
            .unwrap_or(false)
    }

    #[cold]
    #[inline(never)]
    fn change_level(&mut self, cpu: usize, intid: u32, level: bool, hw: &mut impl PhysicalGic) -> bool {
        let Some(id) = self.line_of(cpu, intid) else {
            return false;
        };
        let Some(bank) = self.bank_mut(cpu, id) else {
            return false;
        };
        let mask = id.mask();
        if level {
            bank.line |= mask;
            bank.latch |= bank.edge & mask;
        } else {
            bank.line &= !mask;
        }
        self.update(cpu, id, hw);
        true
    }

    /// Physical SPI `intid` was acknowledged by L0 and is active: L1 gets it, linked.
    ///
    /// If L1 has disabled it meanwhile, the link ends at once; an edge is kept for later.
    pub fn forward_spi(&mut self, intid: u32, hw: &mut impl PhysicalGic) {
        match self.line_of(0, intid) {
            Some(id) if !id.is_private() => self.raise_linked(0, id, hw),
            _ => {}
        }
    }

    /// Physical PPI `pintid` was acknowledged by L0 on `cpu` and is active: L1 gets PPI `intid`,
    /// linked. Stays linked while L1 has the PPI disabled, or it would come again at once.
    ///
    /// It may be called before the list register of the last one (L1's, or the one L1 made for its
    /// guest) is saved: the new link is kept apart from the one that hardware has ended.
    pub fn forward_ppi(&mut self, cpu: usize, intid: u32, pintid: u32, hw: &mut impl PhysicalGic) {
        let Some(id) = self.line_of(cpu, intid).filter(|id| id.is_private()) else {
            return;
        };
        let (Some(pintid), Some(state)) = (ppi_number(pintid), self.cpus.get_mut(cpu)) else {
            return;
        };
        state.pintid[id.index()] = pintid;
        self.raise_linked(cpu, id, hw);
    }

    /// Physical PPI `pintid` stands behind virtual PPI `intid` of `cpu` whenever [`Self::remap_ppis`] says so.
    pub fn name_ppi(&mut self, cpu: usize, intid: u32, pintid: u32) {
        if let Some(id) = self.line_of(cpu, intid).filter(|id| id.is_private())
            && let (Some(pintid), Some(state)) = (ppi_number(pintid), self.cpus.get_mut(cpu))
        {
            state.pintid[id.index()] = pintid;
        }
    }

    /// From now on the virtual PPIs of `cpu` in `backed`, one bit each, have the physical PPIs behind them that were
    /// [named](Self::name_ppi), and those in `unbacked` have none. Says which of `backed` must have an active physical PPI:
    /// the caller sets the active states so before entering the guest. Without a physical PPI a link is dropped with no
    /// effect on that, which gets a new master; the line is then [`Self::set_level`]'s.
    ///
    /// To be called after [`Self::save`], when nothing is resident on `cpu`.
    #[must_use = "the physical PPIs' active state must be set to it"]
    #[inline(always)]
    pub fn remap_ppis(&mut self, cpu: usize, backed: u32, unbacked: u32) -> Ppis {
        let Some(state) = self.cpus.get_mut(cpu) else {
            return Ppis::default();
        };
        let bank = &mut state.private;
        let in_use = (bank.pending() | bank.active | bank.resident) & backed;
        bank.linked = bank.linked & !(backed | unbacked) | in_use;
        Ppis {
            in_use,
            high: bank.line,
        }
    }

    /// The lines of the private interrupts of `cpu` that are high as last known, one bit each.
    #[inline(always)]
    #[must_use]
    pub fn high_ppis(&self, cpu: usize) -> u32 {
        self.cpus.get(cpu).map_or(0, |cpu| cpu.private.line)
    }

    /// Whether interrupt `intid` of `cpu` is pending or active, in a list register or not.
    #[must_use]
    pub fn is_pending_or_active(&self, cpu: usize, intid: u32) -> bool {
        IntId::new(intid)
            .and_then(|id| Some((id, self.bank(cpu, id)?)))
            .is_some_and(|(id, bank)| (bank.pending() | bank.active | bank.resident) & id.mask() != 0)
    }

    /// The physical interrupt that is active on behalf of `intid` of `cpu`: what a hardware link in
    /// a list register L1 makes for its guest may point at.
    #[must_use]
    pub fn link(&self, cpu: usize, intid: u32) -> Option<u32> {
        let id = IntId::new(intid)?;
        let bank = self.bank(cpu, id)?;
        (bank.linked & id.mask() != 0).then(|| self.pintid(cpu, id))
    }

    /// L1 deactivates its interrupt `intid` in a way hardware has not carried out: a trapped write
    /// of `ICC_DIR_EL1`, or the end of a nested list register whose hardware link L0 had cleared.
    pub fn deactivate(&mut self, cpu: usize, intid: u32, hw: &mut impl PhysicalGic) {
        self.end_active(cpu, intid, true, hw);
    }

    /// L1's interrupt `intid` was deactivated through the hardware link of a nested list register,
    /// and the physical interrupt with it.
    pub fn deactivated(&mut self, cpu: usize, intid: u32, hw: &mut impl PhysicalGic) {
        self.end_active(cpu, intid, false, hw);
    }

    fn end_active(&mut self, cpu: usize, intid: u32, physical_too: bool, hw: &mut impl PhysicalGic) {
        let Some(id) = IntId::new(intid) else {
            return;
        };
        let mask = id.mask();
        let Some(bank) = self.bank_mut(cpu, id) else {
            return;
        };
        if bank.resident & mask != 0 {
            bank.orders.clear_active |= mask;
        } else if bank.active & mask != 0 {
            bank.active &= !mask;
            if !physical_too {
                bank.unlink(bank.linked & mask);
            }
            self.set_owner(id, None);
            self.release(cpu, id, hw);
        } else {
            return;
        }
        self.update(cpu, id, hw);
    }

    /// An interrupt with a line, PPI or SPI, that L1 has.
    fn line_of(&self, cpu: usize, intid: u32) -> Option<IntId> {
        let id = IntId::new(intid)?;
        let bank = self.bank(cpu, id)?;
        let has_line = !(id.is_private() && SGIS & id.mask() != 0);
        (has_line && bank.implemented & id.mask() != 0).then_some(id)
    }

    /// Makes an interrupt pending on behalf of a physical one that is active.
    fn raise_linked(&mut self, cpu: usize, id: IntId, hw: &mut impl PhysicalGic) {
        let mask = id.mask();
        let Some(bank) = self.bank_mut(cpu, id) else {
            return;
        };
        let mut ended = false;
        if bank.linked & mask != 0 {
            // It can only have come again because hardware has ended the last one.
            if bank.resident & mask != 0 {
                bank.orders.relinked |= mask;
            } else if bank.active & mask != 0 {
                bank.active &= !mask;
                ended = true;
            }
        }
        bank.linked |= mask;
        if bank.edge & mask != 0 {
            bank.latch |= mask;
        } else {
            bank.line |= mask;
        }
        if ended {
            self.set_owner(id, None);
        }
        self.update(cpu, id, hw);
    }
}

/// The number of a physical PPI, or `None` if it is not one.
fn ppi_number(pintid: u32) -> Option<u8> {
    u8::try_from(pintid).ok().filter(|n| (16..32).contains(n))
}
