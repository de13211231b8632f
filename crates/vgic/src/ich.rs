//! Registers of the virtual CPU interface that L1 builds for its guest, computed from the ones it
//! keeps in its VNCR page.
//!
//! Under FEAT_NV2 `ICH_HCR_EL2`, `ICH_VMCR_EL2`, the active priorities and the list registers are
//! memory that L1 writes without an exit; the status registers and `ICH_VTR_EL2` trap. No value in
//! the page can be trusted, and none needs to be: everything here is total.

use crate::lr::State;
use crate::{IchRegister, Interface, ListRegister, MAX_LIST_REGISTERS, hcr, vmcr};

/// `ICH_MISR_EL2.EOI`: a list register asked for it at its end.
pub const MISR_EOI: u64 = 1 << 0;
/// `ICH_MISR_EL2.U`: at most one list register is valid.
pub const MISR_U: u64 = 1 << 1;
/// `ICH_MISR_EL2.LRENP`: an interrupt ended that was in no list register.
pub const MISR_LRENP: u64 = 1 << 2;
/// `ICH_MISR_EL2.NP`: no list register is in the pending state.
pub const MISR_NP: u64 = 1 << 3;
/// `ICH_MISR_EL2.VGrp0E`: Group 0 is enabled.
pub const MISR_VGRP0E: u64 = 1 << 4;
/// `ICH_MISR_EL2.VGrp0D`: Group 0 is disabled.
pub const MISR_VGRP0D: u64 = 1 << 5;
/// `ICH_MISR_EL2.VGrp1E`: Group 1 is enabled.
pub const MISR_VGRP1E: u64 = 1 << 6;
/// `ICH_MISR_EL2.VGrp1D`: Group 1 is disabled.
pub const MISR_VGRP1D: u64 = 1 << 7;

/// What L1 may set in `ICH_HCR_EL2`: no GICv4 (`vSGIEOICount`, `DVIM`), no SEIs (`TSEI`).
const HCR_ALLOWED: u64 = 0xff | hcr::TC | hcr::TALL0 | hcr::TALL1 | hcr::TDIR | hcr::EOICOUNT;

/// What L1 may set in `ICH_VMCR_EL2`, as the machine has it with system registers only.
const VMCR_ALLOWED: u64 = vmcr::VENG0
    | vmcr::VENG1
    | VMCR_VFIQEN
    | vmcr::VCBPR
    | vmcr::VEOIM
    | 7 << vmcr::VBPR1_SHIFT
    | 7 << vmcr::VBPR0_SHIFT
    | 0xff << vmcr::VPMR_SHIFT;

/// `ICH_VMCR_EL2.VFIQEn`, RES1 with system registers.
const VMCR_VFIQEN: u64 = 1 << 3;

/// The smallest binary points with five preemption bits.
const MIN_VBPR0: u64 = 2;
const MIN_VBPR1: u64 = 3;

/// `vINTID` has 24 bits, as `ICH_VTR_EL2.IDbits` says.
const LR_VINTID: u64 = 0x00ff_ffff;
/// State, HW, Group, and the five priority bits that exist.
const LR_COMMON: u64 = 0xf0f8_0000_0000_0000 | LR_VINTID;
const LR_PINTID: u64 = 0x1fff << 32;
const LR_EOI: u64 = 1 << 41;

/// `ICH_VTR_EL2` with `lr_count` list registers (1 to 16): five priority and preemption bits, 24
/// INTID bits, Aff3, `ICC_DIR_EL1` trappable on its own, no SEIs, no GICv4.
#[must_use]
pub fn vtr(lr_count: usize) -> u64 {
    const FIELDS: u64 = 0x90b8_0000;
    FIELDS | (lr_count.clamp(1, MAX_LIST_REGISTERS) - 1) as u64
}

/// One bit for each of the first `lr_count` list registers that satisfies `wanted`.
fn which(vif: &dyn Interface, lr_count: usize, wanted: impl Fn(ListRegister) -> bool) -> u64 {
    let mut bits = 0;
    for number in 0..lr_count.min(MAX_LIST_REGISTERS) {
        bits |= u64::from(wanted(ListRegister(vif.get(IchRegister::Lr(number))))) << number;
    }
    bits
}

