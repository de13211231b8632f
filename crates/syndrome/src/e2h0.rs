//! The registers of an L1 without VHE, in the form the hardware runs them.
//!
//! With `E2H` = 0, EL2 has a stage 1 of one range of addresses and registers of
//! its own layout. L1's EL2 is EL1 to the hardware, so `TCR_EL2`, `SCTLR_EL2`,
//! `TTBR0_EL2` and `CPTR_EL2` are rewritten for it here; what the descriptors
//! mean is `HCR_EL2.NV1`'s to change (DDI 0487, "Enhanced nested virtualization
//! support": bit 54 is XN, `AP[1]` is ignored, `PAN` has no effect).
//!
//! L1's trap controls, on the other hand, are brought into the layout of `E2H` =
//! 1 as soon as they are known, so that everybody behind reads one layout.

use crate::{
    SysReg,
    regs::{cnthctl_el2, cpacr, cptr_el2, sctlr, tcr},
};

/// A field's lowest bit here and there, and its width.
type Move = (u32, u32, u32);

/// Fields of `TCR_EL2` and where `TCR_EL1` has them.
static TCR_FIELDS: [Move; 10] = [
    // T0SZ; IRGN0, ORGN0, SH0, TG0. EPD0 has no counterpart.
    (0, 0, 6),
    (8, 8, 8),
    // PS.
    (16, 32, 3),
    // TBI.
    (20, 37, 1),
    // HA, HD.
    (21, 39, 2),
    // HPD; the four HWU.
    (24, 41, 1),
    (25, 43, 4),
    // TBID.
    (29, 51, 1),
    // TCMA.
    (30, 57, 1),
    // DS.
    (32, 59, 1),
];

/// `TCR_EL1` for a `TCR_EL2`: the lower range as it is, and nothing in the upper one.
#[must_use]
pub fn tcr_el1(tcr_el2: u64) -> u64 {
    tcr::EPD1 | moved(tcr_el2, |(el2, el1, width)| (el2, el1, width))
}

/// `TCR_EL2` as L1 reads it: the inverse of [`tcr_el1`], with what is RES1.
#[must_use]
pub fn tcr_el2(tcr_el1: u64) -> u64 {
    1 << 31 | 1 << 23 | moved(tcr_el1, |(el2, el1, width)| (el1, el2, width))
}

/// The fields of `TCR_ELx` at their other places.
#[inline(never)]
fn moved(value: u64, direction: fn(Move) -> Move) -> u64 {
    TCR_FIELDS.iter().fold(0, |moved, field| {
        let (from, to, width) = direction(*field);
        moved | (value >> from & ((1 << width) - 1)) << to
    })
}

/// `SCTLR_EL2` out of reset: what is RES1; MMU and caches off.
pub const SCTLR_RESET: u64 = 0x30c5_0830;

/// `SCTLR_EL1` for a `SCTLR_EL2`. The layouts agree in all that concerns EL2; an exception does not set `PSTATE.PAN`.
#[must_use]
pub const fn sctlr_el1(sctlr_el2: u64) -> u64 {
    sctlr_el2 | sctlr::SPAN
}

/// `TTBR0_EL1` for a `TTBR0_EL2`, which has no ASID.
#[must_use]
pub const fn ttbr0_el1(ttbr0_el2: u64) -> u64 {
    ttbr0_el2 & 0x0000_ffff_ffff_ffff
}

/// `CPTR_EL2` in the layout of `E2H` = 1, which `CPACR_EL1` has too: traps at 1 become enables, and the rest moves.
#[must_use]
pub const fn cptr_as_vhe(cptr: u64) -> u64 {
    let mut value = 0;
    if cptr & cptr_el2::TFP == 0 {
        value |= cpacr::FPEN;
    }
    if cptr & cptr_el2::TZ == 0 {
        value |= cpacr::ZEN;
    }
    if cptr & cptr_el2::TSM == 0 {
        value |= cpacr::SMEN;
    }
    if cptr & cptr_el2::TTA != 0 {
        value |= cpacr::TTA;
    }
    value | cptr & (cpacr::TAM | cpacr::TCPAC)
}

/// The bits of `CNTHCTL_EL2` that both layouts have in the same place.
const CNTHCTL_COMMON: u64 = cnthctl_el2::EVNTEN
    | cnthctl_el2::EVNTDIR
    | cnthctl_el2::EVNTI
    | cnthctl_el2::ECV
    | cnthctl_el2::EL1TVT
    | cnthctl_el2::EL1TVCT
    | cnthctl_el2::EL1NVPCT
    | cnthctl_el2::EL1NVVCT
    | cnthctl_el2::EVNTIS;
