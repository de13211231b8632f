//! Why an access of an L2 ends where it ends.
//!
//! Three tables have a say in it: the guest stage 2 that L1 made, the host stage 2 behind it, and the shadow that hardware
//! walks. [`look`] walks all three for one IPA and gives a [`Situation`]; what that means, [`Situation::outcome`] and
//! [`Situation::shadow_state`] say for programs and [`Sentence`] for people. Nothing is changed by looking: no leaf is
//! filled, no Access flag set.
//!
//! The judgement is that of [`ShadowPool::handle_fault`](shadow::ShadowPool::handle_fault), in the same order, so that what
//! is said here is what happens on the next fault.
//!
//! A [`Lint`] says what is wrong with L1's tables by themselves, and a [`Verdict`] what a finding of the audit means.
//!
//! No guest makes any of this run: it answers someone who asks.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod at;
mod lint;
mod sentence;
#[cfg(test)]
mod tests;
mod verdict;
mod virt;

pub use at::{AtSentence, Expected, Loaded, expect, stage2_access};
pub use lint::{Breach, Flaw, Ground, Lint, LintFinding};
pub use sentence::{HostSentence, Sentence};
pub use verdict::Verdict;
pub use virt::{L2Memory, VirtualEnd, VirtualSentence};

use core::fmt;
use shadow::{Access, Offence, Shadow, ShadowKey, ShadowLeaf, compare, compose, identity};
use vmsa::{
    Entry, EntryKind, Fault, Ipa, L1, L2, Level, Pa, Phys, ReadTable, Step,
    stage2::{Mapping, Perms, Stage2Config, Stage2Limits, Unwalkable, walk_steps},
};

/// What is where the host stage 2 maps nothing for L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Registers of the emulated interrupt controller.
    Device,
    /// Memory of the hypervisor's own.
    Hypervisor,
    /// Nothing.
    Nothing,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Device => "the emulated interrupt controller",
            Self::Hypervisor => "gnomon's own memory",
            Self::Nothing => "no memory",
        })
    }
}

/// What the guest stage 2 says about an IPA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestStage {
    /// L1 has it switched off.
    Off,
    /// L1's registers describe no tables.
    Unwalkable(Unwalkable),
    /// The IPA is beyond the input size of so many bits.
    Beyond {
        /// Bits of the input address.
        ipa_bits: u32,
    },
    /// The walk faults.
    Faults(Fault),
    /// A table on the way cannot be read.
    Unreadable {
        /// The external abort on the walk.
        fault: Fault,
        /// The table.
        table: Ipa<L1>,
        /// What is there instead.
        place: Place,
    },
    /// There is a leaf.
    Maps {
        /// The leaf.
        mapping: Mapping<L1>,
        /// Whether hardware sets its Access flag.
        hardware_af: bool,
    },
}

/// What the host stage 2 says about what the guest stage 2 made of an IPA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostStage {
    /// It is memory or a device that L1 has.
    Maps(Mapping<Phys>),
    /// L1 has nothing there.
    Lacks {
        /// The fault of the walk.
        fault: Fault,
        /// What is there instead.
        place: Place,
    },
}

/// What the three tables say about one IPA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The address.
    pub ipa: Ipa<L2>,
    /// L1's word on it.
    pub guest: GuestStage,
    /// The host's word on what L1 makes of it, if L1 makes anything of it.
    pub host: Option<HostStage>,
    /// What hardware finds.
    pub shadow: Result<Mapping<Phys>, Fault>,
}

/// How an access ends once the shadow is up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// At this address, and nobody notices.
    Reaches(Pa),
    /// L1 receives the fault.
    FaultsToL1(Fault),
    /// The hypervisor emulates a device.
    Emulated,
    /// There is nothing: the guest takes an external abort.
    ExternalAbort,
}

/// How the shadow compares with the two tables it is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShadowState {
    /// It has what they say.
    Follows,
    /// It has less, and is filled when that is missed.
    Narrower(Perms),
    /// It has nothing, and is filled by the next access.
    Empty,
    /// It has nothing, as there is nothing to have.
    Absent,
    /// It has what they do not say.
    Stale(Offence),
}

impl Outcome {
    /// The kind, in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reaches(_) => "reaches",
            Self::FaultsToL1(_) => "faults",
            Self::Emulated => "emulated",
            Self::ExternalAbort => "external-abort",
        }
    }

    /// The physical address, where it reaches one.
    #[must_use]
    pub const fn pa(self) -> Option<Pa> {
        match self {
            Self::Reaches(pa) => Some(pa),
            _ => None,
        }
    }
}