/// Whether a list register is free to use, as `ICH_ELRSR_EL2` says.
#[must_use]
#[inline(always)]
pub const fn is_free(lr: u64) -> bool {
    let lr = ListRegister(lr);
    !lr.is_valid() && !lr.has_eoi()
}

/// `ICH_EISR_EL2`: list registers whose interrupt has ended and that asked for an interrupt then.
#[must_use]
pub fn eisr(vif: &impl Interface, lr_count: usize) -> u64 {
    which(vif, lr_count, has_ended)
}

/// Whether the interrupt of a list register has ended, and asked for an interrupt then.
const fn has_ended(lr: ListRegister) -> bool {
    // No state, no hardware link, whose pINTID has the place of EOI, and EOI.
    const STATE_AND_HW: u64 = 0b111 << 61;
    lr.0 & (STATE_AND_HW | LR_EOI) == LR_EOI
}

/// `ICH_ELRSR_EL2`: list registers free to use, without loss of an interrupt or of an `EISR` bit.
#[must_use]
pub fn elrsr(vif: &impl Interface, lr_count: usize) -> u64 {
    which(vif, lr_count, |lr| is_free(lr.0))
}

/// `ICH_MISR_EL2`: the reasons for the maintenance interrupt, whether or not `ICH_HCR_EL2.En` is set.
#[must_use]
#[inline(always)]
pub fn misr(vif: &impl Interface, lr_count: usize) -> u64 {
    match misr_at_once(vif, lr_count) {
        Some(reasons) => reasons,
        None => misr_by_each(vif, lr_count),
    }
}

/// [`misr`], if that takes no look at each list register.
#[must_use]
#[inline(always)]
pub fn misr_at_once(vif: &impl Interface, lr_count: usize) -> Option<u64> {
    let hcr = vif.get(IchRegister::Hcr);
    let takes_more = hcr & HCR_COUNTS_LRS != 0 || lr_count > FEW || may_have_ended(vif);
    (!takes_more).then(|| reasons_in_hcr(hcr, vif.get(IchRegister::Vmcr)))
}

/// As many list registers as most machines have: they are looked at without a loop.
const FEW: usize = 4;

/// What of `ICH_HCR_EL2` asks for a reason that depends on how many list registers are in which state.
const HCR_COUNTS_LRS: u64 = hcr::UIE | hcr::NPIE;

/// What is set in any of the first [`FEW`] list registers. Those that a machine lacks are 0.
#[inline(always)]
fn any_of_few(vif: &impl Interface) -> ListRegister {
    let lr = |number| vif.get(IchRegister::Lr(number));
    ListRegister(lr(0) | lr(1) | lr(2) | lr(3))
}

/// Whether one of the first [`FEW`] may have ended and ask for an interrupt. Where one is linked, it may also be a bit of
/// its `pINTID`.
#[inline(always)]
fn may_have_ended(vif: &impl Interface) -> bool {
    any_of_few(vif).0 & LR_EOI != 0
}

/// Whether there are few list registers, and none of them has an interrupt.
#[inline(always)]
pub(crate) fn are_few_and_empty(vif: &impl Interface, lr_count: usize) -> bool {
    lr_count <= FEW && !any_of_few(vif).is_valid()
}

#[cold]
fn misr_by_each(vif: &dyn Interface, lr_count: usize) -> u64 {
    let hcr = vif.get(IchRegister::Hcr);
    let mut reasons = reasons_in_hcr(hcr, vif.get(IchRegister::Vmcr));
    if which(vif, lr_count, has_ended) != 0 {
        reasons |= MISR_EOI;
    }
    if hcr & hcr::UIE != 0 && which(vif, lr_count, ListRegister::is_valid).count_ones() <= 1 {
        reasons |= MISR_U;
    }
    if hcr & hcr::NPIE != 0 && which(vif, lr_count, |lr| lr.state() == State::Pending) == 0 {
        reasons |= MISR_NP;
    }
    reasons
}

