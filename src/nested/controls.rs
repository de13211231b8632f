//! The physical trap controls of each context.
//!
//! gnomon runs with `HCR_EL2.E2H` = 0, so `CPTR_EL2` and `CNTHCTL_EL2` have their classic layout here, while L1's own,
//! which is asked here, has the VHE layout.

use machine::Options;
use syndrome::{
    merge::{self, Claims, Controls},
    regs::{cnthctl_el2, cpacr, cptr_el2, hcr_el2, hcrx_el2, mdcr_el2},
    vncr,
};

use super::{l2_page, sve};
use crate::{
    arch::{barrier, sysreg::*},
    vcpu::VCpu,
};

/// In force in both contexts: stage 2 with FEAT_S2FWB attributes, physical interrupts to EL2, AArch64 below, and traps
/// of everything that L1 must not reach: SMC, ID registers, implementation-defined registers.
const HCR_BASE: u64 = hcr_el2::VM
    | hcr_el2::FWB
    | hcr_el2::FMO
    | hcr_el2::IMO
    | hcr_el2::AMO
    | hcr_el2::TSC
    | hcr_el2::TID3
    | hcr_el2::TIDCP
    | hcr_el2::RW;

/// The host context: virtual EL2 on FEAT_NV2, with L1's stage-1 TLBI and AT instructions trapped, because they may
/// speak of its guest's regime.
const HCR_HOST: u64 = HCR_BASE | hcr_el2::NV | hcr_el2::NV2 | hcr_el2::AT | hcr_el2::TTLB | HCR_ENABLES;

/// What L1's guest may use if L1 lets it: pointer authentication.
const HCR_ENABLES: u64 = hcr_el2::API | hcr_el2::APK;

/// Memory copy instructions, of which L1 may let its guest have less.
const HCRX_BASE: u64 = hcrx_el2::MSCEn;

/// Performance monitors are emulated, but for what `pmu` lets L1 have; trace and statistical profiling are not L1's to see.
pub const MDCR_BASE: u64 = mdcr_el2::TPM | mdcr_el2::TPMCR | mdcr_el2::TPMS | mdcr_el2::TTRF;

/// SME, trace and activity monitors are not L1's to see. SVE is, and a trap of it is L1's alone: it is one of EL2 as well, and
/// while it is there, if only for a moment, the vectors may be lost.
const CPTR_BASE: u64 = cptr_el2::RES1 | cptr_el2::TSM | cptr_el2::TTA | cptr_el2::TAM;

/// The physical counter and timer are not withheld from anybody by gnomon itself.
const CNTHCTL_BASE: u64 = cnthctl_el2::NVHE_EL1PCTEN | cnthctl_el2::NVHE_EL1PCEN;

/// L1 uses the physical counter and timer as its own, and its accesses to its guest's timers (`CNT*_EL02`) trap, so
/// that they take effect at once.
const CNTHCTL_HOST: u64 = CNTHCTL_BASE | cnthctl_el2::EL1NVPCT | cnthctl_el2::EL1NVVCT;

/// The same for an L1 without VHE: to it the EL1 names of timers and counters are its guest's.
const CNTHCTL_HOST_E2H0: u64 = cnthctl_el2::NVHE_EL1PCTEN | cnthctl_el2::EL1TVT | cnthctl_el2::EL1TVCT;

/// HCR_EL2 of the host context. With `NV1`, L1's EL1 names reach its guest's registers in the VNCR page, and its stage 1
/// is that of an EL2 without VHE. Without `NV2`, what would be in that page traps.
pub const fn hcr_host(options: &Options) -> u64 {
    let nv1 = if options.e2h0 { hcr_el2::NV1 } else { 0 };
    let nv2 = if options.plain_nv { hcr_el2::NV2 } else { 0 };
    HCR_HOST & !nv2 | nv1
}

/// What of L1's HCR_EL2 counts for its guest. With VHE alone, that cannot be a hypervisor without it, and with `TGE` there is
/// none.
pub const fn hcr_of_l1(options: &Options) -> u64 {
    if options.e2h0 {
        u64::MAX
    } else {
        !(hcr_el2::NV1 | hcr_el2::TGE)
    }
}

/// CNTHCTL_EL2 of the host context.
pub const fn cnthctl_host(e2h0: bool) -> u64 {
    if e2h0 { CNTHCTL_HOST_E2H0 } else { CNTHCTL_HOST }
}

