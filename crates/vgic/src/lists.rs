//! Between the state here and the list registers of a vCPU.
//!
//! [`Vgic::load`] chooses, [`Vgic::save`] takes back. When there is more than fits, the order is:
//! the most urgent pending interrupt, then active ones, then further pending ones. So there is
//! always something to make progress with, and list registers stay with what L1 is busy with. What
//! is left out is not forgotten by the hardware:
//!
//! - pending ones left out: `NPIE` gives an exit as soon as L1 has acknowledged all that are in, and
//!   `VGrp<n>EIE` when L1 enables the group of one that could not be delivered;
//! - active ones left out: L1's end of one counts in `EOIcount` (`EOImode = 0`), and `LRENPIE` gives
//!   an exit; or it is a write of `ICC_DIR_EL1` (`EOImode = 1`), which `TDIR` traps.
//!
//! `VGrp0DIE` is never used: QEMU computes its condition from the other group's enable.

use crate::bank::{Bank, LinkAfterFold};
use crate::intid::{Bits, IntId, WORDS};
use crate::lr::ListRegister;
use crate::{MAX_LIST_REGISTERS, PhysicalGic, Signal, Vgic, VirtualInterface, hcr, vmcr};

/// Bits of `ICH_HCR_EL2` that [`Vgic::load`] decides; the rest are the caller's.
const MANAGED_HCR: u64 = hcr::EN
    | hcr::UIE
    | hcr::LRENPIE
    | hcr::NPIE
    | hcr::VGRP0EIE
    | hcr::VGRP0DIE
    | hcr::VGRP1EIE
    | hcr::VGRP1DIE
    | hcr::TDIR
    | hcr::EOICOUNT;

/// An interrupt that wants a list register, ordered by urgency: deliverable before group disabled
/// at the interface, then by priority, then by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate(u32);

impl Candidate {
    const GROUP_DISABLED: u32 = 1 << 24;

    fn new(id: IntId, priority: u8, group_enabled: bool) -> Self {
        let class = if group_enabled { 0 } else { Self::GROUP_DISABLED };
        Self(class | u32::from(priority) << 16 | id.number())
    }

    fn id(self) -> Option<IntId> {
        IntId::new(self.0 & 0xffff)
    }
}

/// The most urgent candidates seen so far, as many as there are list registers.
struct Best {
    entries: [Candidate; MAX_LIST_REGISTERS],
    len: usize,
    capacity: usize,
    overflowed: bool,
}

impl Best {
    fn new(capacity: usize) -> Self {
        Self {
            entries: [Candidate(u32::MAX); MAX_LIST_REGISTERS],
            len: 0,
            capacity: capacity.min(MAX_LIST_REGISTERS),
            overflowed: false,
        }
    }

    fn insert(&mut self, candidate: Candidate) {
        let mut carried = candidate;
        for entry in self.entries.iter_mut().take(self.len) {
            if carried < *entry {
                core::mem::swap(&mut carried, entry);
            }
        }
        if self.len == self.capacity {
            self.overflowed = true;
        } else if let Some(entry) = self.entries.get_mut(self.len) {
            *entry = carried;
            self.len += 1;
        }
    }

    fn as_slice(&self) -> &[Candidate] {
        self.entries.get(..self.len).unwrap_or_default()
    }
}

impl Vgic {
    /// Whether [`Self::load`] would do anything for `cpu`. When not, the list registers in hardware
    /// are right as they are, and the way back into L1 need not touch them.
    #[must_use]
    pub fn needs_load(&self, cpu: usize) -> bool {
        self.cpus.get(cpu).is_some_and(|cpu| cpu.attention)
    }

    /// Whether nothing of `cpu` is in a list register, nor is to be: its interface may stay in the hardware as it is while
    /// something else is looked at or changed here.
    #[must_use]
    #[inline(always)]
    pub fn is_settled(&self, cpu: usize) -> bool {
        self.cpus.get(cpu).is_none_or(|cpu| cpu.used == 0 && !cpu.attention)
    }

    /// The list registers of `cpu` in use, one bit each: the only ones [`Self::save`] reads.
    #[must_use]
    pub fn used(&self, cpu: usize) -> u16 {
        self.cpus.get(cpu).map_or(0, |cpu| cpu.used)
    }

