//! A vCPU's translation at one moment, as the walks of a virtual address need it.

use explain::{Expected, Loaded, Situation, expect};
use hyp::{arch::at::Stage12, mm::phys, vcpu::Context};
use shadow::ShadowKey;
use syndrome::regs::pstate;
use vmsa::{
    Fault, GuestVa, Ipa, L1, L2, Pa, Phys, ReadTable, Unreadable,
    stage1::{AccessKind, Stage1Access, Stage1Mapping, Stage1Registers},
};

use super::look_in;
use crate::{
    error::CommandError,
    inspect::Snapshot,
    system::System,
    tables::{CarveOut, host_config},
    translation::{Translation, Which},
};

/// A vCPU's translation at one moment.
#[derive(Clone, Copy)]
pub struct View {
    /// The stage 1 in question.
    pub translation: Translation,
    /// What it depends on.
    pub in_force: InForce,
    /// What the walk of stage 1 came to.
    pub walked: Walked,
    pan: bool,
}

/// What a translation depends on: alike twice, the tables are the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// Whether the vCPU is at EL0 of the regime.
    pub is_el0: bool,
    registers: Stage1Registers,
    stage2: Option<ShadowKey>,
}

/// What stage 1 came to.
#[derive(Clone, Copy)]
pub enum Walked {
    /// Not walked yet.
    No,
    /// Of L1: to its IPAs.
    ToL1(Result<Stage1Mapping<L1>, Fault>),
    /// Of L2: to its IPAs. With a table that cannot be read, its descriptor's address.
    ToL2(Result<Stage1Mapping<L2>, Fault>, Option<Ipa<L2>>),
}

impl View {
    /// Of the vCPU of which `snapshot` was taken, for `which` stage 1 or else the one that was in force.
    pub fn of(snapshot: &Snapshot, which: Option<Which>) -> Self {
        let running = Which::of(snapshot.context);
        let which = which.unwrap_or(running);
        let spsr = snapshot.frame.spsr;
        let translation = Translation::of(snapshot, which);
        Self {
            translation,
            in_force: InForce {
                is_el0: which == running && spsr & pstate::M == pstate::EL0T,
                registers: translation.registers,
                stage2: match which {
                    Which::VirtualEl2 => None,
                    Which::El1 => snapshot.guest_stage2,
                },
            },
            walked: Walked::No,
            pan: which == running && spsr & pstate::PAN != 0,
        }
    }

    /// The context that the stage 1 is in force in.
    pub fn context(&self) -> Context {
        match self.translation.which {
            Which::VirtualEl2 => Context::Host,
            Which::El1 => Context::Nested,
        }
    }

    /// An access as the vCPU would make it.
    pub fn access(&self, kind: AccessKind) -> Stage1Access {
        Stage1Access {
            kind,
            el0: self.in_force.is_el0,
            pan: self.pan,
        }
    }

    /// Who receives what stage 1 refuses.
    pub fn owner(&self) -> &'static str {
        match self.translation.which {
            Which::VirtualEl2 => "L1 itself",
            Which::El1 => "the guest itself",
        }
    }

    /// The instruction that does what the access does. There is none for fetches, which read.
    pub fn instruction(&self, kind: Option<AccessKind>) -> Stage12 {
        match (self.in_force.is_el0, kind) {
            (false, Some(AccessKind::Write)) => Stage12::E1W,
            (false, _) => Stage12::E1R,
            (true, Some(AccessKind::Write)) => Stage12::E0W,
            (true, _) => Stage12::E0R,
        }
    }

    /// What the tables say that [`instruction`](Self::instruction) should find for `va`.
    pub fn expected(
        &self,
        va: GuestVa,
        kind: Option<AccessKind>,
        system: &System,
    ) -> Result<Expected, CommandError<'static>> {
        let host = host_config(system)?;
        let access = self.access(match kind {
            Some(AccessKind::Write) => AccessKind::Write,
            _ => AccessKind::Read,
        });
        let stage1 = &self.translation.stage1;
        let loaded = |config| Loaded {
            config,
            tables: CarveOut::of(system),
            memory: L1Physical,
        };
        Ok(match self.translation.which {
            Which::VirtualEl2 => {
                let _order = system.host()?;
                expect::<L1>(stage1, va, access, &loaded(host))
            }
            Which::El1 => {
                let nested = self.translation.nested(system)?.ok_or(CommandError::NoGuest)?;
                let shadow = nested.stage2.shadow.ok_or(CommandError::ShadowGone)?;
                expect::<L2>(stage1, va, access, &loaded(shadow))
            }
        })
    }
}

/// What all three tables say about `ipa`, looked at with the shadow locked for that alone.
pub fn situation_of(translation: &Translation, ipa: Ipa<L2>, system: &System) -> Option<Situation> {
    look_in(&translation.nested(system).ok()??.stage2, ipa, system, &mut |_| {}).ok()
}

/// L1's memory by physical address, which its IPAs equal.
struct L1Physical;

impl ReadTable<Phys> for L1Physical {
    fn read(&self, at: Pa) -> Result<u64, Unreadable> {
        phys::read_guest(Ipa::new(at.bits()))
    }
}
