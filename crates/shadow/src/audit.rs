//! Invariant I1, checked leaf by leaf against the tables as they are now.
//!
//! The host's half must always hold. The guest's half may lag: L1 may have changed its tables and
//! not yet invalidated, and a leaf that no longer agrees with the guest stage 2 is then legal.
//! Whether it is, only the history of L1's TLBIs tells; here it is reported as what it is.

use crate::{
    compose::{ShadowLeaf, compose_in_few_bytes},
    dirty::DirtyLog,
    env::{GuestTables, ShadowEnv},
    fault::{GuestStage2, identity},
    lock::{Lock, Locks},
    logging::host_walk,
    pool::ShadowPool,
    slot::Shadow,
};
use core::fmt;
use vmsa::{
    Entry, EntryKind, Granule, Ipa, L1, L2, Level, Pa, Phys,
    stage2::{
        Mapping, Perms, Shareability, Stage2Attrs, Stage2Config, Stage2Desc, Stage2Entry, Stage2Fault, walk_steps,
    },
};

/// What is wrong with a shadow leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// The guest stage 2 faults on the address. Legal until L1 invalidates.
    NotInGuest(Stage2Fault),
    /// The guest stage 2 gives an L1 IPA that the host stage 2 does not map. Legal, with respect to
    /// the guest stage 2, until L1 invalidates.
    NotInHost(Ipa<L1>, Stage2Fault),
    /// The composition leads elsewhere.
    OtherOutput(Pa),
    /// The composition has smaller leaves.
    TooLarge(Level),
    /// The composition allows less.
    TooPermissive(Perms),
    /// The composition has a stricter memory type or shareability.
    TooRelaxed(Stage2Attrs),
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInGuest(fault) => write!(f, "guest stage 2: {fault}"),
            Self::NotInHost(l1, fault) => write!(f, "host stage 2, L1 IPA {l1}: {fault}"),
            Self::OtherOutput(pa) => write!(f, "should lead to {pa}"),
            Self::TooLarge(level) => write!(f, "should be a leaf of {level}"),
            Self::TooPermissive(perms) => write!(f, "should allow {perms} only"),
            Self::TooRelaxed(attrs) => write!(f, "should be {}, {} shareable", attrs.mem, attrs.sh),
        }
    }
}

/// A shadow leaf that is not the composition of what the two stages say now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The first L2 IPA of the leaf.
    pub ia: Ipa<L2>,
    /// The bytes it maps.
    pub size: u64,
    /// Its descriptor.
    pub raw: u64,
    /// What is wrong.
    pub offence: Offence,
}

impl<L: Locks, const N: usize> ShadowPool<L, N> {
    /// Compares up to `budget` entries of `shadow`, from the one around `from`, with both stages, and
    /// tells `report` about each leaf that offends. Returns the address to go on from, `None` at
    /// the end.
    #[inline(never)]
    pub fn audit<E: ShadowEnv>(
        &self,
        shadow: &Shadow,
        guest: &GuestStage2,
        from: u64,
        budget: usize,
        env: &E,
        report: &mut dyn FnMut(Finding),
    ) -> Option<u64> {
        let log = self.dirty.lock();
        shadow.visit(env, from, budget, &mut |entry| {
            if entry.kind != EntryKind::Leaf {
                return;
            }
            if let Err(offence) = check(shadow, &entry, guest, log.as_ref(), env) {
                report(Finding {
                    ia: Ipa::new(entry.ia),
                    size: entry.size,
                    raw: entry.raw,
                    offence,
                });
            }
        })
    }
}

fn check(
    shadow: &Shadow,
    entry: &Entry,
    guest: &GuestStage2,
    log: Option<&DirtyLog>,
    env: &impl ShadowEnv,
) -> Result<(), Offence> {
    let ipa = Ipa::new(entry.ia);
    let mapping = translate(shadow, ipa, guest, env).map_err(Offence::NotInGuest)?;
    let host = host_walk(mapping.output, log, env).map_err(|fault| Offence::NotInHost(mapping.output, fault))?;
    let sh = shadow.table.config().attrs_of(entry.raw).sh;
    compare(entry, sh, &compose_in_few_bytes(ipa, &mapping, &host))
}

/// The guest stage 2's word on `ipa`, whatever its Access flag says: who clears one need not invalidate what was made of the
/// descriptor while it was set, and hypervisors that only want to know what is used do not.
fn translate(
    shadow: &Shadow,
    ipa: Ipa<L2>,
    guest: &GuestStage2,
    env: &impl ShadowEnv,
) -> Result<Mapping<L1>, Stage2Fault> {
    let key = shadow.key;
    if !key.enabled() {
        return Ok(identity(ipa));
    }
    let config = Stage2Config::from_registers(key.vtcr(), key.vttbr(), &guest.limits)?;
    walk_steps(&config, ipa, &GuestTables(env), &mut |_| {})
}

