//! Where an access to a virtual address ends: stage 1, whose tables are themselves behind stage 2, and then stage 2.

use super::{GuestStage, HostStage, Outcome, Place, Situation};
use core::{cell::Cell, fmt};
use shadow::Access;
use vmsa::{
    Fault, GuestVa, Ipa, L1, L2, ReadTable, Unreadable,
    stage1::{AccessKind, Stage1Access, Stage1Mapping},
};

/// Memory of an L2, read through what the three tables say, without changing anything.
///
/// A walk of L2's stage 1 that ends because a table cannot be read says only that; what stage 2 had against it is kept
/// here.
pub struct L2Memory<'a, G, L> {
    l1: &'a G,
    look: L,
    last: &'a Cell<Option<Situation>>,
}

impl<'a, G, L> L2Memory<'a, G, L> {
    /// Memory that is `l1`'s as far as `look`, which walks the tables for an IPA if it can, says so. `last` gets the
    /// situation of each read: after a walk that ended with an external abort, of the one that failed.
    pub fn new(l1: &'a G, look: L, last: &'a Cell<Option<Situation>>) -> Self {
        Self { l1, look, last }
    }
}

impl<G: ReadTable<L1>, L: Fn(Ipa<L2>) -> Option<Situation>> ReadTable<L2> for L2Memory<'_, G, L> {
    fn read(&self, at: Ipa<L2>) -> Result<u64, Unreadable> {
        let situation = (self.look)(at).ok_or(Unreadable)?;
        self.last.set(Some(situation));
        match (situation.outcome(Access::Read), situation.l1()) {
            (Outcome::Reaches(_), Some(l1)) => self.l1.read(l1),
            _ => Err(Unreadable),
        }
    }
}

impl Situation {
    /// What L1 makes of the IPA.
    #[must_use]
    pub fn l1(&self) -> Option<Ipa<L1>> {
        match self.guest {
            GuestStage::Off => Some(Ipa::new(self.ipa.bits())),
            GuestStage::Maps { mapping, .. } => Some(mapping.output),
            _ => None,
        }
    }
}

/// How stage 2 translates one address, in a few words: `IPA 0x.. -> L1 0x.. -> PA 0x..`.
impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IPA {}", self.ipa)?;
        match self.l1() {
            Some(l1) => write!(f, " -> L1 {l1}")?,
            None => return f.write_str(" -> nothing of L1's"),
        }
        match self.host {
            Some(HostStage::Maps(mapping)) => write!(f, " -> PA {}", mapping.output),
            Some(HostStage::Lacks { place, .. }) => write!(f, " -> {place}"),
            None => write!(f, " -> {}", Place::Nothing),
        }
    }
}

/// How the stage-1 half of an access ended.
#[derive(Clone, Copy, Debug)]
pub enum VirtualEnd<'a, O, S> {
    /// Stage 1 faults, or does not allow the access.
    Faults {
        /// The fault, which the owner of the stage 1 receives.
        fault: Fault,
        /// What stage 1 has there, if it has anything.
        mapping: Option<Stage1Mapping<O>>,
    },
    /// A table of stage 1 cannot be read, for the reason that this sentence gives.
    Unreadable {
        /// The external abort on the walk.
        fault: Fault,
        /// About the table's address.
        why: &'a S,
    },
    /// It translates, and this sentence tells how that goes on.
    Goes {
        /// The translation.
        mapping: Stage1Mapping<O>,
        /// About the output.
        then: &'a S,
    },
}

/// What an access to a virtual address comes to, as a sentence.
#[derive(Clone, Copy, Debug)]
pub struct VirtualSentence<'a, O, S> {
    /// The address.
    pub va: GuestVa,
    /// The access; `None` for all of them, which stage 1 then does not judge.
    pub access: Option<Stage1Access>,
    /// Who has made the stage 1 and receives its faults.
    pub owner: &'a str,
    /// What its outputs are called.
    pub output_name: &'a str,
    /// How it ended.
    pub end: VirtualEnd<'a, O, S>,
}

