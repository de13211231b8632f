//! Walks of stage 1 in software, where the hardware's has met a page that stage 2 does not give it.
//!
//! What it lacks in a shadow is faulted in on the way. A table that is nowhere ends the walk with an external abort, whose
//! level the hardware does not say: to it that was a fault of stage 2 (DDI 0487, "Synchronous External abort on translation
//! table walk").

use core::cell::Cell;

use shadow::{Access, FaultAction, FaultKind, ShadowFault};
use vmsa::{
    Fault, GuestVa, Ipa, L2, ReadTable, Unreadable,
    stage1::{AccessKind, Regime, Stage1Config, Stage1Mapping, Stage1Registers, walk},
    stage2::Stage2Fault,
};

use crate::{
    arch::features,
    mm::phys::GuestRam,
    shadow_mmu,
    vcpu::{Context, VCpu, context::El1Registers},
};

/// What the registers of a regime say of its stage 1.
pub const fn registers(el1: &El1Registers, hcr: u64) -> Stage1Registers {
    Stage1Registers {
        tcr: el1.tcr,
        ttbr0: el1.ttbr0,
        ttbr1: el1.ttbr1,
        mair: el1.mair,
        sctlr: el1.sctlr,
        hcr,
    }
}

/// Walks the stage 1 of L1's guest for `va`. `guest` are its registers, whose shadow `vcpu` uses; the others are L1's.
/// The second value is what L1's stage 2 said to a word that it does not let a walk read.
#[inline(never)]
pub fn of_guest(
    vcpu: &VCpu,
    guest: &El1Registers,
    hcr: u64,
    sctlr_el2: u64,
    va: u64,
    kind: AccessKind,
) -> (Result<Stage1Mapping<L2>, Fault>, Option<Stage2Fault>) {
    let registers = registers(guest, hcr);
    let config = Stage1Config::from_registers(Regime::El1And0, &registers, &features::stage1_limits());
    let tables = FaultIn {
        vcpu,
        sctlr_el2,
        refused: Cell::new(None),
    };
    let found = walk(&config, GuestVa::new(va), kind, &tables);
    (found, tables.refused.get())
}

/// The external abort that a walk for `va` meets in the context that runs, whose registers are loaded; `None` if it meets
/// none, because the tables have changed meanwhile.
#[cold]
#[inline(never)]
pub fn external_abort(vcpu: &VCpu, va: u64, kind: AccessKind) -> Option<Fault> {
    let mut loaded = El1Registers::default();
    loaded.save();
    let found = match vcpu.context {
        Context::Host => {
            let limits = features::stage1_limits();
            let config = Stage1Config::from_registers(Regime::El2And0, &registers(&loaded, 0), &limits);
            walk(&config, GuestVa::new(va), kind, &GuestRam).err()
        }
        // The hardware has walked it, so it is on.
        Context::Nested => match of_guest(vcpu, &loaded, 0, vcpu.vel2.sctlr, va, kind) {
            (found, None) => found.err(),
            (_, Some(_)) => None,
        },
    };
    found.filter(|fault| matches!(fault, Fault::ExternalAbortOnWalk(_)))
}

/// Memory of the guest, where each word that is read is first made present in the shadow.
struct FaultIn<'a> {
    vcpu: &'a VCpu,
    sctlr_el2: u64,
    /// What L1's stage 2 said to the last word that it does not let a walk read.
    refused: Cell<Option<Stage2Fault>>,
}

impl ReadTable<L2> for FaultIn<'_> {
    fn read(&self, at: Ipa<L2>) -> Result<u64, Unreadable> {
        let fault = ShadowFault {
            ipa: at,
            access: Access::Read,
            kind: FaultKind::Translation,
            is_s1ptw: true,
        };
        match shadow_mmu::handle_fault(self.vcpu, self.sctlr_el2, &fault) {
            FaultAction::Retry => shadow_mmu::read_l2(self.vcpu, at).ok_or(Unreadable),
            FaultAction::Inject(fault) => {
                self.refused.set(Some(fault));
                Err(Unreadable)
            }
            FaultAction::NotMemory { .. } => Err(Unreadable),
        }
    }
}