    /// Makes `vif` offer L1 on `cpu` what it should be offered: list registers and `ICH_HCR_EL2`
    /// (where trap bits and unmanaged bits of `vif.hcr` are kept). Called on the way into L1's own
    /// context, with `vif` as the hardware has it or as [`Self::save`] left it.
    #[inline]
    pub fn load(&mut self, cpu: usize, vif: &mut VirtualInterface, hw: &mut impl PhysicalGic) {
        if self.needs_load(cpu) {
            self.load_anew(cpu, vif, hw);
        } else {
            vif.hcr |= hcr::EN;
        }
    }

    #[inline(never)]
    fn load_anew(&mut self, cpu: usize, vif: &mut VirtualInterface, hw: &mut impl PhysicalGic) {
        self.save(cpu, vif, hw);
        self.fill(cpu, vif, hw);
        if let Some(state) = self.cpus.get_mut(cpu) {
            state.attention = false;
        }
    }

    /// Takes the list registers of `cpu` back from `vif`, as the hardware has it, and empties them:
    /// what L1 acknowledged is active, what it ended is over. Called when L1's own context is left
    /// for another one, before a register access that [`access_needs_lists`] names, and when the
    /// maintenance interrupt comes.
    ///
    /// [`access_needs_lists`]: crate::access_needs_lists
    #[inline]
    pub fn save(&mut self, cpu: usize, vif: &mut VirtualInterface, hw: &mut impl PhysicalGic) {
        let used = self.used(cpu);
        if vif.hcr & hcr::EOICOUNT != 0 || used != 0 {
            self.take_back(cpu, used, vif, hw);
        }
    }

    #[inline(never)]
    fn take_back(&mut self, cpu: usize, used: u16, vif: &mut VirtualInterface, hw: &mut impl PhysicalGic) {
        self.end_those_left_out(cpu, vif, hw);
        if used == 0 {
            return;
        }
        for number in Bits(u32::from(used)) {
            let Some(lr) = vif.lr.get_mut(number as usize) else {
                break;
            };
            let value = ListRegister(core::mem::take(lr));
            self.fold(cpu, number as usize, value, hw);
        }
        if let Some(state) = self.cpus.get_mut(cpu) {
            state.used = 0;
            state.attention = true;
        }
    }

    /// Whether L1 on `cpu`, whose own interface is `vif` and saved, would now be signalled an
    /// interrupt. See [`Self::deliverable`].
    #[must_use]
    pub fn has_deliverable(&self, cpu: usize, vif: &VirtualInterface) -> bool {
        self.deliverable(cpu, vif).is_some()
    }

    /// The signal L1's interface `vif` would give for the most urgent interrupt pending for `cpu`,
    /// or `None` when none is enabled, urgent enough and of an enabled group. Asked while a guest of
    /// L1 runs, when the answer is an exception into vEL2, and before waiting for an interrupt.
    /// Interrupts in list registers are not considered: save first.
    #[must_use]
    #[inline]
    pub fn deliverable(&self, cpu: usize, vif: &VirtualInterface) -> Option<Signal> {
        let has_private = self.cpus.get(cpu).is_some_and(|state| state.private.offered() != 0);
        if has_private || self.busy != 0 {
            self.most_urgent_signal(cpu, vif)
        } else {
            None
        }
    }

    #[inline(never)]
    fn most_urgent_signal(&self, cpu: usize, vif: &VirtualInterface) -> Option<Signal> {
        let mut best: Option<(u8, bool)> = None;
        self.for_each_bank(cpu, |word, bank, mine| {
            for bit in Bits(bank.offered() & self.forwarded_groups(bank) & mine) {
                let Some(id) = IntId::at(word, bit) else {
                    continue;
                };
                let group1 = bank.group1 & id.mask() != 0;
                let priority = bank.priority_of(id);
                if vif.is_group_enabled(group1) && best.is_none_or(|(least, _)| priority < least) {
                    best = Some((priority, group1));
                }
            }
        });
        let (priority, group1) = best?;
        let signal = if group1 { Signal::Irq } else { Signal::Fiq };
        vif.would_signal(group1, priority).then_some(signal)
    }