impl ShadowState {
    /// The kind, in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Follows => "follows",
            Self::Narrower(_) => "narrower",
            Self::Empty => "empty",
            Self::Absent => "absent",
            Self::Stale(_) => "stale",
        }
    }
}

impl Situation {
    /// The leaf of the guest stage 2, with a clear Access flag being none unless hardware sets it.
    fn guest_leaf(&self) -> Result<Mapping<L1>, Fault> {
        match self.guest {
            GuestStage::Off => Ok(identity(self.ipa)),
            GuestStage::Unwalkable(reason) => Err(reason.fault()),
            GuestStage::Beyond { .. } => Err(Fault::Translation(Level::ZERO)),
            GuestStage::Faults(fault) | GuestStage::Unreadable { fault, .. } => Err(fault),
            GuestStage::Maps { mapping, hardware_af } if mapping.attrs.af || hardware_af => Ok(mapping),
            GuestStage::Maps { mapping, .. } => Err(Fault::AccessFlag(mapping.level)),
        }
    }

    /// How `access` ends, whatever the shadow has now.
    #[must_use]
    pub fn outcome(&self, access: Access) -> Outcome {
        match self.guest_leaf() {
            Ok(guest) if access.is_allowed(guest.attrs.perms) => {}
            Ok(guest) => return Outcome::FaultsToL1(Fault::Permission(guest.level)),
            Err(fault) => return Outcome::FaultsToL1(fault),
        }
        match self.host {
            Some(HostStage::Maps(host)) if access.is_allowed(host.attrs.perms) => Outcome::Reaches(host.output),
            Some(HostStage::Lacks {
                place: Place::Device, ..
            }) if !matches!(access, Access::Execute { .. }) => Outcome::Emulated,
            _ => Outcome::ExternalAbort,
        }
    }

    /// The leaf that the shadow should have, or what is wrong with having one.
    fn expected(&self) -> Result<ShadowLeaf, Offence> {
        let guest = self.guest_leaf().map_err(Offence::NotInGuest)?;
        match self.host {
            Some(HostStage::Maps(host)) => Ok(compose(self.ipa, &guest, &host)),
            Some(HostStage::Lacks { fault, .. }) => Err(Offence::NotInHost(guest.output, fault)),
            None => Err(Offence::NotInHost(guest.output, Fault::Translation(Level::ZERO))),
        }
    }

    /// How the shadow compares with what it should be.
    #[must_use]
    pub fn shadow_state(&self) -> ShadowState {
        let (leaf, expected) = match (self.shadow, self.expected()) {
            (Err(_), Ok(_)) => return ShadowState::Empty,
            (Err(_), Err(_)) => return ShadowState::Absent,
            (Ok(_), Err(offence)) => return ShadowState::Stale(offence),
            (Ok(leaf), Ok(expected)) => (leaf, expected),
        };
        let entry = Entry {
            ia: self.ipa.align_down(leaf.size).bits(),
            size: leaf.size,
            level: leaf.level,
            raw: leaf.raw,
            kind: EntryKind::Leaf,
            contiguous: leaf.attrs.contiguous,
        };
        match compare(&entry, leaf.attrs.sh, &expected) {
            Err(offence) => ShadowState::Stale(offence),
            Ok(()) if leaf.attrs.perms == expected.attrs.perms => ShadowState::Follows,
            Ok(()) => ShadowState::Narrower(leaf.attrs.perms),
        }
    }
}

/// The memory that the tables are in.
pub struct Tables<'a, G, P> {
    /// L1's.
    pub l1: &'a G,
    /// The shadow's.
    pub shadow: &'a P,
    /// The host stage 2's.
    pub host: &'a P,
    /// How that is walked.
    pub host_config: Stage2Config,
}

