//! The performance monitors' filters.
//!
//! L1's virtual EL2 is the hardware's EL1. What L1 says of EL2 in a filter (`NSH`, and `HPMD` and `HCCD` of its `MDCR_EL2`)
//! is therefore what the hardware is told of EL1 (`P`) while L1 runs, and what L1 says of EL1 is that while its guest
//! runs. Of L0's own EL2 nothing is ever counted. (DDI 0487, `PMEVTYPER<n>_EL0`, `PMCCFILTR_EL0`.)

use crate::{SysReg, esr::SysRegTrap, regs::mdcr_el2, sysreg::Feature};

/// The number of the cycle counter, in masks and in `PMSELR_EL0`.
pub const CYCLES: u32 = 31;

/// EL1 is not counted.
const P: u64 = 1 << 31;
/// EL0 is not counted.
const U: u64 = 1 << 30;
/// EL2 is counted.
const NSH: u64 = 1 << 27;
/// The event; there is none for cycles.
const EVENT: u64 = 0xffff;

/// The bits of a filter that L1 has. Those about Secure state and EL3 are RES0.
const KEPT: u64 = P | U | NSH | EVENT;

/// What L1 finds in a filter that it wrote `value` to.
#[must_use]
pub const fn kept(value: u64) -> u64 {
    value & KEPT
}

/// The hardware's filter of counter `number` for L1's `filter` and `MDCR_EL2`, while L1 runs (`is_host`) or its guest.
#[must_use]
pub const fn hardware_filter(filter: u64, number: u32, mdcr: u64, is_host: bool) -> u64 {
    let is_excluded = if is_host {
        filter & NSH == 0 || is_prohibited(number, mdcr)
    } else {
        filter & P != 0
    };
    filter & (U | EVENT) | if is_excluded { P } else { 0 }
}

/// Whether a filter of the hardware's lets EL0 or EL1 count.
#[must_use]
pub const fn counts(hardware_filter: u64, is_el0: bool) -> bool {
    hardware_filter & if is_el0 { U } else { P } == 0
}

/// The filter that lets EL2 count as well, for what L0 does on somebody's behalf.
#[must_use]
pub const fn with_el2(hardware_filter: u64) -> u64 {
    hardware_filter | NSH
}

/// Whether L1's `MDCR_EL2` keeps the counter from counting at its EL2.
const fn is_prohibited(number: u32, mdcr: u64) -> bool {
    if number == CYCLES {
        mdcr & mdcr_el2::HCCD != 0
    } else {
        mdcr & mdcr_el2::HPMD != 0 && (number as u64) < mdcr & mdcr_el2::HPMN
    }
}

/// What of L1's `MDCR_EL2` is the hardware's too: whose the counters are, and whether L1's own run and how long they are.
/// `counters` is how many the hardware has.
#[must_use]
pub const fn hardware_mdcr(mdcr: u64, counters: u64) -> u64 {
    let wanted = mdcr & mdcr_el2::HPMN;
    let hpmn = if wanted < counters { wanted } else { counters };
    hpmn | mdcr & (mdcr_el2::HPME | mdcr_el2::HLP)
}

/// Those counters that a guest has of `hpmn`, one bit each, and the cycle counter.
#[must_use]
pub const fn guest_counters(hpmn: u64) -> u64 {
    1 << CYCLES | ((1 << (hpmn & mdcr_el2::HPMN)) - 1)
}

/// A register of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexed {
    /// `PMEVCNTR<n>_EL0`
    Counter(u32),
    /// `PMEVTYPER<n>_EL0`, `PMCCFILTR_EL0`
    Filter(u32),
}

/// The counter whose register has its number in its encoding.
#[must_use]
pub const fn indexed(reg: SysReg) -> Option<Indexed> {
    if !reg.is_within(SysReg::PMEVCNTR0_EL0, SysReg::PMCCFILTR_EL0) {
        return None;
    }
    let number = (reg.crm() as u32 & 3) << 3 | reg.op2() as u32;
    Some(if reg.crm() < SysReg::PMEVTYPER0_EL0.crm() {
        Indexed::Counter(number)
    } else {
        Indexed::Filter(number)
    })
}