impl<O, S: fmt::Display> fmt::Display for VirtualSentence<'_, O, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { va, owner, .. } = self;
        match &self.end {
            VirtualEnd::Faults { fault, mapping: None } => {
                let level = fault.level();
                match fault {
                    Fault::AddressSize(_) => write!(f, "stage 1 leads VA {va} beyond its output size at {level}; ")?,
                    _ => write!(f, "stage 1 does not map VA {va} at {level}; ")?,
                }
                write!(f, "{} faults to {owner} ({fault}).", self.access_name())
            }
            VirtualEnd::Faults {
                fault,
                mapping: Some(mapping),
            } => {
                self.write_mapping(f, mapping)?;
                write!(f, "; {} faults to {owner} ({fault}).", self.access_name())
            }
            VirtualEnd::Unreadable { fault, why } => {
                write!(
                    f,
                    "the stage-1 table of {} for VA {va} cannot be read: {why}",
                    fault.level()
                )
            }
            VirtualEnd::Goes { mapping, then } => {
                self.write_mapping(f, mapping)?;
                write!(f, "; {then}")
            }
        }
    }
}

impl<O, S> VirtualSentence<'_, O, S> {
    fn write_mapping(&self, f: &mut fmt::Formatter<'_>, mapping: &Stage1Mapping<O>) -> fmt::Result {
        let (va, name, output) = (self.va, self.output_name, mapping.output);
        if mapping.raw == 0 {
            return write!(f, "stage 1 is off, so that VA {va} is {name} {output}");
        }
        let af = if mapping.attrs.af {
            ""
        } else {
            " with the Access flag clear"
        };
        let (perms, level) = (mapping.attrs.perms, mapping.level);
        write!(f, "stage 1 maps VA {va} {perms} at {level}{af} to {name} {output}")
    }

    fn access_name(&self) -> &'static str {
        match self.access.map(|access| (access.kind, access.el0)) {
            None => "any access",
            Some((AccessKind::Read, false)) => "a read",
            Some((AccessKind::Read, true)) => "a read at EL0",
            Some((AccessKind::Write, false)) => "a write",
            Some((AccessKind::Write, true)) => "a write at EL0",
            Some((AccessKind::Fetch, false)) => "a fetch",
            Some((AccessKind::Fetch, true)) => "a fetch at EL0",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NestedStage2, Sentence, Tables, look};
    use shadow::testing::{BLOCK, GuestTables, K4, ShadowPool, World};
    use std::string::{String, ToString};
    use vmsa::{
        Level,
        stage1::{Regime, Stage1Config, Stage1Registers, walk},
        testing::{LIMITS, STAGE1_LIMITS},
    };

    const VA: u64 = 0x1234;
    /// Where L2's stage-1 tables are, in L2's memory and in L1's.
    const ROOT: u64 = 0x4000_0000;
    const ROOT_IN_L1: u64 = 0x8000_0000;

    /// An L2 with 2 MiB of memory at `ROOT`, with three levels of stage-1 tables whose leaf is `leaf`.
    struct Case {
        world: World,
        pool: ShadowPool<1>,
        guest: GuestTables,
    }

    impl Case {
        fn new(leaf: u64) -> Self {
            let mut world = World::with_ram(100);
            let mut guest = GuestTables::new(K4, 1, 0x1000_0000, &mut world);
            guest.map(ROOT, ROOT_IN_L1, Level::TWO, BLOCK, &mut world);
            world.l1.set(ROOT_IN_L1, (ROOT + 0x1000) | 3);
            world.l1.set(ROOT_IN_L1 + 0x1000, (ROOT + 0x2000) | 3);
            world.l1.set(ROOT_IN_L1 + 0x2000 + 8, leaf);
            let pool = ShadowPool::new();
            pool.acquire(guest.key(), &mut world).unwrap();
            Self { world, pool, guest }
        }

        fn sentence(&self, access: Option<Stage1Access>) -> String {
            let all = self.pool.all();
            let (_, shadow) = all.iter().next().unwrap();
            let stage2 = NestedStage2::of(shadow, LIMITS);
            let tables = Tables {
                l1: &self.world.l1,
                shadow: &self.world.arena,
                host: self.world.host_tables(),
                host_config: self.world.host.config(),
            };
            let situation = |ipa| look(&stage2, ipa, &tables, &|_| Place::Nothing, &mut |_| {});
            let last = Cell::new(None);
            let memory = L2Memory::new(&self.world.l1, |ipa| Some(situation(ipa)), &last);
            let registers = Stage1Registers {
                tcr: 25 | 25 << 16 | 0b10 << 30 | 0b101 << 32,
                ttbr0: ROOT,
                mair: 0xff,
                sctlr: 1,
                ..Stage1Registers::default()
            };
            let config = Stage1Config::from_registers(Regime::El1And0, &registers, &STAGE1_LIMITS);
            let va = GuestVa::new(VA);
            let walked = walk(&config, va, AccessKind::Read, &memory);
            let is_unreadable = matches!(walked, Err(Fault::ExternalAbortOnWalk(_)));
            let failed = last.get().filter(|_| is_unreadable);
            let output = walked.map(|mapping| situation(mapping.output));
            let inner = failed.or(output.ok());
            let then = inner.as_ref().map(|situation| Sentence {
                situation,
                access: Some(Access::Read),
            });
            let denied = |mapping: &Stage1Mapping<L2>| access.and_then(|access| mapping.check(access).err());
            let end = match (walked, &then) {
                (Err(fault), Some(why)) if failed.is_some() => VirtualEnd::Unreadable { fault, why },
                (Ok(mapping), Some(then)) => match denied(&mapping) {
                    Some(fault) => VirtualEnd::Faults {
                        fault,
                        mapping: Some(mapping),
                    },
                    None => VirtualEnd::Goes { mapping, then },
                },
                (Err(fault), _) => VirtualEnd::Faults { fault, mapping: None },
                (Ok(_), None) => unreachable!("an output has a situation"),
            };
            VirtualSentence {
                va,
                access,
                owner: "the guest itself",
                output_name: "IPA",
                end,
            }
            .to_string()
        }
    }

    const fn access(kind: AccessKind, el0: bool) -> Option<Stage1Access> {
        Some(Stage1Access { kind, el0, pan: false })
    }

    const PAGE: u64 = 1 << 10 | 0b11 << 8 | 3;

    #[test]
    fn both_stages_are_in_one_sentence() {
        let case = Case::new((ROOT + 0x5000) | PAGE | 1 << 54);
        let expected = "stage 1 maps VA 0x1234 rwx/--- at level 3 to IPA 0x40005234; \
                        L1 maps IPA 0x40005234 with all permissions at level 2 to 0x80005234; \
                        the shadow has nothing there yet and is filled on demand; a read reaches PA 0x80005234.";
        assert_eq!(case.sentence(access(AccessKind::Read, false)), expected);
    }

    #[test]
    fn what_stage_1_refuses_goes_to_whoever_made_it() {
        let case = Case::new(0);
        let expected = "stage 1 does not map VA 0x1234 at level 3; \
                        any access faults to the guest itself (translation fault, level 3).";
        assert_eq!(case.sentence(None), expected);
        let case = Case::new(ROOT | PAGE);
        let expected = "stage 1 maps VA 0x1234 rwx/--x at level 3 to IPA 0x40000234; \
                        a write at EL0 faults to the guest itself (permission fault, level 3).";
        assert_eq!(case.sentence(access(AccessKind::Write, true)), expected);
    }

    #[test]
    fn a_stage_1_table_that_stage_2_hides_is_explained_by_stage_2() {
        let mut case = Case::new(PAGE);
        case.world.l1.set(ROOT_IN_L1 + 0x1000, 0x5000_0000 | 3);
        let expected = "the stage-1 table of level 3 for VA 0x1234 cannot be read: \
                        L1 does not map IPA 0x50000008 at level 2; the shadow has nothing there either; \
                        a read faults to L1 (translation fault, level 2).";
        assert_eq!(case.sentence(None), expected);
        let _ = case.guest.key();
    }

    #[test]
    fn a_situation_is_short_in_a_line() {
        let case = Case::new(0);
        let all = case.pool.all();
        let (_, shadow) = all.iter().next().unwrap();
        let stage2 = NestedStage2::of(shadow, LIMITS);
        let tables = Tables {
            l1: &case.world.l1,
            shadow: &case.world.arena,
            host: case.world.host_tables(),
            host_config: case.world.host.config(),
        };
        let line = |ipa| look(&stage2, Ipa::new(ipa), &tables, &|_| Place::Nothing, &mut |_| {}).to_string();
        assert_eq!(line(ROOT + 0x10), "IPA 0x40000010 -> L1 0x80000010 -> PA 0x80000010");
        assert_eq!(line(0x5000_0000), "IPA 0x50000000 -> nothing of L1's");
    }
}
