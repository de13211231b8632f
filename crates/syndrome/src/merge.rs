//! The controls that are in force while a guest of L1 runs.
//!
//! The hardware has one `HCR_EL2`, `HCRX_EL2`, `MDCR_EL2`, `CPTR_EL2`, `CNTHCTL_EL2`, and
//! during a nested context both hypervisors have a claim on it: L0 keeps L1's
//! guest contained, L1 expects the traps it asked for. The rule is the same for
//! all: a trap either of them wants is taken, and *L0 sorts out whose it was*
//! ([`forward`](crate::forward)). Hence
//!
//! - a control that traps when **1** is the OR of both;
//! - a control that traps when **0** (an enable) is the AND;
//! - a control that changes what the guest *is*, or how L0's own tables are
//!   read, is L0's alone.
//!
//! L1 writes these registers into the VNCR page unseen and unchecked, so its
//! value is untrusted: only the bits listed here are ever taken from it.
//!
//! gnomon runs with `HCR_EL2.E2H` = 0, L1 is a VHE hypervisor: the layouts of
//! `CPTR_EL2` and `CNTHCTL_EL2` differ and are converted.

use crate::regs::{cnthctl_el2, cpacr, cptr_el2, hcr_el2, hcrx_el2, ich_hcr_el2, mdcr_el2};

/// Bits of `HCR_EL2` L1 may add for its guest: traps, virtual interrupts, and
/// what its guest's own translations and barriers do.
///
/// Left out: the routing and stage 2 bits L0 always sets (`VM`, `IMO`, ..),
/// `FWB` (it says how L0's tables are read, not L1's), `E2H` (it would make the
/// guest another level, without a stage 2), and the controls of features that are hidden
/// from L1 (`TWEDEn`, `FIEN`, `ATA`, `DCT`, `TID5`, `AMVOFFEN`, `TME`, `GPF`). `NV`
/// and `NV1` have a rule of their own.
///
/// With `TGE`, which without `E2H` leaves stage 2 in force, the guest is an EL0
/// alone ([`check_eret`](crate::exception::check_eret)): its stage 1 is off, and
/// what EL1 would take comes to L0, which gives it to L1.
pub const HCR_FROM_L1: u64 = hcr_el2::SWIO
    | hcr_el2::PTW
    | hcr_el2::VF
    | hcr_el2::VI
    | hcr_el2::VSE
    | hcr_el2::FB
    | hcr_el2::BSU
    | hcr_el2::DC
    | hcr_el2::TWI
    | hcr_el2::TWE
    | hcr_el2::TID0
    | hcr_el2::TID1
    | hcr_el2::TID2
    | hcr_el2::TID3
    | hcr_el2::TSC
    | hcr_el2::TIDCP
    | hcr_el2::TACR
    | hcr_el2::TSW
    | hcr_el2::TPCP
    | hcr_el2::TPU
    | hcr_el2::TTLB
    | hcr_el2::TVM
    | hcr_el2::TGE
    | hcr_el2::TDZ
    | hcr_el2::TRVM
    | hcr_el2::CD
    | hcr_el2::ID
    | hcr_el2::TLOR
    | hcr_el2::TERR
    | hcr_el2::TEA
    | hcr_el2::AT
    | hcr_el2::TID4
    | hcr_el2::TICAB
    | hcr_el2::TOCU
    | hcr_el2::TTLBIS
    | hcr_el2::TTLBOS;

/// What L1 makes pending for its guest, each three bits above what routes its kind.
const VIRTUAL_INTERRUPTS: u64 = hcr_el2::VF | hcr_el2::VI | hcr_el2::VSE;

/// Bits of `HCR_EL2` that trap when 0.
pub const HCR_ENABLES: u64 = hcr_el2::API | hcr_el2::APK | hcr_el2::EnSCXT;

/// Bits of `HCR_EL2` that must never be set while a nested context runs.
const HCR_NEVER: u64 = hcr_el2::E2H | hcr_el2::HCD;

