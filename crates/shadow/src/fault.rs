//! A stage-2 fault of an L2: whose is it?
//!
//! Two IPAs meet here. `ShadowFault::ipa` is an [`Ipa<L2>`](vmsa::L2), what hardware reports in
//! `HPFAR_EL2`, and indexes the shadow and L1's tables. What L1's tables make of it is an
//! [`Ipa<L1>`](vmsa::L1), and selects memory. The checks come in the architecture's order: what
//! L1's own stage 2 would have faulted on goes to L1, the rest is ours.

use crate::{
    all::AllShadows,
    compose::{NewLeaf, compose_in_few_bytes},
    env::{GuestTables, ShadowEnv},
    lock::Locks,
    logging::host_walk,
    pool::ShadowPool,
    slot::{Shadow, SlotId},
};
use core::sync::atomic::Ordering::Relaxed;
use vmsa::{
    Ipa, L1, L2, Level, Pa, Unreadable,
    stage2::{
        Mapping, MemType, Perms, RawLeaf, Shareability, Stage2Attrs, Stage2Config, Stage2Desc, Stage2Fault,
        Stage2Limits, walk_steps, walk_to_leaf,
    },
};

/// What L2 tried to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A data read, or the read of a stage-1 descriptor.
    Read,
    /// A data write, or the hardware update of a stage-1 descriptor.
    Write,
    /// An instruction fetch.
    Execute {
        /// At EL0, else at EL1.
        el0: bool,
    },
}

impl Access {
    /// Whether `leaf` allows it.
    #[inline(always)]
    const fn is_allowed_by(self, leaf: Stage2Desc) -> bool {
        match self {
            Self::Read => leaf.is_readable(),
            Self::Write => leaf.is_writable(),
            Self::Execute { .. } => self.is_allowed(leaf.perms()),
        }
    }

    /// Whether `perms` allow it.
    #[must_use]
    pub const fn is_allowed(self, perms: Perms) -> bool {
        match self {
            Self::Read => perms.read,
            Self::Write => perms.write,
            Self::Execute { el0: false } => perms.exec_el1,
            Self::Execute { el0: true } => perms.exec_el0,
        }
    }
}

/// The kind of fault that hardware reported on the shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The shadow has no entry.
    Translation,
    /// The shadow's entry does not allow the access.
    Permission,
    /// The shadow's entry has no Access flag; ours all have.
    AccessFlag,
}

/// A stage-2 fault that hardware reported while an L2 ran on a shadow.
#[derive(Clone, Copy, Debug)]
pub struct ShadowFault {
    /// The faulting address, from `HPFAR_EL2.FIPA` and, where valid, `FAR_EL2[11:0]`.
    pub ipa: Ipa<L2>,
    /// The access. For a fault on a stage-1 table walk (`ISS.S1PTW`) it is what the walk did: read,
    /// or write when hardware updates the stage-1 descriptor.
    pub access: Access,
    /// What hardware reported.
    pub kind: FaultKind,
    /// Whether a stage-1 table walk faulted.
    pub is_s1ptw: bool,
}

/// What L1's registers say about its stage 2 besides the key.
#[derive(Clone, Copy, Debug)]
pub struct GuestStage2 {
    /// The machine that L1 is shown.
    pub limits: Stage2Limits,
}

/// What to do about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAction {
    /// Run L2 again: the translation is there now, or the cause has gone.
    Retry,
    /// L1's stage 2 forbids the access: inject the fault into L1, with this status code.
    Inject(Stage2Fault),
    /// L1's stage 2 allows the access, but the host stage 2 has no memory there, or none that
    /// allows it: an emulated device, or an external abort.
    NotMemory {
        /// What the address is to L1.
        l1: Ipa<L1>,
    },
}

impl<L: Locks, const N: usize> ShadowPool<L, N> {
    /// Handles a fault on the shadow in `slot`, which the faulting CPU holds a reference to.
    ///
    /// On success the shadow leaf has all permissions that both stages give, not only the one asked
    /// for.
    ///
    /// Others may do the same in other slots meanwhile: what is read and filled here is this shadow's alone.
    #[inline(always)]
    pub fn handle_fault(
        &self,
        slot: SlotId,
        fault: &ShadowFault,
        guest: &GuestStage2,
        env: &mut impl ShadowEnv,
    ) -> FaultAction {
        match self.fault_alone(slot, fault, guest, env) {
            Some(action) => action,
            None => self.fault_among_all(slot, *fault, guest.limits.word(), env),
        }
    }