    /// Calls `visit` for each bank that may have something for `cpu`: its word, itself, and which
    /// of its interrupts are routed to `cpu`.
    fn for_each_bank(&self, cpu: usize, mut visit: impl FnMut(usize, &Bank, u32)) {
        let Some(state) = self.cpus.get(cpu) else {
            return;
        };
        visit(0, &state.private, !0);
        for bit in Bits(self.busy) {
            let word = bit as usize & (WORDS - 1);
            visit(word, &self.spis[word], state.targeted[word]);
        }
    }

    /// Deactivates as many active interrupts outside the list registers as L1 has ended
    /// (`EOIcount`), the most urgent first: without split, L1 ends them in that order. With split,
    /// the count is of priority drops, and deactivation traps.
    fn end_those_left_out(&mut self, cpu: usize, vif: &mut VirtualInterface, hw: &mut impl PhysicalGic) {
        let count = (vif.hcr & hcr::EOICOUNT) >> hcr::EOICOUNT_SHIFT;
        vif.hcr &= !hcr::EOICOUNT;
        if count == 0 || vif.vmcr & vmcr::VEOIM != 0 {
            return;
        }
        for _ in 0..count {
            let Some(id) = self.most_urgent_active(cpu) else {
                break;
            };
            self.deactivate(cpu, id.number(), hw);
        }
    }

    fn most_urgent_active(&self, cpu: usize) -> Option<IntId> {
        let state = self.cpus.get(cpu)?;
        let mut best = None;
        self.for_each_bank(cpu, |word, bank, _| {
            let owned = if word == 0 { !0 } else { state.owned[word] };
            for bit in Bits(bank.active & !bank.resident & owned) {
                if let Some(id) = IntId::at(word, bit) {
                    let candidate = Candidate::new(id, bank.priority_of(id), true);
                    best = Some(best.map_or(candidate, |least: Candidate| least.min(candidate)));
                }
            }
        });
        best.and_then(Candidate::id)
    }

    /// Takes one list register back.
    fn fold(&mut self, cpu: usize, number: usize, lr: ListRegister, hw: &mut impl PhysicalGic) {
        let Some(id) = self
            .cpus
            .get_mut(cpu)
            .and_then(|state| state.slots.get_mut(number))
            .and_then(Option::take)
        else {
            return;
        };
        let Some(bank) = self.bank_mut(cpu, id) else {
            return;
        };
        let link = bank.fold(id, lr);
        let active = bank.active & id.mask() != 0;
        let waits = bank.offered() & id.mask() != 0;
        match link {
            LinkAfterFold::Settled => {}
            LinkAfterFold::Release => self.release(cpu, id, hw),
            LinkAfterFold::Resample => self.resample(cpu, id, hw),
        }
        self.set_owner(id, active.then_some(cpu));
        self.settle(cpu, id, hw);
        if waits
            && !id.is_private()
            && let Some(target) = self.target(id)
            && target != cpu
        {
            self.attend(target, hw);
        }
    }

    /// Chooses what goes into the empty list registers of `cpu`.
    fn fill(&mut self, cpu: usize, vif: &mut VirtualInterface, hw: &mut impl PhysicalGic) {
        self.drop_quiet_words();
        vif.hcr = vif.hcr & !MANAGED_HCR | hcr::EN;
        if !(self.busy == 0 && self.fill_one(cpu, vif)) {
            self.choose(cpu, vif, hw);
        }
    }

