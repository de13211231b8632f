//! The hardware's word: what an `AT` instruction should find, and what it found.
//!
//! Hardware walks stage 1 through the stage 2 that it has loaded, which is the shadow for an L2 and the host stage 2 for
//! L1, and not through what L1 says. So the expectation is made from that table alone. A difference is an entry of a TLB
//! that is in no table any more, or a bug.

use core::{cell::Cell, fmt};

use shadow::Access;
use vmsa::{
    Addr, Fault, GuestVa, Pa, Phys, ReadTable, Unreadable,
    par::{Par, ParFault, Translated, page_of},
    stage1::{AccessKind, Stage1Access, Stage1Config, walk},
    stage2::{Mapping, Stage2Config, walk as walk_stage2},
};

/// What hardware should find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This address.
    Reaches(Pa),
    /// A fault.
    Faults {
        /// The fault.
        fault: Fault,
        /// Whether stage 2 takes it.
        is_stage2: bool,
        /// Whether on a table of stage 1.
        is_walk: bool,
    },
}

/// The stage 2 that hardware has loaded, with the memory of its tables and the memory behind it.
pub struct Loaded<P, M> {
    /// How it is walked.
    pub config: Stage2Config,
    /// Its tables.
    pub tables: P,
    /// What it maps to, as far as tables of stage 1 may be there.
    pub memory: M,
}

impl<P: ReadTable<Phys>, M: ReadTable<Phys>> Loaded<P, M> {
    fn translate<S>(&self, at: Addr<S>, access: Access) -> Result<Mapping<Phys>, Fault> {
        let mapping = walk_stage2(&self.config, at, &self.tables)?;
        if !mapping.attrs.af && !self.config.hardware_af {
            Err(Fault::AccessFlag(mapping.level))
        } else if !access.is_allowed(mapping.attrs.perms) {
            Err(Fault::Permission(mapping.level))
        } else {
            Ok(mapping)
        }
    }
}

/// Tables of a stage 1 whose output space is `S`, as hardware reads them.
struct Tables1<'a, P, M> {
    loaded: &'a Loaded<P, M>,
    failure: Cell<Option<Fault>>,
}

impl<S, P: ReadTable<Phys>, M: ReadTable<Phys>> ReadTable<S> for Tables1<'_, P, M> {
    fn read(&self, at: Addr<S>) -> Result<u64, Unreadable> {
        match self.loaded.translate(at, Access::Read) {
            Ok(mapping) => self.loaded.memory.read(mapping.output),
            Err(fault) => {
                self.failure.set(Some(fault));
                Err(Unreadable)
            }
        }
    }
}

/// What `AT` for `access` to `va` of the stage 1 `config`, whose output space is `S`, should find with `loaded` as stage 2.
///
/// `PSTATE.PAN` has no part in it: the instructions without `P` in their name ignore it.
pub fn expect<S>(
    config: &Stage1Config,
    va: GuestVa,
    access: Stage1Access,
    loaded: &Loaded<impl ReadTable<Phys>, impl ReadTable<Phys>>,
) -> Expected {
    let tables = Tables1 {
        loaded,
        failure: Cell::new(None),
    };
    let of_stage1 = |fault| Expected::Faults {
        fault,
        is_stage2: false,
        is_walk: false,
    };
    let access = Stage1Access { pan: false, ..access };
    let mapping = match walk::<S>(config, va, access.kind, &tables) {
        Ok(mapping) => mapping,
        Err(fault) => {
            return tables.failure.get().map_or(of_stage1(fault), |fault| Expected::Faults {
                fault,
                is_stage2: true,
                is_walk: true,
            });
        }
    };
    if let Err(fault) = mapping.check(access) {
        return of_stage1(fault);
    }
    match loaded.translate(mapping.output, stage2_access(access)) {
        Ok(mapping) => Expected::Reaches(mapping.output),
        Err(fault) => Expected::Faults {
            fault,
            is_stage2: true,
            is_walk: false,
        },
    }
}

/// The same access as stage 2 sees it.
#[must_use]
pub const fn stage2_access(access: Stage1Access) -> Access {
    match access.kind {
        AccessKind::Read => Access::Read,
        AccessKind::Write => Access::Write,
        AccessKind::Fetch => Access::Execute { el0: access.el0 },
    }
}

/// What `AT` found beside what it should have found, as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtSentence {
    /// From the tables.
    pub expected: Expected,
    /// From the hardware.
    pub par: Par,
}

impl AtSentence {
    /// Whether the hardware found what the tables say.
    #[must_use]
    pub fn agrees(&self) -> bool {
        match (self.expected, self.par.decode()) {
            (Expected::Reaches(pa), Translated::To { page, .. }) => page_of(pa) == page,
            (
                Expected::Faults {
                    fault,
                    is_stage2,
                    is_walk,
                },
                Translated::Faults(found),
            ) => {
                let expected = ParFault {
                    fsc: fault.fsc(),
                    is_stage2,
                    is_walk,
                };
                expected == found
            }
            _ => false,
        }
    }
}