    /// What is rare is given values, so that what is not need not have them in memory.
    #[cold]
    #[inline(never)]
    fn fault_among_all(&self, slot: SlotId, fault: ShadowFault, limits: u64, env: &mut impl ShadowEnv) -> FaultAction {
        let limits = Stage2Limits::from_word(limits);
        self.all().handle_fault(slot, &fault, &GuestStage2 { limits }, env)
    }

    /// [`handle_fault`](Self::handle_fault) with one shadow; `None` if it takes all: because writes are logged, or
    /// because there are no pages.
    #[inline(always)]
    fn fault_alone(
        &self,
        slot: SlotId,
        fault: &ShadowFault,
        guest: &GuestStage2,
        env: &mut impl ShadowEnv,
    ) -> Option<FaultAction> {
        let mut held = self.lock(slot)?;
        let shadow = held.as_mut()?;
        shadow.faults = shadow.faults.wrapping_add(1);
        if self.is_logging.load(Relaxed) {
            return None;
        }
        let GuestLeaf { leaf: inner, fwb } = match translate_by_guest(shadow, fault, guest, env) {
            Ok(found) => found,
            Err(action) => return Some(action),
        };
        let Ok(outer) = env.host_leaf(inner.output) else {
            return Some(refused(fault.access, inner.raw, inner.level, inner.output));
        };
        let leaf = NewLeaf::composed(fault.ipa, &inner, fwb, &outer);
        if !fault.access.is_allowed_by(leaf.desc) {
            return Some(refused(fault.access, inner.raw, inner.level, inner.output));
        }
        shadow.map(leaf, env).ok()?;
        self.fills.note(self.event(), slot, &leaf);
        Some(FaultAction::Retry)
    }
}

impl<L: Locks, const N: usize> AllShadows<'_, L, N> {
    /// [`ShadowPool::handle_fault`] with the log of writes, and with pages taken from other shadows if there are none.
    fn handle_fault(
        &mut self,
        slot: SlotId,
        fault: &ShadowFault,
        guest: &GuestStage2,
        env: &mut impl ShadowEnv,
    ) -> FaultAction {
        let Some(shadow) = self.slots.get_mut(slot.index()).and_then(|held| held.as_mut()) else {
            return FaultAction::Retry;
        };
        let guest = match translate_in_few_bytes(shadow, fault, guest, env) {
            Ok(mapping) => mapping,
            Err(action) => return action,
        };
        if !guest.attrs.af {
            // Setting the Access flag was a write to L1's table.
            self.write_by_l1(guest.desc_at, env);
        }
        match host_walk(guest.output, self.dirty.as_ref(), env) {
            Ok(host) if fault.access.is_allowed(guest.attrs.perms.and(host.attrs.perms)) => {
                let leaf = compose_in_few_bytes(fault.ipa, &guest, &host);
                let leaf = self
                    .log_access(slot, fault.access, fault.ipa, guest.output, leaf, env)
                    .into();
                self.map(slot, leaf, env);
                self.pool.fills.note(self.pool.event(), slot, &leaf);
                FaultAction::Retry
            }
            _ => refused(fault.access, guest.raw, guest.level, guest.output),
        }
    }
}

/// What L1's stage 2 says of an address.
struct GuestLeaf {
    /// With the shareability where descriptors usually have it.
    leaf: RawLeaf<L1>,
    /// How its memory type is encoded.
    fwb: bool,
}

impl GuestLeaf {
    /// Stage 2 is off.
    fn identity(ipa: Ipa<L2>) -> Self {
        let mapping = identity(ipa);
        Self {
            leaf: RawLeaf {
                output: mapping.output,
                level: mapping.level,
                size: mapping.size,
                desc_at: mapping.desc_at,
                raw: Stage2Desc::leaf(mapping.level, Pa::new(0), &mapping.attrs, 0).raw(),
            },
            fwb: true,
        }
    }
}

