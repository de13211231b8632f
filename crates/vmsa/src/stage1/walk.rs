//! Translation of one virtual address, as the pseudocode function `AArch64.S1Walk` does it, and going over all of a half.

use super::{
    attrs::{AccessKind, Rights, Stage1Access, Stage1Attrs, Stage1Perms, TABLE_LIMITS},
    config::{Stage1Config, Stage1Range},
    mair::MairAttr,
};
use crate::{
    Addr, Enter, Entry, Fault, Found, GuestVa, Level, ReadTable, Step, stage2::Shareability, survey::survey_entries,
    visit::visit_entries,
};

/// A completed translation into the output space `O`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage1Mapping<O> {
    /// Where the address itself ends up.
    pub output: Addr<O>,
    /// The level of the leaf; 0 with the stage off.
    pub level: Level,
    /// The bytes the leaf maps: one block or page, not the run of leaves that a Contiguous hint joins.
    pub size: u64,
    /// The attributes of the leaf. The walk does not judge them; [`check`](Self::check) does.
    pub attrs: Stage1Attrs,
    /// Where the leaf's descriptor is; 0 with the stage off.
    pub desc_at: Addr<O>,
    /// The leaf's descriptor, in the byte order of this CPU; 0 with the stage off.
    pub raw: u64,
    /// Whether accesses of EL0 are out of bounds whatever the leaf says (`TCR_ELx.E0PDx`).
    pub keeps_el0_out: bool,
    /// Whether hardware sets the Access flag, so that a clear one is no fault.
    pub hardware_af: bool,
}

impl<O> Stage1Mapping<O> {
    /// Whether `access` is allowed.
    ///
    /// # Errors
    ///
    /// The fault it takes, in the architecture's order: Access flag before permissions.
    pub fn check(&self, access: Stage1Access) -> Result<(), Fault> {
        if access.el0 && self.keeps_el0_out {
            Err(Fault::Translation(Level::ZERO))
        } else if !self.attrs.af && !self.hardware_af {
            Err(Fault::AccessFlag(self.level))
        } else if !access.is_allowed(self.attrs.perms) {
            Err(Fault::Permission(self.level))
        } else {
            Ok(())
        }
    }
}

/// Translates `va` by `cfg`.
///
/// # Errors
///
/// The fault a hardware walk reports; an external abort where a table cannot be read, which a reader that goes through
/// stage 2 may know more about. Access flag and permissions are for [`Stage1Mapping::check`].
pub fn walk<O>(
    cfg: &Stage1Config,
    va: GuestVa,
    kind: AccessKind,
    mem: &impl ReadTable<O>,
) -> Result<Stage1Mapping<O>, Fault> {
    walk_steps(cfg, va, kind, mem, &mut |_| {})
}

/// [`walk`], telling `observe` about each descriptor on the way.
///
/// # Errors
///
/// As [`walk`].
pub fn walk_steps<O>(
    cfg: &Stage1Config,
    va: GuestVa,
    kind: AccessKind,
    mem: &impl ReadTable<O>,
    observe: &mut impl FnMut(Step<O>),
) -> Result<Stage1Mapping<O>, Fault> {
    if !cfg.is_on {
        return cfg.flat(va);
    }
    let (range, offset) = cfg.range_of(va, kind == AccessKind::Fetch)?;
    // Each descriptor that is followed by another is a table's.
    let (mut limits, mut last) = (0, 0);
    let leaf = range.shape().descend_any(offset, mem, &mut |step| {
        limits |= last & TABLE_LIMITS;
        last = step.raw.unwrap_or(0);
        observe(step);
    })?;
    if !range.is_hierarchical {
        limits = 0;
    }
    Ok(Stage1Mapping {
        output: Addr::new(leaf.output),
        level: leaf.level,
        size: leaf.size,
        attrs: Stage1Attrs::decode(leaf.raw, limits, &cfg.context(&range)),
        desc_at: Addr::new(leaf.desc_at),
        raw: leaf.raw,
        keeps_el0_out: range.keeps_el0_out,
        hardware_af: cfg.hardware_af,
    })
}

impl Stage1Config {
    /// With the stage off, an address is its own output (pseudocode `AArch64.S1DisabledOutput`). The top byte never
    /// counts here: telling when it does takes `TCR_ELx` fields that have no other meaning then.
    fn flat<O>(&self, va: GuestVa) -> Result<Stage1Mapping<O>, Fault> {
        let output = va.bits() << 8 >> 8;
        if output >> self.pa_bits != 0 {
            return Err(Fault::AddressSize(Level::ZERO));
        }
        let all = Rights {
            read: true,
            write: true,
            exec: true,
        };
        let (mem, sh) = if self.is_cacheable_when_off {
            (MairAttr::NORMAL_WB, Shareability::Non)
        } else {
            (MairAttr::DEVICE_NGNRNE, Shareability::Outer)
        };
        Ok(Stage1Mapping {
            output: Addr::new(output),
            level: Level::ZERO,
            size: 1 << self.pa_bits,
            attrs: Stage1Attrs {
                perms: Stage1Perms {
                    privileged: all,
                    el0: if self.regime.has_el0() { all } else { Rights::default() },
                },
                mem,
                sh,
                af: true,
                not_global: false,
                guarded: false,
                contiguous: false,
            },
            desc_at: Addr::new(0),
            raw: 0,
            keeps_el0_out: false,
            hardware_af: false,
        })
    }
}