/// Traps of `MDCR_EL2` L1 may add for its guest.
pub const MDCR_FROM_L1: u64 = mdcr_el2::TDE
    | mdcr_el2::TDA
    | mdcr_el2::TDOSA
    | mdcr_el2::TDRA
    | mdcr_el2::TPM
    | mdcr_el2::TPMCR
    | mdcr_el2::TTRF
    | mdcr_el2::TPMS
    | mdcr_el2::TDCC;

/// Bits of `HCRX_EL2` L1 may add for its guest.
const HCRX_FROM_L1: u64 = hcrx_el2::FnXS | hcrx_el2::FGTnXS | hcrx_el2::MCE2;

/// Bits of `HCRX_EL2` that trap, or make undefined, when 0.
pub const HCRX_ENABLES: u64 = hcrx_el2::MSCEn;

/// Traps of `CNTHCTL_EL2` L1 may add for its guest, the same in both layouts.
const CNTHCTL_FROM_L1: u64 = cnthctl_el2::EL1TVT | cnthctl_el2::EL1TVCT | cnthctl_el2::EL1NVPCT | cnthctl_el2::EL1NVVCT;

/// Bits of `ICH_HCR_EL2` that trap.
pub const ICH_HCR_TRAPS: u64 = ich_hcr_el2::TC | ich_hcr_el2::TALL0 | ich_hcr_el2::TALL1 | ich_hcr_el2::TDIR;

/// `HCR_EL2` for a nested context.
///
/// `l0` is what L0 wants for any guest below vEL2 (`VM`, `RW`, routing, its own
/// traps and the enables it can offer); `l1` the raw value from the VNCR page.
/// `HCD` is dropped: an `HVC` of the guest must reach L0, which then finds L1's
/// `HCD` and answers UNDEFINED.
#[must_use]
pub const fn hcr_for_nested(l0: u64, l1: u64) -> u64 {
    // VF, VI and VSE are signalled with FMO, IMO and AMO, which are set for L0's sake.
    let unrouted = VIRTUAL_INTERRUPTS & !((l1 & (hcr_el2::FMO | hcr_el2::IMO | hcr_el2::AMO)) << 3);
    let mut traps = l0 | (l1 & HCR_FROM_L1 & !unrouted);
    // L1's guest is a hypervisor. L1 is shown FEAT_NV2 alone, which has no NV without NV2.
    if l1 & hcr_el2::NV != 0 {
        traps |= hcr_el2::NV | hcr_el2::NV2 | l1 & hcr_el2::NV1;
    }
    let denied = HCR_ENABLES & !l1;
    traps & !denied & !HCR_NEVER
}

/// `HCRX_EL2` for a nested context.
#[must_use]
pub const fn hcrx_for_nested(l0: u64, l1: u64) -> u64 {
    let denied = HCRX_ENABLES & !l1;
    (l0 | l1 & HCRX_FROM_L1) & !denied
}

/// `MDCR_EL2` for a nested context: L0's, plus L1's traps. What is about the
/// counters is in L0's, from [`crate::pmu::hardware_mdcr`].
#[must_use]
pub const fn mdcr_for_nested(l0: u64, l1: u64) -> u64 {
    l0 | (l1 & MDCR_FROM_L1)
}

/// `CPTR_EL2` for a nested context: `l0` and the result in the layout of `E2H` =
/// 0, `l1` in that of `E2H` = 1.
///
/// Of L1's two-bit enables only bit 0 counts: it is the trap of EL1 and EL0.
/// 0b01, "EL0 only", is about `TGE` = 1, never the case below vEL2.
#[must_use]
pub const fn cptr_for_nested(l0: u64, l1: u64) -> u64 {
    l0 | cptr_from_vhe(l1)
}

/// The traps of a `CPTR_EL2` in the layout of `E2H` = 1, in that of `E2H` = 0,
/// without RES1 bits.
#[must_use]
pub const fn cptr_from_vhe(cptr: u64) -> u64 {
    let mut traps = cptr & (cptr_el2::TCPAC | cptr_el2::TAM);
    if cptr & cpacr::TTA != 0 {
        traps |= cptr_el2::TTA;
    }
    if !is_enabled(cptr, cpacr::FPEN) {
        traps |= cptr_el2::TFP;
    }
    if !is_enabled(cptr, cpacr::ZEN) {
        traps |= cptr_el2::TZ;
    }
    if !is_enabled(cptr, cpacr::SMEN) {
        traps |= cptr_el2::TSM;
    }
    traps
}