/// Whether this is a register of the counters that EL0 has by `PMUSERENR_EL0` (DDI 0487, "`PMUSERENR_EL0`").
#[must_use]
pub fn is_open_to_el0(SysRegTrap { reg, is_read, .. }: SysRegTrap, userenr: u64) -> bool {
    const EN: u64 = 1 << 0;
    const SW: u64 = 1 << 1;
    const CR: u64 = 1 << 2;
    const ER: u64 = 1 << 3;
    let sufficient = match (reg, is_read) {
        (SysReg::PMUSERENR_EL0, true) => return true,
        (SysReg::PMSWINC_EL0, false) => EN | SW,
        (SysReg::PMCCNTR_EL0, true) => EN | CR,
        (SysReg::PMSELR_EL0, _) | (SysReg::PMXEVCNTR_EL0, true) => EN | ER,
        (_, true) if matches!(indexed(reg), Some(Indexed::Counter(_))) => EN | ER,
        _ if reg.row().feature == Feature::Pmu => EN,
        _ => 0,
    };
    userenr & sufficient != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encodings_are_counters_by_number() {
        assert_eq!(indexed(SysReg::PMEVCNTR0_EL0), Some(Indexed::Counter(0)));
        assert_eq!(indexed(SysReg::PMEVCNTR30_EL0), Some(Indexed::Counter(30)));
        assert_eq!(indexed(SysReg::PMEVTYPER9_EL0), Some(Indexed::Filter(9)));
        assert_eq!(indexed(SysReg::PMCCFILTR_EL0), Some(Indexed::Filter(CYCLES)));
        assert_eq!(indexed(SysReg::PMCR_EL0), None);
    }

    #[test]
    fn el0_has_what_a_bit_says_and_nothing_that_is_no_counters() {
        let open_by = |reg, is_read| {
            let is_open = |userenr| is_open_to_el0(SysRegTrap { reg, rt: 0, is_read }, userenr);
            (0..4).fold(0, |bits, bit| bits | u32::from(is_open(1 << bit)) << bit)
        };
        assert_eq!(open_by(SysReg::PMCNTENSET_EL0, true), 0b0001);
        assert_eq!(open_by(SysReg::PMSWINC_EL0, false), 0b0011);
        assert_eq!(open_by(SysReg::PMCCNTR_EL0, true), 0b0101);
        assert_eq!(open_by(SysReg::PMCCNTR_EL0, false), 0b0001);
        assert_eq!(open_by(SysReg::PMSELR_EL0, false), 0b1001);
        assert_eq!(open_by(SysReg::PMEVCNTR3_EL0, true), 0b1001);
        assert_eq!(open_by(SysReg::PMEVTYPER3_EL0, true), 0b0001);
        assert_eq!(open_by(SysReg::PMUSERENR_EL0, true), 0b1111);
        assert_eq!(open_by(SysReg::CTR_EL0, true), 0);
    }

    #[test]
    fn l1s_el2_is_the_hardwares_el1() {
        // L1 counts its own EL2 and not EL1.
        assert_eq!(hardware_filter(P | NSH | 8, 0, 6, true), 8);
        assert_eq!(hardware_filter(P | NSH | 8, 0, 6, false), P | 8);
        // As reset leaves it: EL1 and EL0, not EL2.
        assert_eq!(hardware_filter(U | 8, 0, 6, true), P | U | 8);
        assert_eq!(hardware_filter(U | 8, 0, 6, false), U | 8);
    }

    #[test]
    fn counting_at_el2_is_prohibited_below_hpmn_and_for_cycles_apart() {
        let mdcr = 4 | mdcr_el2::HPMD;
        let counts = |number, mdcr| hardware_filter(NSH, number, mdcr, true) & P == 0;
        assert!(!counts(3, mdcr) && counts(4, mdcr) && counts(CYCLES, mdcr));
        assert!(counts(3, mdcr_el2::HCCD | 4) && !counts(CYCLES, mdcr_el2::HCCD | 4));
    }

    #[test]
    fn a_guest_has_the_counters_below_hpmn() {
        assert_eq!(guest_counters(0), 1 << 31);
        assert_eq!(guest_counters(6), 1 << 31 | 0x3f);
        assert_eq!(guest_counters(31), u64::from(u32::MAX));
    }

    #[test]
    fn l1s_own_counters_run_and_are_long_as_it_says() {
        for bit in [mdcr_el2::HPME, mdcr_el2::HLP] {
            assert_eq!(hardware_mdcr(bit | 3, 6), bit | 3);
        }
    }

    proptest! {
        /// Whatever L1 writes, its counters never count L0, and L0's traps are not its to change.
        #[test]
        fn nothing_of_l0_is_counted(filter: u64, mdcr: u64, number in 0..32_u32, is_host: bool) {
            prop_assert_eq!(hardware_filter(filter, number, mdcr, is_host) & !(P | U | EVENT), 0);
            let hardware = hardware_mdcr(mdcr, 6);
            prop_assert_eq!(hardware & !(mdcr_el2::HPMN | mdcr_el2::HPME | mdcr_el2::HLP), 0);
            prop_assert!(hardware & mdcr_el2::HPMN <= 6);
        }
    }
}