/// What the enables for EL1 move by.
const CNTHCTL_SHIFT: u32 = cnthctl_el2::EL1PCTEN.trailing_zeros();
/// The enables for EL1 where `E2H` = 0 has them.
const CNTHCTL_ENABLES: u64 = cnthctl_el2::NVHE_EL1PCTEN | cnthctl_el2::NVHE_EL1PCEN;

/// `CNTHCTL_EL2` in the layout of `E2H` = 1.
#[must_use]
pub const fn cnthctl_as_vhe(cnthctl: u64) -> u64 {
    cnthctl & CNTHCTL_COMMON | (cnthctl & CNTHCTL_ENABLES) << CNTHCTL_SHIFT
}

/// The inverse of [`cnthctl_as_vhe`].
#[must_use]
pub const fn cnthctl_from_vhe(cnthctl: u64) -> u64 {
    cnthctl & CNTHCTL_COMMON | cnthctl >> CNTHCTL_SHIFT & CNTHCTL_ENABLES
}

/// The name under which an L1 with `E2H` = 1 does what `reg` does with `E2H` = 0; `None` if there is no such register then.
///
/// `CNT*_EL0` is its guest's timer, as `CNT*_EL02` is with VHE; no other name has an alias. `CONTEXTIDR_EL2` comes with
/// FEAT_Debugv8p2 as well, which L1 is shown.
#[must_use]
pub const fn with_vhe(reg: SysReg) -> Option<SysReg> {
    /// `op1` of the `_EL12` and `_EL02` names.
    const ALIAS: u8 = 5;
    Some(match reg {
        SysReg::CNTP_CTL_EL0 => SysReg::CNTP_CTL_EL02,
        SysReg::CNTP_CVAL_EL0 => SysReg::CNTP_CVAL_EL02,
        SysReg::CNTP_TVAL_EL0 => SysReg::CNTP_TVAL_EL02,
        SysReg::CNTV_CTL_EL0 => SysReg::CNTV_CTL_EL02,
        SysReg::CNTV_CVAL_EL0 => SysReg::CNTV_CVAL_EL02,
        SysReg::CNTV_TVAL_EL0 => SysReg::CNTV_TVAL_EL02,
        SysReg::TTBR1_EL2 => return None,
        SysReg::CNTHV_CTL_EL2 | SysReg::CNTHV_CVAL_EL2 | SysReg::CNTHV_TVAL_EL2 => return None,
        _ if reg.op0() == 3 && reg.op1() == ALIAS => return None,
        _ => reg,
    })
}