/// Whether a two-bit enable of the VHE layout lets EL1 and EL0 through (`TGE` =
/// 0): its lower bit. `field` is the field's mask.
#[must_use]
pub const fn is_enabled(cptr: u64, field: u64) -> bool {
    // The lowest bit set in the mask.
    cptr & field & field.wrapping_neg() != 0
}

/// `CNTHCTL_EL2` for a nested context: `l0` and the result in the layout of
/// `E2H` = 0, `l1` in that of `E2H` = 1.
///
/// L1's enables of EL0 and its event stream belong to its own host context and
/// are not taken.
#[must_use]
pub const fn cnthctl_for_nested(l0: u64, l1: u64) -> u64 {
    let mut denied = 0;
    if l1 & cnthctl_el2::EL1PCTEN == 0 {
        denied |= cnthctl_el2::NVHE_EL1PCTEN;
    }
    if l1 & cnthctl_el2::EL1PTEN == 0 {
        denied |= cnthctl_el2::NVHE_EL1PCEN;
    }
    (l0 & !denied) | (l1 & CNTHCTL_FROM_L1)
}

/// What L1 has in the registers that are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// `HCR_EL2`
    pub hcr: u64,
    /// `HCRX_EL2`
    pub hcrx: u64,
    /// `MDCR_EL2`
    pub mdcr: u64,
    /// `CPTR_EL2`, in the layout of `E2H` = 1.
    pub cptr: u64,
    /// `CNTHCTL_EL2`, in the layout of `E2H` = 1.
    pub cnthctl: u64,
}

/// The registers of the hardware for a nested context, in the layout of `E2H` = 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// `HCR_EL2`
    pub hcr: u64,
    /// `HCRX_EL2`
    pub hcrx: u64,
    /// `MDCR_EL2`
    pub mdcr: u64,
    /// `CPTR_EL2`
    pub cptr: u64,
    /// `CNTHCTL_EL2`
    pub cnthctl: u64,
}

impl Controls {
    /// The controls of `l0` merged with the claims of L1.
    #[must_use]
    pub const fn merged(l0: &Self, l1: &Claims) -> Self {
        Self {
            hcr: hcr_for_nested(l0.hcr, l1.hcr),
            hcrx: hcrx_for_nested(l0.hcrx, l1.hcrx),
            mdcr: mdcr_for_nested(l0.mdcr, l1.mdcr),
            cptr: cptr_for_nested(l0.cptr, l1.cptr),
            cnthctl: cnthctl_for_nested(l0.cnthctl, l1.cnthctl),
        }
    }
}

/// Controls as they were merged last, with the claims they were made from. L1 changes these without being seen, but seldom:
/// to compare them takes less than to merge them.
#[derive(Clone, Copy, Debug)]
pub struct LastMerged {
    from: Claims,
    to: Controls,
}

impl LastMerged {
    /// With no claim of L1's.
    #[must_use]
    pub const fn new(l0: &Controls) -> Self {
        let from = Claims {
            hcr: 0,
            hcrx: 0,
            mdcr: 0,
            cptr: 0,
            cnthctl: 0,
        };
        Self {
            to: Controls::merged(l0, &from),
            from,
        }
    }

    /// [`Controls::merged`]. `l0` is always the same.
    #[inline(always)]
    pub fn merged(&mut self, l0: &Controls, l1: &Claims) -> &Controls {
        if self.from != *l1 {
            self.merge(l0, l1);
        }
        &self.to
    }