/// The reasons that have an enable bit in `ICH_HCR_EL2`, each in the same place, and take no list register.
#[inline(always)]
const fn reasons_in_hcr(hcr: u64, vmcr: u64) -> u64 {
    // A byte for each value of the two lowest bits of ICH_VMCR_EL2, VENG0 and VENG1.
    const OF_GROUPS: u64 = (MISR_VGRP0D | MISR_VGRP1D)
        | (MISR_VGRP0E | MISR_VGRP1D) << 8
        | (MISR_VGRP0D | MISR_VGRP1E) << 16
        | (MISR_VGRP0E | MISR_VGRP1E) << 24;
    let groups = OF_GROUPS >> ((vmcr & (vmcr::VENG0 | vmcr::VENG1)) * 8);
    let left_out = if hcr & hcr::EOICOUNT != 0 { MISR_LRENP } else { 0 };
    (groups & 0xff | left_out) & hcr
}

/// A reason has the place of the bit that asks for it.
const _: () = assert!(
    MISR_U == hcr::UIE
        && MISR_LRENP == hcr::LRENPIE
        && MISR_NP == hcr::NPIE
        && MISR_VGRP0E == hcr::VGRP0EIE
        && MISR_VGRP0D == hcr::VGRP0DIE
        && MISR_VGRP1E == hcr::VGRP1EIE
        && MISR_VGRP1D == hcr::VGRP1DIE
);

/// The level of L1's maintenance interrupt, to be given to [`Vgic::set_level`].
///
/// [`Vgic::set_level`]: crate::Vgic::set_level
#[must_use]
#[inline(always)]
pub fn maintenance_level(vif: &impl Interface, lr_count: usize) -> bool {
    is_on(vif) && misr(vif, lr_count) != 0
}

/// Whether the interface is on: `ICH_HCR_EL2.En`.
#[must_use]
#[inline(always)]
pub fn is_on(vif: &impl Interface) -> bool {
    vif.get(IchRegister::Hcr) & hcr::EN != 0
}

/// L1's `ICH_HCR_EL2` as it may go into the hardware register; L0 adds its own traps.
#[must_use]
pub const fn sanitise_hcr(hcr_el2: u64) -> u64 {
    hcr_el2 & HCR_ALLOWED
}

/// L1's `ICH_VMCR_EL2` as it may go into the hardware register.
#[must_use]
pub fn sanitise_vmcr(vmcr_el2: u64) -> u64 {
    let point = |shift: u32, least: u64| {
        let point = vmcr_el2 >> shift & 7;
        (if point < least { least } else { point }) << shift
    };
    let points = 7 << vmcr::VBPR1_SHIFT | 7 << vmcr::VBPR0_SHIFT;
    vmcr_el2 & VMCR_ALLOWED & !points
        | VMCR_VFIQEN
        | point(vmcr::VBPR1_SHIFT, MIN_VBPR1)
        | point(vmcr::VBPR0_SHIFT, MIN_VBPR0)
}

/// One of L1's list registers without bits that are reserved or belong to features it does not
/// have (NMIs).
#[must_use]
pub fn sanitise_lr(lr: u64) -> u64 {
    let own = if ListRegister(lr).is_hw() { LR_PINTID } else { LR_EOI };
    lr & (LR_COMMON | own)
}

/// One of L1's list registers as it may go into hardware. The `pINTID` of a hardware link is one of
/// L1's interrupts; `physical` says which physical interrupt is active on its behalf
/// ([`Vgic::link`]). If none is, the link is cleared: L0 then deactivates L1's interrupt itself, when
/// the list register comes back invalid.
///
/// [`Vgic::link`]: crate::Vgic::link
#[must_use]
pub fn translate_for_hardware(lr: u64, physical: impl Fn(u32) -> Option<u32>) -> u64 {
    let lr = ListRegister(sanitise_lr(lr));
    if !lr.is_hw() {
        return lr.0;
    }
    match physical(lr.pintid()) {
        Some(pintid) => lr.with_link(pintid).0,
        None => lr.without_link(false).0,
    }
}