impl fmt::Display for AtSentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AT finds ")?;
        match self.par.decode() {
            Translated::To { page, mem } => write!(f, "the page {page} ({mem})")?,
            Translated::Faults(fault) => write!(f, "a {fault}")?,
        }
        if self.agrees() {
            return f.write_str(", as the tables say.");
        }
        f.write_str(" where the tables give ")?;
        match self.expected {
            Expected::Reaches(pa) => write!(f, "the page {}", page_of(pa))?,
            Expected::Faults {
                fault,
                is_stage2,
                is_walk,
            } => {
                let fault = ParFault {
                    fsc: fault.fsc(),
                    is_stage2,
                    is_walk,
                };
                write!(f, "a {fault}")?;
            }
        }
        f.write_str(": a stale TLB or a bug.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use vmsa::{
        Granule, L2, Level,
        stage1::{Regime, Stage1Registers},
        testing::{LIMITS, STAGE1_LIMITS, Words, vtcr},
    };

    /// One stage-2 table, 1 GiB blocks; memory from `BASE` on.
    const STAGE2: u64 = 0x1000;
    const BASE: u64 = 0x4000_0000;
    const BLOCK: u64 = 1 << 10 | 0b11 << 6 | 0b0111 << 2 | 1;
    const VA: GuestVa = GuestVa::new(0x1678);
    const READ: Stage1Access = Stage1Access {
        kind: AccessKind::Read,
        el0: false,
        pan: true,
    };
    const WRITE: Stage1Access = Stage1Access {
        kind: AccessKind::Write,
        ..READ
    };

    /// Tables and memory are the same here.
    struct Shared<'a>(&'a Words);

    impl ReadTable<Phys> for Shared<'_> {
        fn read(&self, at: Pa) -> Result<u64, Unreadable> {
            self.0.get(at.bits())
        }
    }

    /// What is expected of a page whose stage-1 leaf is `leaf`, with `stage2` as the block that holds its tables and output.
    fn expected(leaf: u64, stage2: u64, access: Stage1Access) -> Expected {
        let mut mem = Words::default();
        mem.set(STAGE2, stage2);
        mem.set(BASE, 0x1000 | 3);
        mem.set(BASE + 0x1000, 0x2000 | 3);
        mem.set(BASE + 0x2008, leaf);
        let config = Stage2Config::from_registers(vtcr(Granule::K4, 34, 1), STAGE2, &LIMITS).unwrap();
        let registers = Stage1Registers {
            tcr: 25 | 25 << 16 | 0b10 << 30 | 0b101 << 32,
            sctlr: 1,
            mair: 0xff,
            ..Stage1Registers::default()
        };
        let stage1 = Stage1Config::from_registers(Regime::El1And0, &registers, &STAGE1_LIMITS);
        let loaded = Loaded {
            config,
            tables: Shared(&mem),
            memory: Shared(&mem),
        };
        expect::<L2>(&stage1, VA, access, &loaded)
    }

    const LEAF: u64 = 0x5000 | 1 << 10 | 3;

    #[test]
    fn the_expectation_goes_through_the_loaded_stage_2() {
        let block = BASE | BLOCK;
        let faults = |fault, is_stage2, is_walk| Expected::Faults {
            fault,
            is_stage2,
            is_walk,
        };
        assert_eq!(expected(LEAF, block, READ), Expected::Reaches(Pa::new(BASE + 0x5678)));
        assert_eq!(
            expected(0, block, READ),
            faults(Fault::Translation(Level::THREE), false, false)
        );
        let read_only = LEAF | 1 << 7;
        assert_eq!(
            expected(read_only, block, WRITE),
            faults(Fault::Permission(Level::THREE), false, false)
        );
        assert_eq!(
            expected(LEAF, 0, READ),
            faults(Fault::Translation(Level::ONE), true, true)
        );
        let no_write = block & !(1 << 7);
        assert_eq!(
            expected(LEAF, no_write, WRITE),
            faults(Fault::Permission(Level::ONE), true, false)
        );
        assert_eq!(
            expected(LEAF, no_write, READ),
            Expected::Reaches(Pa::new(BASE + 0x5678))
        );
    }

    #[test]
    fn agreement_and_difference_have_their_sentences() {
        let reaches = Expected::Reaches(Pa::new(0x4000_5678));
        let stage1 = Expected::Faults {
            fault: Fault::Translation(Level::THREE),
            is_stage2: false,
            is_walk: false,
        };
        let success = 0xff << 56 | 0x4000_5000;
        for (expected, par, sentence) in [
            (
                reaches,
                success,
                "AT finds the page 0x40005000 (normal-wb), as the tables say.",
            ),
            (
                stage1,
                0x7 << 1 | 1,
                "AT finds a translation fault, level 3 of stage 1, as the tables say.",
            ),
            (
                stage1,
                success,
                "AT finds the page 0x40005000 (normal-wb) where the tables give a translation fault, level 3 of stage 1: \
                 a stale TLB or a bug.",
            ),
            (
                reaches,
                0xff << 56 | 0x4000_6000,
                "AT finds the page 0x40006000 (normal-wb) where the tables give the page 0x40005000: a stale TLB or a bug.",
            ),
            (
                stage1,
                0x7 << 1 | 1 | 1 << 9,
                "AT finds a translation fault, level 3 of stage 2 where the tables give \
                 a translation fault, level 3 of stage 1: a stale TLB or a bug.",
            ),
        ] {
            let par = Par(par);
            assert_eq!(AtSentence { expected, par }.to_string(), sentence);
        }
    }
}