    #[cold]
    fn merge(&mut self, l0: &Controls, l1: &Claims) {
        *self = Self {
            from: *l1,
            to: Controls::merged(l0, l1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const L0: u64 = hcr_el2::VM | hcr_el2::RW | hcr_el2::IMO | hcr_el2::FMO | hcr_el2::AMO | hcr_el2::TSC | HCR_ENABLES;

    #[test]
    fn traps_are_ored_and_enables_anded() {
        let l1 = hcr_el2::TVM | hcr_el2::TWI | hcr_el2::API;
        let merged = hcr_for_nested(L0, l1);
        assert_eq!(merged & (hcr_el2::TVM | hcr_el2::TWI), hcr_el2::TVM | hcr_el2::TWI);
        assert_eq!(merged & HCR_ENABLES, hcr_el2::API);
    }

    #[test]
    fn enable_l0_lacks_is_not_given_by_l1() {
        assert_eq!(hcr_for_nested(hcr_el2::VM, u64::MAX) & HCR_ENABLES, 0);
    }

    #[test]
    fn format_of_the_tables_is_l0s() {
        assert_eq!(hcr_for_nested(L0, hcr_el2::FWB) & hcr_el2::FWB, 0);
        let with = hcr_for_nested(L0 | hcr_el2::FWB, 0);
        assert_eq!(with & hcr_el2::FWB, hcr_el2::FWB);
    }

    #[test]
    fn l1_may_route_all_of_el0_to_el2_and_never_have_another_regime() {
        let hcr = hcr_for_nested(L0, hcr_el2::TGE | hcr_el2::E2H);
        assert_eq!(hcr, L0 & !HCR_ENABLES | hcr_el2::TGE);
        assert_eq!(hcr & hcr_el2::VM, hcr_el2::VM);
    }

    #[test]
    fn a_virtual_interrupt_is_pending_where_l1_takes_its_kind() {
        for (pending, routed) in [
            (hcr_el2::VF, hcr_el2::FMO),
            (hcr_el2::VI, hcr_el2::IMO),
            (hcr_el2::VSE, hcr_el2::AMO),
        ] {
            assert_eq!(
                hcr_for_nested(L0, VIRTUAL_INTERRUPTS | routed) & VIRTUAL_INTERRUPTS,
                pending
            );
        }
        assert_eq!(hcr_for_nested(L0, VIRTUAL_INTERRUPTS) & VIRTUAL_INTERRUPTS, 0);
    }

    #[test]
    fn broadcasts_that_l1_forces_are_forced() {
        let l1 = hcr_el2::FB | hcr_el2::BSU;
        assert_eq!(hcr_for_nested(L0, l1) & l1, l1);
        assert_eq!(hcr_for_nested(L0, 0) & l1, 0);
    }

    #[test]
    fn what_a_guests_own_translations_and_aborts_do_is_l1s() {
        for bit in [hcr_el2::DC, hcr_el2::PTW, hcr_el2::SWIO, hcr_el2::TEA] {
            assert_eq!(hcr_for_nested(L0, bit) & bit, bit);
            assert_eq!(hcr_for_nested(L0, 0) & bit, 0);
        }
    }

    #[test]
    fn timers_of_a_guest_of_the_guest_trap_by_their_kind() {
        for bit in [cnthctl_el2::EL1NVPCT, cnthctl_el2::EL1NVVCT] {
            assert_eq!(cnthctl_for_nested(0, bit), bit);
        }
    }

    #[test]
    fn hvc_disable_of_l1_never_reaches_the_hardware() {
        assert_eq!(hcr_for_nested(L0, hcr_el2::HCD) & hcr_el2::HCD, 0);
    }

    #[test]
    fn vhe_enables_become_traps() {
        let none = cptr_el2::TFP | cptr_el2::TZ | cptr_el2::TSM;
        assert_eq!(cptr_from_vhe(0), none);
        assert_eq!(cptr_from_vhe(0b10 << 20), none);
        assert_eq!(cptr_from_vhe(0b01 << 20), none & !cptr_el2::TFP);
        assert_eq!(cptr_from_vhe(cpacr::FPEN | cpacr::ZEN | cpacr::SMEN), 0);
        let traps = cptr_from_vhe(cpacr::TTA | cpacr::TCPAC | cpacr::TAM);
        assert_eq!(traps, none | cptr_el2::TTA | cptr_el2::TCPAC | cptr_el2::TAM);
    }

    #[test]
    fn physical_timer_enables_move_down_to_bits_zero_and_one() {
        let l0 = cnthctl_el2::NVHE_EL1PCTEN | cnthctl_el2::NVHE_EL1PCEN;
        assert_eq!(cnthctl_for_nested(l0, 0b11), 0);
        assert_eq!(cnthctl_for_nested(l0, cnthctl_el2::EL1PTEN), cnthctl_el2::NVHE_EL1PCEN);
        assert_eq!(cnthctl_for_nested(0, u64::MAX) & l0, 0);
    }

    #[test]
    fn event_stream_and_offset_of_l1_are_not_taken() {
        let l1 = cnthctl_el2::EVNTEN | cnthctl_el2::ECV | cnthctl_el2::EL1TVT;
        assert_eq!(cnthctl_for_nested(0, l1), cnthctl_el2::EL1TVT);
    }

    #[test]
    fn counters_stay_with_l0() {
        assert_eq!(mdcr_for_nested(6, u64::MAX), 6 | MDCR_FROM_L1);
    }

    const L0_CONTROLS: Controls = Controls {
        hcr: L0,
        hcrx: HCRX_ENABLES,
        mdcr: mdcr_el2::TPM,
        cptr: cptr_el2::RES1,
        cnthctl: cnthctl_el2::NVHE_EL1PCTEN | cnthctl_el2::NVHE_EL1PCEN,
    };

    proptest! {
        /// A change of one bit of any of the claims, too.
        #[test]
        fn what_was_merged_last_is_never_stale(claims: [u64; 5], bits in prop::collection::vec(0_usize..320, 1..20)) {
            let mut last = LastMerged::new(&L0_CONTROLS);
            let mut claims = claims;
            for bit in bits {
                claims[bit / 64] ^= 1 << (bit % 64);
                let [hcr, hcrx, mdcr, cptr, cnthctl] = claims;
                let l1 = Claims { hcr, hcrx, mdcr, cptr, cnthctl };
                prop_assert_eq!(*last.merged(&L0_CONTROLS, &l1), Controls::merged(&L0_CONTROLS, &l1));
                prop_assert_eq!(*last.merged(&L0_CONTROLS, &l1), Controls::merged(&L0_CONTROLS, &l1));
            }
        }

        /// Whatever L1 writes: it stays contained, and L0 keeps its traps.
        #[test]
        fn no_value_of_l1_escapes(l1: u64) {
            let hcr = hcr_for_nested(L0, l1);
            prop_assert_eq!(hcr & HCR_NEVER, 0);
            prop_assert_eq!(hcr & L0 | HCR_ENABLES, L0);
            prop_assert_eq!(hcr & !(L0 | HCR_FROM_L1 | hcr_el2::NV | hcr_el2::NV1 | hcr_el2::NV2), 0);
            prop_assert_eq!(hcr & hcr_el2::NV != 0, hcr & hcr_el2::NV2 != 0);
            prop_assert_eq!(hcr & hcr_el2::NV, l1 & hcr_el2::NV);
            prop_assert_eq!(hcr & hcr_el2::NV1 != 0, l1 & hcr_el2::NV1 != 0 && l1 & hcr_el2::NV != 0);
            const CPTR_TRAPS: u64 = cptr_el2::TFP
                | cptr_el2::TZ
                | cptr_el2::TSM
                | cptr_el2::TTA
                | cptr_el2::TCPAC
                | cptr_el2::TAM;
            let merged = Controls::merged(&L0_CONTROLS, &Claims { hcr: l1, hcrx: l1, mdcr: l1, cptr: l1, cnthctl: l1 });
            prop_assert_eq!((merged.cptr ^ L0_CONTROLS.cptr) & !CPTR_TRAPS, 0);
            prop_assert_eq!((merged.mdcr ^ L0_CONTROLS.mdcr) & !MDCR_FROM_L1, 0);
            prop_assert_eq!(merged.hcrx, l1 & (HCRX_FROM_L1 | HCRX_ENABLES));
            let cnthctl = CNTHCTL_FROM_L1 | cnthctl_el2::NVHE_EL1PCTEN | cnthctl_el2::NVHE_EL1PCEN;
            prop_assert_eq!((merged.cnthctl ^ L0_CONTROLS.cnthctl) & !cnthctl, 0);
            prop_assert_eq!(merged.mdcr & L0_CONTROLS.mdcr, L0_CONTROLS.mdcr);
            prop_assert_eq!(merged.cptr & L0_CONTROLS.cptr, L0_CONTROLS.cptr);
        }
    }
}