/// Calls `f` for every leaf and every hole of `range`, in address order, starting with the entry that covers `from` (or
/// the first, if `from` is below the range), for at most `budget` entries. Returns the address to resume from, `None`
/// when the end is reached. What tables on the way restrict is not part of an [`Entry`].
///
/// A resumed walk descends from the root again, so it never follows a table that has been freed in between.
pub fn visit<O>(
    range: &Stage1Range,
    mem: &impl ReadTable<O>,
    from: u64,
    budget: usize,
    f: &mut impl FnMut(Entry),
) -> Option<u64> {
    visit_entries(&range.shape(), mem, from, budget, f)
}

/// [`visit`] with the tables in between, as [`stage2::survey`](crate::stage2::survey).
pub fn survey<O>(
    range: &Stage1Range,
    mem: &impl ReadTable<O>,
    from: u64,
    budget: usize,
    f: &mut impl FnMut(Found) -> Enter,
) -> Option<u64> {
    survey_entries(&range.shape(), mem, from, budget, f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        EntryKind, L2,
        stage1::{Half, Regime, Stage1Registers},
        testing::{STAGE1_LIMITS, WIDE_STAGE1_LIMITS, Words},
    };
    use proptest::prelude::*;

    const ROOT: u64 = 0x10_0000;

    /// A few pages of descriptors that mostly point to each other.
    fn wild_memory() -> impl Strategy<Value = Words> {
        let desc = prop_oneof![
            3 => Just(0u64),
            3 => (0u64..6).prop_map(|page| (ROOT + page * 0x1_0000) | 3),
            2 => any::<u64>(),
            2 => any::<u64>().prop_map(|bits| bits & 0xffff_ffff_fffc | 1),
        ];
        prop::collection::vec((0u64..4, 0u64..8, desc), 1..40).prop_map(|entries| {
            let mut mem = Words::default();
            mem.add(ROOT, 0x6_0000);
            for (page, index, desc) in entries {
                mem.set(ROOT + page * 0x1_0000 + index * 8, desc);
            }
            mem
        })
    }

    #[test]
    fn with_the_stage_off_an_address_is_its_own_output() {
        let cfg = Stage1Config::from_registers(Regime::El1And0, &Stage1Registers::default(), &STAGE1_LIMITS);
        let walk = |va| walk::<L2>(&cfg, GuestVa::new(va), AccessKind::Read, &Words::default());
        let mapping = walk(0xab00_1234_5678_9abc).unwrap();
        assert_eq!(mapping.output.bits(), 0x1234_5678_9abc);
        assert_eq!(mapping.attrs.mem, MairAttr::DEVICE_NGNRNE);
        assert_eq!(walk(1 << 48).unwrap_err(), Fault::AddressSize(Level::ZERO));
    }

    proptest! {
        #[test]
        fn visit_and_walk_agree_on_any_memory(
            mem in wild_memory(),
            tcr in prop::sample::select(&[
                16 | 25 << 16 | 0b10 << 30 | 0b101 << 32,
                25 | 0b10 << 14 | 17 << 16 | 0b01 << 30 | 0b101 << 32,
                22 | 0b01 << 14 | 16 << 16 | 0b11 << 30 | 0b110 << 32,
                12 | 12 << 16 | 0b10 << 30 | 0b110 << 32 | 1 << 59,
            ][..]),
            from in any::<u64>(),
            half in prop::sample::select(&[Half::Lower, Half::Upper][..]),
        ) {
            let registers = Stage1Registers { tcr, ttbr0: ROOT, ttbr1: ROOT, mair: 0, sctlr: 1, hcr: 0 };
            let cfg = Stage1Config::from_registers(Regime::El1And0, &registers, &WIDE_STAGE1_LIMITS);
            let range = cfg.half(half).unwrap();
            let from = range.base() + (from & ((1 << range.ia_bits) - 1));
            for from in [range.base(), from] {
                let mut at = from;
                let resume = visit::<L2>(&range, &mem, from, 1000, &mut |entry| {
                    assert!(entry.ia <= at && at - entry.ia < entry.size);
                    let mapping = walk::<L2>(&cfg, GuestVa::new(at), AccessKind::Read, &mem);
                    match entry.kind {
                        EntryKind::Leaf => {
                            let mapping = mapping.unwrap();
                            assert_eq!((mapping.level, mapping.raw, mapping.size), (entry.level, entry.raw, entry.size));
                        }
                        EntryKind::Invalid => assert!(matches!(
                            mapping,
                            Err(Fault::Translation(level) | Fault::AddressSize(level)) if level == entry.level
                        )),
                        EntryKind::Unreadable => {
                            assert_eq!(mapping, Err(Fault::ExternalAbortOnWalk(entry.level)));
                        }
                    }
                    at = entry.ia.wrapping_add(entry.size);
                });
                prop_assert_eq!(resume, (at != range.end()).then_some(at));
            }
        }
    }
}