/// What an instruction of L1's, named as with VHE, does with the value of its register: a `TLBI` of EL2 has no ASID.
#[must_use]
pub const fn operand(instruction: SysReg, value: u64) -> u64 {
    const TLBI_CRN: u8 = 8;
    const OF_EL2: u8 = 4;
    const ASID: u64 = 0xffff << 48;
    let has_none = instruction.is_instruction() && instruction.crn() == TLBI_CRN && instruction.op1() == OF_EL2;
    if has_none { value & !ASID } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge;
    use proptest::prelude::*;

    #[test]
    fn tcr_of_linux_is_rewritten_field_by_field() {
        // RES1 | TBI | PS 48 bits | 4K | inner shareable | write-back | 48 bits of address.
        let el2 = 1 << 31 | 1 << 23 | 1 << 20 | 5 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | 16;
        let el1 = tcr::EPD1 | tcr::TBI0 | 5 << 32 | 3 << 12 | 1 << 10 | 1 << 8 | 16;
        assert_eq!(tcr_el1(el2), el1);
        let bits = 1 << 21 | 1 << 22 | 1 << 24 | 1 << 25 | 1 << 28 | 1 << 29 | 1 << 30;
        let moved = tcr::HA | tcr::HD | tcr::HPD0 | tcr::HWU059 | tcr::HWU062 | tcr::TBID0 | tcr::TCMA0;
        assert_eq!(tcr_el1(bits), tcr::EPD1 | moved);
    }

    #[test]
    fn all_of_sctlr_counts_and_ttbr_has_no_asid() {
        assert_eq!(sctlr_el1(!sctlr::SPAN), u64::MAX);
        assert_eq!(sctlr_el1(SCTLR_RESET), SCTLR_RESET | sctlr::SPAN);
        assert_eq!(ttbr0_el1(u64::MAX), u64::MAX >> 16);
    }

    #[test]
    fn classic_traps_become_enables() {
        let open = cpacr::FPEN | cpacr::ZEN | cpacr::SMEN;
        assert_eq!(cptr_as_vhe(cptr_el2::RES1), open);
        assert_eq!(cptr_as_vhe(cptr_el2::TFP), open & !cpacr::FPEN);
        let all = cptr_el2::TTA | cptr_el2::TAM | cptr_el2::TCPAC;
        assert_eq!(cptr_as_vhe(all) & !open, cpacr::TTA | cpacr::TAM | cpacr::TCPAC);
    }

    #[test]
    fn timer_enables_move_and_the_rest_stays() {
        assert_eq!(cnthctl_as_vhe(0b11), cnthctl_el2::EL1PCTEN | cnthctl_el2::EL1PTEN);
        assert_eq!(cnthctl_as_vhe(cnthctl_el2::EL1TVT), cnthctl_el2::EL1TVT);
        assert_eq!(cnthctl_as_vhe(cnthctl_el2::EL0PTEN), 0);
    }

    #[test]
    fn names_that_vhe_brings_do_not_exist() {
        for reg in [
            SysReg::SCTLR_EL12,
            SysReg::CNTKCTL_EL12,
            SysReg::CNTV_CTL_EL02,
            SysReg::CNTHV_CTL_EL2,
            SysReg::TTBR1_EL2,
        ] {
            assert_eq!(with_vhe(reg), None, "{reg}");
        }
        assert_eq!(with_vhe(SysReg::CNTV_CTL_EL0), Some(SysReg::CNTV_CTL_EL02));
        for reg in [
            SysReg::TCR_EL2,
            SysReg::CONTEXTIDR_EL2,
            SysReg::CNTHP_CTL_EL2,
            SysReg::TLBI_VAE2IS,
            SysReg::ICC_SRE_EL2,
        ] {
            assert_eq!(with_vhe(reg), Some(reg));
        }
    }

    #[test]
    fn a_tlbi_of_el2_has_no_asid() {
        assert_eq!(operand(SysReg::TLBI_VAE2IS, u64::MAX), u64::MAX >> 16);
        assert_eq!(operand(SysReg::TLBI_VAE1IS, u64::MAX), u64::MAX);
        assert_eq!(operand(SysReg::TTBR0_EL2, u64::MAX), u64::MAX);
    }

    proptest! {
        /// Nothing L1 writes opens the upper range, and no field reaches another one's place.
        #[test]
        fn upper_range_stays_closed(tcr_el2: u64) {
            let upper = tcr::T1SZ | tcr::A1 | tcr::IRGN1 | tcr::ORGN1 | tcr::SH1 | tcr::TG1 | tcr::TBI1 | tcr::HPD1;
            prop_assert_eq!(tcr_el1(tcr_el2) & (upper | tcr::AS | tcr::EPD0), 0);
            prop_assert_eq!(tcr_el1(tcr_el2) & tcr::EPD1, tcr::EPD1);
        }

        /// What L1 traps in either layout is what the hardware, whose layout is L1's own here, traps.
        #[test]
        fn cptr_says_the_same_in_both_layouts(cptr: u64) {
            let traps = cptr_el2::TFP | cptr_el2::TZ | cptr_el2::TSM | cptr_el2::TTA | cptr_el2::TAM | cptr_el2::TCPAC;
            prop_assert_eq!(merge::cptr_for_nested(0, cptr_as_vhe(cptr)), cptr & traps);
        }

        #[test]
        fn tcr_comes_back_as_it_was_written(tcr_el2: u64) {
            let read = super::tcr_el2(tcr_el1(tcr_el2));
            let defined = 1 << 32 | 0x7f77_ff3f;
            prop_assert_eq!(read & defined, tcr_el2 & defined);
            prop_assert_eq!(read & !defined, 1 << 31 | 1 << 23);
        }

        #[test]
        fn cnthctl_comes_back_as_it_was_written(cnthctl: u64) {
            let defined = CNTHCTL_COMMON | CNTHCTL_ENABLES;
            prop_assert_eq!(cnthctl_from_vhe(cnthctl_as_vhe(cnthctl)), cnthctl & defined);
        }
    }
}
