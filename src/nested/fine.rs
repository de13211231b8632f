//! The fine-grained traps: gnomon's own, and those of an L1 that has them (`fgt=1`).
//!
//! L1's are words of the VNCR page. They are in force while its guest runs, together with gnomon's; its own accesses they
//! do not concern. An L1 that traps nothing so costs a look at the words.

use syndrome::{fgt::FineControls, vncr};

use crate::{
    arch::{features, sysreg::*},
    vcpu::{Context, VCpu},
};

/// `HDFG{R,W}TR_EL2`: `PMEVTYPER<n>_EL0` and `PMXEVTYPER_EL0`, `PMCCFILTR_EL0`.
const FILTERS: u64 = 1 << 13 | 1 << 14;
/// `HDFGWTR_EL2`: `PMCNTENSET_EL0` and `PMCNTENCLR_EL0`.
const PMCNTEN: u64 = 1 << 16;
/// `HDFG{R,W}TR_EL2`: the one EL1 register that FEAT_NV2 keeps in memory and FEAT_NV does not trap. Its guest's accesses
/// are carried out.
const MDSCR: u64 = 1 << 4;

/// L1's traps as its guest was entered with them last, merged with gnomon's.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastFine {
    from: FineControls,
    to: FineControls,
    /// Whether that is more than gnomon's own.
    is_more: bool,
}

/// gnomon's own, in both contexts.
fn own(vcpu: &VCpu) -> FineControls {
    let reads = if vcpu.vm.is_plain_nv { FILTERS | MDSCR } else { FILTERS };
    FineControls {
        hdfgrtr: reads,
        hdfgwtr: reads | PMCNTEN,
        ..FineControls::default()
    }
}

/// L1's.
#[inline(always)]
pub fn of_l1(vcpu: &VCpu) -> FineControls {
    let page = vcpu.vncr;
    FineControls {
        hfgrtr: page.get(vncr::HFGRTR_EL2),
        hfgwtr: page.get(vncr::HFGWTR_EL2),
        hfgitr: page.get(vncr::HFGITR_EL2),
        hdfgrtr: page.get(vncr::HDFGRTR_EL2),
        hdfgwtr: page.get(vncr::HDFGWTR_EL2),
    }
}

/// On a vCPU that is switched on: L1 traps nothing.
pub fn reset(vcpu: &mut VCpu) {
    vcpu.fine = LastFine::default();
    if features::has_fgt() {
        load(&own(vcpu));
    }
}

/// Exchanges them on the way into `context`, if the two differ.
#[inline(always)]
pub fn exchange(vcpu: &mut VCpu, context: Context) {
    if context == Context::Host {
        if vcpu.fine.is_more {
            load(&own(vcpu));
        }
        return;
    }
    let l1 = of_l1(vcpu);
    if vcpu.fine.from != l1 {
        merge(vcpu, l1);
    }
    if vcpu.fine.is_more {
        load(&vcpu.fine.to);
    }
}

#[cold]
fn merge(vcpu: &mut VCpu, l1: FineControls) {
    let own = own(vcpu);
    let to = FineControls::for_nested(&own, &l1);
    vcpu.fine = LastFine {
        from: l1,
        to,
        is_more: to != own,
    };
}

/// What the hardware has.
pub fn in_force() -> FineControls {
    let mut controls = FineControls::default();
    if features::has_fgt() {
        controls = FineControls {
            hfgrtr: HFGRTR_EL2.get(),
            hfgwtr: HFGWTR_EL2.get(),
            hfgitr: HFGITR_EL2.get(),
            hdfgrtr: HDFGRTR_EL2.get(),
            hdfgwtr: HDFGWTR_EL2.get(),
        };
    }
    controls
}

#[inline(always)]
fn load(controls: &FineControls) {
    HFGRTR_EL2.set(controls.hfgrtr);
    HFGWTR_EL2.set(controls.hfgwtr);
    HFGITR_EL2.set(controls.hfgitr);
    HDFGRTR_EL2.set(controls.hdfgrtr);
    HDFGWTR_EL2.set(controls.hdfgwtr);
}