/// A descriptor that was read, and how its table is read.
#[derive(Clone, Copy, Debug)]
pub enum Observed<'a> {
    /// Of the guest stage 2.
    Guest(&'a Stage2Config, Step<L1>),
    /// Of the host stage 2.
    Host(&'a Stage2Config, Step<Phys>),
    /// Of the shadow.
    Shadow(&'a Stage2Config, Step<Phys>),
}

impl Observed<'_> {
    /// Of which table, in one word.
    #[must_use]
    pub const fn stage(&self) -> &'static str {
        match self {
            Self::Guest(..) => "guest",
            Self::Host(..) => "host",
            Self::Shadow(..) => "shadow",
        }
    }

    /// How that table is walked.
    #[must_use]
    pub const fn config(&self) -> &Stage2Config {
        match self {
            Self::Guest(config, _) | Self::Host(config, _) | Self::Shadow(config, _) => config,
        }
    }
}

/// The stage 2 of an L2: what L1's registers say, and what hardware walks.
#[derive(Clone, Copy, Debug)]
pub struct NestedStage2 {
    /// L1's registers.
    pub key: ShadowKey,
    /// How L1's tables are to be read.
    pub limits: Stage2Limits,
    /// How the shadow is walked; `None` if there is none yet.
    pub shadow: Option<Stage2Config>,
}

impl NestedStage2 {
    /// Of the guest whose `shadow` this is.
    #[must_use]
    pub fn of(shadow: &Shadow, limits: Stage2Limits) -> Self {
        Self {
            key: shadow.key(),
            limits,
            shadow: Some(shadow.table().config()),
        }
    }
}

/// Walks all three tables for `ipa` of the guest with this `stage2`. `place` says what is where L1 has no memory; `observe`
/// is told of each descriptor, at most 15.
pub fn look<G: ReadTable<L1>, P: ReadTable<Phys>>(
    stage2: &NestedStage2,
    ipa: Ipa<L2>,
    tables: &Tables<'_, G, P>,
    place: &dyn Fn(Ipa<L1>) -> Place,
    observe: &mut dyn FnMut(Observed<'_>),
) -> Situation {
    let guest = look_at_guest(stage2, ipa, tables.l1, place, observe);
    let l1 = match guest {
        GuestStage::Off => Some(Ipa::new(ipa.bits())),
        GuestStage::Maps { mapping, .. } => Some(mapping.output),
        _ => None,
    };
    let host_config = &tables.host_config;
    let host = l1.map(|l1| {
        look_at_host(host_config, l1, tables.host, place, &mut |step| {
            observe(Observed::Host(host_config, step));
        })
    });
    let shadow = match &stage2.shadow {
        Some(config) => walk_steps(config, ipa, tables.shadow, &mut |step| {
            observe(Observed::Shadow(config, step));
        }),
        None => Err(Fault::Translation(Level::ZERO)),
    };
    Situation {
        ipa,
        guest,
        host,
        shadow,
    }
}

fn look_at_guest(
    stage2: &NestedStage2,
    ipa: Ipa<L2>,
    mem: &impl ReadTable<L1>,
    place: &dyn Fn(Ipa<L1>) -> Place,
    observe: &mut dyn FnMut(Observed<'_>),
) -> GuestStage {
    let key = stage2.key;
    if !key.enabled() {
        return GuestStage::Off;
    }
    let config = match Stage2Config::diagnose(key.vtcr(), key.vttbr(), &stage2.limits) {
        Ok(config) => config,
        Err(reason) => return GuestStage::Unwalkable(reason),
    };
    if ipa.bits() >= config.ipa_end() {
        return GuestStage::Beyond {
            ipa_bits: config.ipa_bits,
        };
    }
    let mut last = Ipa::new(config.root);
    let walked = walk_steps(&config, ipa, mem, &mut |step| {
        last = step.table;
        observe(Observed::Guest(&config, step));
    });
    match walked {
        Ok(mapping) => GuestStage::Maps {
            mapping,
            hardware_af: config.hardware_af,
        },
        Err(fault @ Fault::ExternalAbortOnWalk(_)) => GuestStage::Unreadable {
            fault,
            table: last,
            place: place(last),
        },
        Err(fault) => GuestStage::Faults(fault),
    }
}

/// Walks the host stage 2 for `l1`; parameters as in [`look`].
pub fn look_at_host(
    config: &Stage2Config,
    l1: Ipa<L1>,
    own: &impl ReadTable<Phys>,
    place: &dyn Fn(Ipa<L1>) -> Place,
    observe: &mut dyn FnMut(Step<Phys>),
) -> HostStage {
    match walk_steps(config, l1, own, &mut |step| observe(step)) {
        Ok(mapping) => HostStage::Maps(mapping),
        Err(fault) => HostStage::Lacks {
            fault,
            place: place(l1),
        },
    }
}