/// What becomes of an `access` to `l1` that L1's leaf or the host's, or both together, do not allow. What L1's forbids is
/// L1's to know, whatever there is behind it.
#[cold]
fn refused(access: Access, raw: u64, level: Level, l1: Ipa<L1>) -> FaultAction {
    if access.is_allowed(Stage2Desc::from_raw(raw).perms()) {
        FaultAction::NotMemory { l1 }
    } else {
        FaultAction::Inject(Stage2Fault::Permission(level))
    }
}

/// Translates as L1's stage 2 does, Access flag update included, but for the permissions.
#[inline(always)]
fn translate_by_guest(
    shadow: &mut Shadow,
    fault: &ShadowFault,
    guest: &GuestStage2,
    env: &mut impl ShadowEnv,
) -> Result<GuestLeaf, FaultAction> {
    let is_enabled = shadow.key.enabled();
    let config = shadow.read_by(&guest.limits);
    if !is_enabled {
        return Ok(GuestLeaf::identity(fault.ipa));
    }
    let config = config.as_ref().map_err(|fault| FaultAction::Inject(*fault))?;
    let leaf = walk_to_leaf(config, fault.ipa, env.l1_tables()).map_err(FaultAction::Inject)?;
    if !Stage2Desc::from_raw(leaf.raw).has_af() {
        set_access_flag(config, leaf.desc_at, leaf.raw, leaf.level, env)?;
    }
    Ok(GuestLeaf {
        leaf: RawLeaf {
            raw: config.with_own_sh(leaf.raw),
            ..leaf
        },
        fwb: config.fwb,
    })
}

/// [`translate_by_guest`] where it is not hot.
fn translate_in_few_bytes(
    shadow: &mut Shadow,
    fault: &ShadowFault,
    guest: &GuestStage2,
    env: &mut impl ShadowEnv,
) -> Result<Mapping<L1>, FaultAction> {
    let is_enabled = shadow.key.enabled();
    let config = shadow.read_by(&guest.limits);
    if !is_enabled {
        return Ok(identity(fault.ipa));
    }
    let config = config.as_ref().map_err(|fault| FaultAction::Inject(*fault))?;
    let mapping = walk_steps(config, fault.ipa, &GuestTables(env), &mut |_| {}).map_err(FaultAction::Inject)?;
    if !mapping.attrs.af {
        set_access_flag(config, mapping.desc_at, mapping.raw, mapping.level, env)?;
    }
    Ok(mapping)
}

/// Does what hardware does on an access to a leaf whose Access flag is clear: sets it if
/// `VTCR_EL2.HA` says so.
#[cold]
fn set_access_flag(
    config: &Stage2Config,
    desc_at: Ipa<L1>,
    raw: u64,
    level: Level,
    env: &mut impl ShadowEnv,
) -> Result<(), FaultAction> {
    if !config.hardware_af {
        return Err(FaultAction::Inject(Stage2Fault::AccessFlag(level)));
    }
    let new = Stage2Desc::from_raw(raw).with_af().raw();
    match env.compare_exchange_l1(desc_at, config.to_stored(raw), config.to_stored(new)) {
        Ok(true) => Ok(()),
        // L1 changed the descriptor meanwhile: what we read is history.
        Ok(false) => Err(FaultAction::Retry),
        Err(Unreadable) => Err(FaultAction::Inject(Stage2Fault::ExternalAbortOnWalk(level))),
    }
}

/// Stage 2 off: an L2 IPA is an L1 IPA, and nothing is restricted.
#[must_use]
pub fn identity(ipa: Ipa<L2>) -> Mapping<L1> {
    Mapping {
        output: Ipa::new(ipa.bits()),
        level: Level::ONE,
        size: 1 << 30,
        attrs: Stage2Attrs {
            perms: Perms::ALL,
            mem: MemType::Stage1,
            sh: Shareability::Non,
            af: true,
            contiguous: false,
        },
        desc_at: Ipa::new(0),
        raw: 0,
    }
}

#[cfg(test)]
mod tests;
