//! State of 32 interrupts, one bit of each word per interrupt, as in the GIC's registers.

use crate::PRIORITY_MASK;
use crate::intid::IntId;
use crate::lr::{ListRegister, State};

/// 32 interrupts: the SGIs and PPIs of one vCPU, or 32 SPIs.
#[derive(Clone, Debug)]
pub(crate) struct Bank {
    /// Interrupts that L1 has; all else reads as zero and ignores writes.
    pub(crate) implemented: u32,
    /// `ISENABLER`.
    pub(crate) enabled: u32,
    /// `IGROUPR`.
    pub(crate) group1: u32,
    /// `ICFGR`: edge-triggered.
    pub(crate) edge: u32,
    /// Pending by an edge, an SGI or `ISPENDR`, and not in a list register.
    pub(crate) latch: u32,
    /// Level of the line. Of a linked level-sensitive interrupt: as last known.
    pub(crate) line: u32,
    /// Active; while resident, as loaded.
    pub(crate) active: u32,
    /// A physical interrupt is active on its behalf.
    pub(crate) linked: u32,
    /// In a list register.
    pub(crate) resident: u32,
    /// Resident, and its latch went into the list register's pending state.
    pub(crate) loaded_latch: u32,
    /// What the next save does to resident interrupts.
    pub(crate) orders: Orders,
    /// `IPRIORITYR`.
    pub(crate) priority: [u8; 32],
}

/// Changes to resident interrupts that wait for the CPU that holds their list register.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// Not pending any more.
    pub(crate) clear_pending: u32,
    /// Not active any more.
    pub(crate) clear_active: u32,
    /// Active.
    pub(crate) set_active: u32,
    /// The physical interrupt came again, so the list register's link has ended in hardware and
    /// the link now belongs to the new one.
    pub(crate) relinked: u32,
}

impl Orders {
    /// No orders.
    const NONE: Self = Self {
        clear_pending: 0,
        clear_active: 0,
        set_active: 0,
        relinked: 0,
    };

    /// Takes the orders for the interrupts in `mask`.
    fn take(&mut self, mask: u32) -> Self {
        let take = |word: &mut u32| {
            let taken = *word & mask;
            *word &= !mask;
            taken
        };
        Self {
            clear_pending: take(&mut self.clear_pending),
            clear_active: take(&mut self.clear_active),
            set_active: take(&mut self.set_active),
            relinked: take(&mut self.relinked),
        }
    }
}

/// What folding a list register says about the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkAfterFold {
    /// As it was, or ended in hardware and noted.
    Settled,
    /// The interrupt is gone but the physical one is still active: deactivate it.
    Release,
    /// Still only pending; the line may have dropped meanwhile.
    Resample,
}

impl Bank {
    /// No interrupts at all.
    pub(crate) const EMPTY: Self = Self {
        implemented: 0,
        enabled: 0,
        group1: 0,
        edge: 0,
        latch: 0,
        line: 0,
        active: 0,
        linked: 0,
        resident: 0,
        loaded_latch: 0,
        orders: Orders::NONE,
        priority: [0; 32],
    };

    /// Interrupts that are pending, those in list registers left out but for their line.
    pub(crate) fn pending(&self) -> u32 {
        self.latch | (self.line & !self.edge)
    }

    /// Interrupts that read as pending.
    pub(crate) fn pending_as_read(&self) -> u32 {
        self.pending() | self.loaded_latch
    }

    /// Interrupts that wait for a list register to be acknowledged in, if their group is enabled.
    pub(crate) fn offered(&self) -> u32 {
        self.pending() & self.enabled & !self.active & !self.resident
    }

    /// Interrupts of the groups that are on: Group 0 and Group 1.
    pub(crate) fn in_groups(&self, [group0, group1]: [bool; 2]) -> u32 {
        let of_group1 = if group1 { self.group1 } else { 0 };
        let of_group0 = if group0 { !self.group1 } else { 0 };
        of_group1 | of_group0
    }

    /// Linked edge-triggered interrupts that came again while active: there is no list register for both, and the link is
    /// to end early.
    pub(crate) fn needs_unlinking(&self) -> u32 {
        self.linked & self.edge & self.active & self.latch
    }

    /// Whether any bit of state could concern a vCPU.
    pub(crate) fn is_quiet(&self) -> bool {
        (self.latch | self.line | self.active | self.resident) == 0
    }

    /// The priority of an interrupt; lower is more urgent.
    pub(crate) fn priority_of(&self, id: IntId) -> u8 {
        self.priority[id.index()] & PRIORITY_MASK
    }

    /// Ends the link in software: the caller deactivates the physical interrupt. A level-sensitive
    /// line goes low, for the hardware to raise again.
    pub(crate) fn unlink(&mut self, mask: u32) {
        self.linked &= !mask;
        self.line &= !(mask & !self.edge);
    }

    /// The list register for an interrupt, whose pending and active bits say that it needs one, and
    /// notes it as resident. `deliver` says whether its pending half may be presented (enabled, so
    /// is its group, and routed here). An edge-triggered interrupt that is active and pending again must have
    /// been unlinked.
    pub(crate) fn load(&mut self, id: IntId, deliver: bool, pintid: u32) -> ListRegister {
        let mask = id.mask();
        let edge = self.edge & mask != 0;
        let active = self.active & mask != 0;
        let linked = self.linked & mask != 0;
        let latched = self.latch & mask != 0;
        // A pending level is looked at again when the active instance ends, and a hardware link
        // excludes PendingActive.
        let presentable = !active || (edge && !linked);
        let pending = deliver && presentable && self.pending() & mask != 0;
        let lr = ListRegister::EMPTY
            .with_vintid(id.number())
            .with_priority(self.priority_of(id))
            .with_group1(self.group1 & mask != 0)
            .with_state(State::from_parts(pending, active));
        // What waits behind an active instance needs an exit at its end, which a hardware link does
        // not give.
        let lr = if linked && !(active && latched) {
            lr.with_link(pintid)
        } else {
            lr.without_link(!edge || (latched && !pending))
        };
        self.resident |= mask;
        if pending && latched {
            self.latch &= !mask;
            self.loaded_latch |= mask;
        }
        lr
    }

    /// Takes the list register of an interrupt back.
    pub(crate) fn fold(&mut self, id: IntId, lr: ListRegister) -> LinkAfterFold {
        let mask = id.mask();
        let orders = self.orders.take(mask);
        let pending = lr.state().is_pending() && orders.clear_pending == 0;
        let active = lr.state().is_active() && orders.clear_active == 0 || orders.set_active != 0;
        self.resident &= !mask;
        if pending {
            self.latch |= self.loaded_latch & mask;
        }
        self.loaded_latch &= !mask;
        if active {
            self.active |= mask;
        } else {
            self.active &= !mask;
        }
        if self.linked & mask == 0 {
            return LinkAfterFold::Settled;
        }
        if lr.is_hw() && !lr.is_valid() {
            if orders.relinked == 0 {
                self.unlink(mask);
            }
            return LinkAfterFold::Settled;
        }
        if !active && !pending {
            return LinkAfterFold::Release;
        }
        if !active && self.edge & mask == 0 {
            return LinkAfterFold::Resample;
        }
        LinkAfterFold::Settled
    }
}