/// Sets what stays the same for both contexts, once per CPU.
pub fn init_cpu(vcpu: &VCpu) {
    HSTR_EL2.set(0);
    VTCR_EL2.set(vcpu.vm.vtcr);
    barrier::isb();
}

/// Loads the controls of the host context.
pub fn load_host(vcpu: &VCpu) {
    HCR_EL2.set(vcpu.vm.hcr_host);
    HCRX_EL2.set(HCRX_BASE);
    MDCR_EL2.set(vcpu.monitors.mdcr_host);
    CPTR_EL2.set(vcpu.vm.cptr_host);
    CNTHCTL_EL2.set(vcpu.vm.cnthctl_host);
    VPIDR_EL2.set(vcpu.vm.midr);
    VMPIDR_EL2.set(vcpu.mpidr);
    VTTBR_EL2.set(vcpu.vm.host_vttbr);
    VNCR_EL2.set(vcpu.vncr.address().bits());
}

/// gnomon's own part of the controls of the nested context, without what is about the counters.
pub const NESTED: Controls = Controls {
    hcr: HCR_BASE | HCR_ENABLES,
    hcrx: HCRX_BASE,
    mdcr: MDCR_BASE,
    cptr: CPTR_BASE,
    cnthctl: CNTHCTL_BASE,
};

/// Loads the controls of the nested context, except VTTBR_EL2.
#[inline(always)]
pub fn load_nested(vcpu: &mut VCpu) {
    let page = vcpu.vncr;
    let claims = Claims {
        hcr: page.get(vncr::HCR_EL2) & vcpu.vm.hcr_of_l1,
        hcrx: page.get(vncr::HCRX_EL2),
        mdcr: vcpu.emulated.mdcr,
        cptr: vcpu.vel2.cpacr,
        cnthctl: vcpu.emulated.cnthctl,
    };
    let controls = vcpu.nested_controls.merged(&NESTED, &claims);
    HCR_EL2.set(controls.hcr);
    HCRX_EL2.set(controls.hcrx);
    MDCR_EL2.set(vcpu.monitors.mdcr | controls.mdcr);
    CPTR_EL2.set(controls.cptr);
    CNTHCTL_EL2.set(controls.cnthctl);
    VPIDR_EL2.set(page.get(vncr::VPIDR_EL2));
    VMPIDR_EL2.set(page.get(vncr::VMPIDR_EL2));
    if merge::is_enabled(vcpu.vel2.cpacr, cpacr::ZEN) {
        sve::load_nested(vcpu);
    }
    if claims.hcr & hcr_el2::NV != 0 {
        l2_page::enter(vcpu);
    }
}

/// CPTR_EL2 of the host context.
///
/// With `E2H` = 1, L1's CPACR_EL1 is its CPTR_EL2, and has `TCPAC` and `TAM` too. Where the hardware's CPACR_EL1 keeps
/// those bits, L1 may write it directly; elsewhere its accesses must trap, or the bits would be lost. Without VHE its
/// CPACR_EL1 is its guest's.
pub fn cptr_host(e2h0: bool) -> u64 {
    const EXTRA: u64 = cpacr::TCPAC | cpacr::TAM;
    CPACR_EL1.set(EXTRA);
    barrier::isb();
    let does_keep = CPACR_EL1.get() & EXTRA == EXTRA;
    CPACR_EL1.set(0);
    CPTR_BASE | cptr_el2::TZ & !sve::untrapped() | if e2h0 || does_keep { 0 } else { cptr_el2::TCPAC }
}

/// The HCR_EL2 that governs translation for a guest of L1's that does not run, for an AT on the console's behalf: L1's
/// HCR_EL2 is its own then.
pub const fn guest_translation() -> u64 {
    merge::hcr_for_nested(HCR_BASE | HCR_ENABLES, hcr_el2::VM)
}

/// The HCR_EL2 that governs translation for L1's guest as L1 has set it up, for an AT on L1's behalf.
pub fn nested_translation(vcpu: &VCpu) -> u64 {
    let hcr = vcpu.vncr.get(vncr::HCR_EL2) & vcpu.vm.hcr_of_l1;
    merge::hcr_for_nested(HCR_BASE | HCR_ENABLES, hcr)
}