/// Whether the leaf at `entry` of a shadow, with the shareability `sh`, does no more than `should` would.
///
/// # Errors
///
/// What it does that `should` does not.
pub fn compare(entry: &Entry, sh: Shareability, should: &ShadowLeaf) -> Result<(), Offence> {
    let desc = Stage2Desc::from_raw(entry.raw);
    let attrs = desc.attrs(true);
    let output = match desc.decode::<Phys>(entry.level, Granule::K4) {
        Stage2Entry::Block(output) | Stage2Entry::Page(output) => output,
        Stage2Entry::Table(_) | Stage2Entry::Invalid => return Ok(()),
    };
    // Device memory is Outer Shareable whatever a leaf says (DDI 0487, "Device memory").
    // A piece of a larger composed leaf is as good, at its place in it.
    let expected = Pa::new(should.pa.bits() + (entry.ia - should.ia.bits()));
    if output != expected {
        Err(Offence::OtherOutput(expected))
    } else if entry.level < should.level {
        Err(Offence::TooLarge(should.level))
    } else if !should.attrs.perms.contains(attrs.perms) {
        Err(Offence::TooPermissive(should.attrs.perms))
    } else if attrs.mem > should.attrs.mem || sh < should.attrs.sh && !attrs.mem.is_device() {
        Err(Offence::TooRelaxed(should.attrs))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Access, FaultAction, SlotId,
        testing::{AF, BLOCK, GUEST, GuestTables, K4, ShadowPool, WRITE, World, touch},
    };
    use std::{string::ToString, vec::Vec};
    use vmsa::stage2::MemType;

    const IPA: u64 = 0x4000_0000;
    const OUTPUT: u64 = 0x8000_0000;

    /// A guest with a 2 MiB block that is in its shadow.
    fn setup() -> (World, ShadowPool<1>, GuestTables, SlotId) {
        let mut world = World::with_ram(100);
        let mut tables = GuestTables::new(K4, 1, 0x1000_0000, &mut world);
        tables.map(IPA, OUTPUT, Level::TWO, BLOCK, &mut world);
        let pool = ShadowPool::new();
        let slot = pool.acquire(tables.key(), &mut world).unwrap().0;
        assert_eq!(touch(&pool, slot, IPA, Access::Read, &mut world), FaultAction::Retry);
        (world, pool, tables, slot)
    }

    fn offences(world: &World, pool: &ShadowPool<1>, slot: SlotId) -> Vec<Offence> {
        let mut offences = Vec::new();
        let held = pool.lock(slot).unwrap();
        let end = pool.audit(held.as_ref().unwrap(), &GUEST, 0, usize::MAX, world, &mut |finding| {
            assert_eq!((finding.ia, finding.size), (Ipa::new(IPA), 2 << 20));
            offences.push(finding.offence);
        });
        assert_eq!(end, None);
        offences
    }

    #[test]
    fn a_faithful_shadow_has_no_findings() {
        let (world, pool, _, slot) = setup();
        assert_eq!(offences(&world, &pool, slot), []);
    }

    #[test]
    fn what_l1_took_back_is_found() {
        let (mut world, pool, mut tables, slot) = setup();
        for (block, offence) in [
            (0, Offence::NotInGuest(Stage2Fault::Translation(Level::TWO))),
            (0x9000_0000 | BLOCK, Offence::OtherOutput(Pa::new(0x9000_0000))),
            (
                OUTPUT | BLOCK & !WRITE,
                Offence::TooPermissive(Perms {
                    write: false,
                    ..Perms::ALL
                }),
            ),
            (
                OUTPUT | BLOCK & !(0b10 << 2),
                Offence::TooRelaxed(Stage2Attrs {
                    mem: MemType::NormalNonCacheable,
                    ..Stage2Attrs::RAM
                }),
            ),
        ] {
            let entry = tables.entry(IPA, Level::TWO, &mut world);
            world.l1.set(entry, block);
            assert_eq!(offences(&world, &pool, slot), [offence]);
        }
    }

    #[test]
    fn a_page_that_l1_only_ages_is_no_finding() {
        let (mut world, pool, mut tables, slot) = setup();
        let entry = tables.entry(IPA, Level::TWO, &mut world);
        world.l1.set(entry, OUTPUT | BLOCK & !AF);
        assert_eq!(offences(&world, &pool, slot), []);
    }

    #[test]
    fn what_l1_split_is_found() {
        let (mut world, pool, mut tables, slot) = setup();
        tables.unmap(IPA, Level::TWO, &mut world);
        tables.map(IPA, OUTPUT, Level::THREE, BLOCK, &mut world);
        assert_eq!(offences(&world, &pool, slot), [Offence::TooLarge(Level::THREE)]);
    }

    #[test]
    fn what_the_host_does_not_map_is_found() {
        let (mut world, pool, mut tables, slot) = setup();
        let l1 = Ipa::new(0xff_0000_0000);
        let entry = tables.entry(IPA, Level::TWO, &mut world);
        world.l1.set(entry, l1.bits() | BLOCK);
        let fault = Stage2Fault::Translation(Level::ZERO);
        assert_eq!(offences(&world, &pool, slot), [Offence::NotInHost(l1, fault)]);
    }

    #[test]
    fn offences_print_as_what_should_be() {
        assert_eq!(
            Offence::TooLarge(Level::THREE).to_string(),
            "should be a leaf of level 3"
        );
        assert_eq!(
            Offence::TooPermissive(Perms {
                write: false,
                ..Perms::ALL
            })
            .to_string(),
            "should allow r-x only"
        );
    }
}