    /// [`Self::fill`] where there is something to choose.
    #[inline(never)]
    fn choose(&mut self, cpu: usize, vif: &mut VirtualInterface, hw: &mut impl PhysicalGic) {
        let Some(state) = self.cpus.get(cpu) else {
            return;
        };
        let mut pending = Best::new(self.lr_count);
        let mut active = Best::new(self.lr_count);
        let mut disabled_groups = 0;
        self.for_each_bank(cpu, |word, bank, mine| {
            for bit in Bits(bank.offered() & self.forwarded_groups(bank) & mine) {
                if let Some(id) = IntId::at(word, bit) {
                    let group1 = bank.group1 & id.mask() != 0;
                    let enabled = vif.is_group_enabled(group1);
                    if !enabled {
                        disabled_groups |= if group1 { hcr::VGRP1EIE } else { hcr::VGRP0EIE };
                    }
                    pending.insert(Candidate::new(id, bank.priority_of(id), enabled));
                }
            }
            let owned = if word == 0 { !0 } else { state.owned[word] };
            for bit in Bits(bank.active & !bank.resident & owned) {
                if let Some(id) = IntId::at(word, bit) {
                    active.insert(Candidate::new(id, bank.priority_of(id), true));
                }
            }
        });

        let (first, rest) = match pending.as_slice().split_first() {
            Some((first, rest)) => (Some(first), rest),
            None => (None, [].as_slice()),
        };
        let order = first.into_iter().chain(active.as_slice()).chain(rest);
        for (number, candidate) in order.take(self.lr_count).enumerate() {
            if let (Some(id), Some(lr)) = (candidate.id(), vif.lr.get_mut(number)) {
                *lr = self.place(cpu, id, number, hw).0;
            }
        }

        let room_for_active = self.lr_count - usize::from(first.is_some());
        let active_left_out = active.overflowed || active.len > room_for_active;
        let pending_left_out = pending.overflowed || pending.len + active.len > self.lr_count;
        if active_left_out {
            vif.hcr |= hcr::LRENPIE | hcr::TDIR;
        }
        if pending_left_out && !pending.as_slice().is_empty() {
            vif.hcr |= hcr::NPIE | disabled_groups;
        }
    }

    /// [`Self::fill`] with the one private interrupt that wants a list register, as most of the time, or with none. Says
    /// whether that is all there is: then it is what [`Self::choose`] would do. No SPI may be busy.
    #[inline(always)]
    fn fill_one(&mut self, cpu: usize, vif: &mut VirtualInterface) -> bool {
        let groups = [self.group0_enabled, self.group1_enabled];
        let (Some(state), Some(lr)) = (self.cpus.get_mut(cpu), vif.lr.first_mut()) else {
            return false;
        };
        let bank = &mut state.private;
        let forwarded = bank.in_groups(groups);
        let wanted = bank.offered() & forwarded | bank.active & !bank.resident;
        if wanted & wanted.wrapping_sub(1) != 0 || bank.needs_unlinking() & wanted != 0 {
            return false;
        }
        if let Some(id) = Bits(wanted).next().and_then(|bit| IntId::at(0, bit)) {
            let pintid = u32::from(state.pintid[id.index()]);
            *lr = bank.load(id, bank.enabled & forwarded & wanted != 0, pintid).0;
            state.slots[0] = Some(id);
            state.used |= 1;
        }
        true
    }

    /// Puts one interrupt into list register `number` of `cpu`.
    fn place(&mut self, cpu: usize, id: IntId, number: usize, hw: &mut impl PhysicalGic) -> ListRegister {
        let mask = id.mask();
        let pintid = self.pintid(cpu, id);
        let again = self
            .bank(cpu, id)
            .is_some_and(|bank| bank.needs_unlinking() & mask != 0);
        if again {
            // No link for PendingActive; an edge loses nothing by ending it early.
            self.release(cpu, id, hw);
        }
        let routed_here = id.is_private() || self.target(id) == Some(cpu);
        let deliver = self
            .bank(cpu, id)
            .is_some_and(|bank| routed_here && bank.enabled & self.forwarded_groups(bank) & mask != 0);
        self.set_owner(id, Some(cpu));
        if let Some(state) = self.cpus.get_mut(cpu)
            && let Some(slot) = state.slots.get_mut(number)
        {
            *slot = Some(id);
            state.used |= 1 << number;
        }
        self.bank_mut(cpu, id)
            .map_or(ListRegister::EMPTY, |bank| bank.load(id, deliver, pintid))
    }

    /// Forgets words of SPIs in which nothing happens any more.
    fn drop_quiet_words(&mut self) {
        for bit in Bits(self.busy) {
            if self.spis[bit as usize & (WORDS - 1)].is_quiet() {
                self.busy &= !(1 << bit);
            }
        }
    }
}
