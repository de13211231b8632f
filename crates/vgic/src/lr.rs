//! List registers, `ICH_LR<n>_EL2` (DDI 0487, D24 "System registers", GIC section).

/// State of the interrupt in a list register, `ICH_LR<n>_EL2.State`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The list register holds no interrupt.
    #[default]
    Inactive,
    /// Waiting to be acknowledged.
    Pending,
    /// Acknowledged, not deactivated.
    Active,
    /// Acknowledged, and raised again since.
    PendingActive,
}

impl State {
    /// The state with these two halves.
    #[must_use]
    pub const fn from_parts(pending: bool, active: bool) -> Self {
        match (pending, active) {
            (false, false) => Self::Inactive,
            (true, false) => Self::Pending,
            (false, true) => Self::Active,
            (true, true) => Self::PendingActive,
        }
    }

    /// Whether the pending half is set.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Pending | Self::PendingActive)
    }

    /// Whether the active half is set.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Active | Self::PendingActive)
    }
}

const VINTID_MASK: u64 = 0xffff_ffff;
const PINTID_SHIFT: u32 = 32;
const PINTID_MASK: u64 = 0x1fff << PINTID_SHIFT;
const EOI: u64 = 1 << 41;
const PRIORITY_SHIFT: u32 = 48;
const PRIORITY_FIELD: u64 = 0xff << PRIORITY_SHIFT;
const GROUP1: u64 = 1 << 60;
const HW: u64 = 1 << 61;
const STATE_SHIFT: u32 = 62;
const STATE_MASK: u64 = 3 << STATE_SHIFT;

/// The value of one list register.
///
/// Built by `with_` functions from [`ListRegister::EMPTY`] or taken from hardware or from L1's VNCR
/// page as it is; reserved bits are kept until [`ich::sanitise_lr`](crate::ich::sanitise_lr).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListRegister(pub u64);

impl ListRegister {
    /// No interrupt.
    pub const EMPTY: Self = Self(0);

    /// The number the guest sees, `vINTID`.
    #[must_use]
    pub const fn vintid(self) -> u32 {
        (self.0 & VINTID_MASK) as u32
    }

    /// The linked physical interrupt, `pINTID`; meaningful when [`Self::is_hw`].
    #[must_use]
    pub const fn pintid(self) -> u32 {
        ((self.0 & PINTID_MASK) >> PINTID_SHIFT) as u32
    }

    /// Whether its end raises the maintenance interrupt, `EOI`; never with [`Self::is_hw`], where
    /// the bit belongs to `pINTID`.
    #[must_use]
    pub const fn has_eoi(self) -> bool {
        self.0 & EOI != 0 && !self.is_hw()
    }

    /// The priority, lower is more urgent.
    #[must_use]
    pub const fn priority(self) -> u8 {
        ((self.0 & PRIORITY_FIELD) >> PRIORITY_SHIFT) as u8
    }

    /// Whether it is in Group 1 (signalled as IRQ) and not in Group 0 (FIQ).
    #[must_use]
    pub const fn is_group1(self) -> bool {
        self.0 & GROUP1 != 0
    }

    /// Whether deactivation also deactivates the physical interrupt, `HW`.
    #[must_use]
    pub const fn is_hw(self) -> bool {
        self.0 & HW != 0
    }

    /// The state of the interrupt.
    #[must_use]
    pub const fn state(self) -> State {
        match (self.0 & STATE_MASK) >> STATE_SHIFT {
            0 => State::Inactive,
            1 => State::Pending,
            2 => State::Active,
            _ => State::PendingActive,
        }
    }

    /// Whether it holds an interrupt.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 & STATE_MASK != 0
    }

    /// This with `vINTID` replaced.
    #[must_use]
    pub const fn with_vintid(self, vintid: u32) -> Self {
        Self(self.0 & !VINTID_MASK | vintid as u64)
    }

    /// This linked to physical interrupt `pintid` (13 bits): `HW` set, no `EOI`.
    #[must_use]
    pub const fn with_link(self, pintid: u32) -> Self {
        let field = ((pintid as u64) << PINTID_SHIFT) & PINTID_MASK;
        Self(self.0 & !PINTID_MASK | HW | field)
    }

    /// This without a link; `EOI` says whether its end raises the maintenance interrupt.
    #[must_use]
    pub const fn without_link(self, eoi: bool) -> Self {
        let cleared = self.0 & !(HW | PINTID_MASK);
        Self(if eoi { cleared | EOI } else { cleared })
    }

    /// This with the priority replaced.
    #[must_use]
    pub const fn with_priority(self, priority: u8) -> Self {
        Self(self.0 & !PRIORITY_FIELD | (priority as u64) << PRIORITY_SHIFT)
    }

    /// This in Group 1, or Group 0.
    #[must_use]
    pub const fn with_group1(self, group1: bool) -> Self {
        Self(if group1 { self.0 | GROUP1 } else { self.0 & !GROUP1 })
    }

    /// This with the state replaced.
    #[must_use]
    pub const fn with_state(self, state: State) -> Self {
        let field = match state {
            State::Inactive => 0,
            State::Pending => 1,
            State::Active => 2,
            State::PendingActive => 3,
        };
        Self(self.0 & !STATE_MASK | field << STATE_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_architecture_puts_them() {
        let lr = ListRegister::EMPTY
            .with_vintid(27)
            .with_priority(0xa0)
            .with_group1(true)
            .with_state(State::Pending);
        assert_eq!(lr.0, 0x50a0_0000_0000_001b);
        assert_eq!(lr.with_link(30).0, 0x70a0_001e_0000_001b);
        assert_eq!(lr.without_link(true).0, 0x50a0_0200_0000_001b);
        assert_eq!(lr.with_state(State::PendingActive).0 >> 62, 3);
    }

    #[test]
    fn eoi_bit_of_a_linked_register_belongs_to_pintid() {
        let linked = ListRegister::EMPTY.with_link(0x1fff);
        assert!(!linked.has_eoi());
        assert_eq!(linked.pintid(), 0x1fff);
        assert_eq!(linked.without_link(false), ListRegister::EMPTY);
    }

    #[test]
    fn every_field_reads_back() {
        for state in [State::Inactive, State::Pending, State::Active, State::PendingActive] {
            let lr = ListRegister::EMPTY.with_vintid(u32::MAX).with_state(state);
            assert_eq!(lr.state(), state);
            assert_eq!(lr.vintid(), u32::MAX);
            assert_eq!(State::from_parts(state.is_pending(), state.is_active()), state);
            assert_eq!(lr.is_valid(), state != State::Inactive);
        }
    }
}
