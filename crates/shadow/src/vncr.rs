//! The VNCR page of an L2 that is itself a hypervisor.
//!
//! L1 lets such an L2 keep its EL2 registers in a page of L1's memory, and names the page in its `VNCR_EL2` by a virtual
//! address of its own EL2&0 regime (DDI 0487, "`VNCR_EL2`, Virtual Nested Control Register"). The hardware reaches it
//! through a translation that was made in software, and that behaves as an entry of L1's TLB: a [`VncrEntry`]. What may use
//! it is said by a [`VncrTag`], what ends it by a [`Stage1Scope`].

use vmsa::{
    Fault, Granule, GuestVa, Ipa, L1, ReadTable,
    stage1::{AccessKind, Stage1Access, Stage1Config, Stage1Mapping, Stage1Registers, walk},
};

/// `SCTLR_ELx.M`
const SCTLR_M: u64 = 1 << 0;
/// `TCR_ELx.A1`: the ASID is that of `TTBR1_ELx`.
const TCR_A1: u64 = 1 << 22;
const ASID_SHIFT: u32 = 48;
const PAGE_OFFSET: u64 = Granule::K4.bytes() - 1;
/// Virtual addresses are compared without their top byte, which may be ignored or not.
const PAGE_NUMBER_BITS: u32 = 44;

/// The page number of a virtual address.
const fn page_number(va: u64) -> u64 {
    va << 8 >> 20
}

/// What L1's registers say of the page, but for its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VncrTag {
    /// Where L1 sees it: `VNCR_EL2` without its low bits, which are RES0.
    pub va: GuestVa,
    asid: u16,
    is_on: bool,
}

impl VncrTag {
    /// From L1's `VNCR_EL2`, and its EL2&0 regime's registers.
    #[must_use]
    pub const fn new(vncr: u64, registers: &Stage1Registers) -> Self {
        let ttbr = if registers.tcr & TCR_A1 == 0 {
            registers.ttbr0
        } else {
            registers.ttbr1
        };
        Self {
            va: GuestVa::new(vncr & !PAGE_OFFSET),
            asid: (ttbr >> ASID_SHIFT) as u16,
            is_on: registers.sctlr & SCTLR_M != 0,
        }
    }
}

/// A translation of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VncrEntry {
    tag: VncrTag,
    /// Bytes of the leaf, all of which an invalidation may name.
    leaf_bytes: u64,
    is_global: bool,
    /// Where the page is.
    pub at: Ipa<L1>,
    /// Whether it may be written.
    pub is_writable: bool,
}

impl VncrEntry {
    /// Translates the page for an access by the tables that `stage1` describes. Returns the mapping, too, whose Access flag
    /// may be due to be set.
    ///
    /// # Errors
    ///
    /// The fault that L1 is to be told of.
    pub fn walk(
        tag: VncrTag,
        stage1: &Stage1Config,
        is_write: bool,
        memory: &impl ReadTable<L1>,
    ) -> Result<(Self, Stage1Mapping<L1>), Fault> {
        let kind = if is_write { AccessKind::Write } else { AccessKind::Read };
        let mapping = walk(stage1, tag.va, kind, memory)?;
        // PSTATE.PAN does not count for these accesses.
        mapping.check(Stage1Access {
            kind,
            el0: false,
            pan: false,
        })?;
        let entry = Self {
            tag,
            leaf_bytes: mapping.size,
            is_global: !mapping.attrs.not_global,
            at: mapping.output.align_down(Granule::K4.bytes()),
            is_writable: mapping.attrs.perms.privileged.write,
        };
        Ok((entry, mapping))
    }

    /// Whether it translates the page that `tag` names.
    #[must_use]
    pub const fn answers(&self, tag: &VncrTag) -> bool {
        let is_same = self.tag.va.bits() == tag.va.bits() && self.tag.is_on == tag.is_on;
        is_same && (self.is_global || self.tag.asid == tag.asid)
    }

    /// Whether an invalidation covers it. One that might is taken to.
    #[must_use]
    pub const fn is_covered_by(&self, scope: &Stage1Scope) -> bool {
        // A regime may have ASIDs of 8 bits, and then the others do not count.
        let has_asid = match scope.asid {
            Some(asid) => (asid ^ self.tag.asid) & 0xff == 0,
            None => true,
        };
        let Some((first, count)) = scope.pages else {
            return has_asid && (scope.asid.is_none() || !self.is_global);
        };
        let start = page_number(self.tag.va.bits() & !(self.leaf_bytes - 1));
        let end = start.saturating_add(self.leaf_bytes >> Granule::K4.shift());
        (has_asid || self.is_global) && first < end && start < first.saturating_add(count)
    }
}

/// What a stage-1 TLBI covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage1Scope {
    /// Entries of this ASID alone.
    asid: Option<u16>,
    /// Entries of these pages alone: number of the first, and how many.
    pages: Option<(u64, u64)>,
}

impl Stage1Scope {
    /// From `CRm` and `op2` of a TLBI of EL1 or EL2 by stage 1, and its operand (DDI 0487, "TLBI VAE1", "TLBI ASIDE1",
    /// "TLBI RVAE1" and their variants).
    #[must_use]
    pub const fn decode(crm: u8, op2: u8, operand: u64) -> Self {
        let asid = Some((operand >> ASID_SHIFT) as u16);
        let pages = Some(if matches!(crm, 2 | 5 | 6) {
            range_of(operand)
        } else {
            (operand & ((1 << PAGE_NUMBER_BITS) - 1), 1)
        });
        match op2 {
            2 => Self { asid, pages: None },
            1 | 5 => Self { asid, pages },
            3 | 7 => Self { asid: None, pages },
            _ => Self {
                asid: None,
                pages: None,
            },
        }
    }
}

/// The pages that the operand of a range instruction names. The reserved granule is taken as the largest.
const fn range_of(operand: u64) -> (u64, u64) {
    const BASE_BITS: u32 = 37;
    /// Of the range operand, by which the granule's pages are larger than 4 KiB, as a power of two.
    const SHIFTS: [u32; 4] = [4, 0, 2, 4];
    let shift = SHIFTS[(operand >> 46 & 0b11) as usize];
    let scale = operand >> 44 & 0b11;
    let num = operand >> 39 & 0b1_1111;
    let unused = u64::BITS - BASE_BITS;
    let base = ((operand << unused).cast_signed() >> unused).cast_unsigned() << shift;
    let count = ((num + 1) << (5 * scale + 1)) << shift;
    (base & ((1 << PAGE_NUMBER_BITS) - 1), count)
}

/// The value that a descriptor has once its Access flag is set, if hardware of L1's is to set it: what is there, and what is
/// to be, in the byte order of the tables.
#[must_use]
pub fn access_flag_update(stage1: &Stage1Config, mapping: &Stage1Mapping<L1>) -> Option<(u64, u64)> {
    const AF: u64 = 1 << 10;
    if mapping.attrs.af {
        return None;
    }
    let swap = |desc: u64| if stage1.big_endian { desc.swap_bytes() } else { desc };
    Some((swap(mapping.raw), swap(mapping.raw | AF)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vmsa::{
        Level,
        stage1::{Regime, Stage1Limits},
        testing::Words,
    };

    const ROOT: u64 = 0x10_0000;
    const PAGE: u64 = 0x4567_8000;
    /// The page's address: upper half, with an index of its own at each level.
    const VA: u64 = 0xffff_8080_4060_5000;
    const INDICES: [u64; 4] = [257, 1, 3, 5];
    /// 48 bits in both halves, 4 KiB, 48-bit output; the ASID is that of `TTBR1_EL2`.
    const TCR: u64 = 16 | 16 << 16 | TCR_A1 | 0b10 << 30 | 0b101 << 32;
    const ASID: u64 = 0x1234;
    const LEAF: u64 = PAGE | 1 << 10 | 0b11;
    const NOT_GLOBAL: u64 = 1 << 11;
    const READ_ONLY: u64 = 1 << 7;

    const REGISTERS: Stage1Registers = Stage1Registers {
        tcr: TCR,
        ttbr0: 0,
        ttbr1: ASID << ASID_SHIFT | ROOT,
        mair: 0xff,
        sctlr: SCTLR_M,
        hcr: 0,
    };

    /// `-cpu max`, as far as it matters.
    fn config(registers: &Stage1Registers) -> Stage1Config {
        let limits = Stage1Limits::from_id_registers(0x1126, 0);
        Stage1Config::from_registers(Regime::El2And0, registers, &limits)
    }

    /// L1's tables with `leaf` for the page.
    fn tables(leaf: u64) -> Words {
        let mut memory = Words::default();
        memory.add(ROOT, 0x4000);
        for (level, index) in INDICES.into_iter().enumerate() {
            let table = ROOT + level as u64 * 0x1000;
            let desc = if level == 3 { leaf } else { (table + 0x1000) | 0b11 };
            memory.set(table + index * 8, desc);
        }
        memory
    }

    fn entry_of(leaf: u64, is_write: bool) -> Result<VncrEntry, Fault> {
        let tag = VncrTag::new(VA | 0xabc, &REGISTERS);
        VncrEntry::walk(tag, &config(&REGISTERS), is_write, &tables(leaf)).map(|(entry, _)| entry)
    }

    #[test]
    fn a_page_is_where_l1s_tables_have_it_and_low_bits_do_not_count() {
        let entry = entry_of(LEAF, true).unwrap();
        assert_eq!((entry.at.bits(), entry.is_writable), (PAGE, true));
    }

    #[test]
    fn what_l1s_tables_deny_is_the_fault_of_that_walk() {
        assert_eq!(entry_of(0, false), Err(Fault::Translation(Level::THREE)));
        assert_eq!(entry_of(LEAF & !(1 << 10), false), Err(Fault::AccessFlag(Level::THREE)));
        assert!(!entry_of(LEAF | READ_ONLY, false).unwrap().is_writable);
        assert_eq!(entry_of(LEAF | READ_ONLY, true), Err(Fault::Permission(Level::THREE)));
        let tag = VncrTag::new(VA, &REGISTERS);
        let nothing = VncrEntry::walk(tag, &config(&REGISTERS), false, &Words::default());
        assert_eq!(nothing.unwrap_err(), Fault::ExternalAbortOnWalk(Level::ZERO));
    }

    #[test]
    fn an_address_that_is_not_canonical_is_in_no_table() {
        let tag = VncrTag::new(0x00ff_8080_4060_5000, &REGISTERS);
        let walked = VncrEntry::walk(tag, &config(&REGISTERS), false, &tables(LEAF));
        assert_eq!(walked.unwrap_err(), Fault::Translation(Level::ZERO));
    }

    #[test]
    fn an_entry_answers_its_own_address_space_alone() {
        let other = |vncr, change: fn(&mut Stage1Registers)| {
            let mut registers = REGISTERS;
            change(&mut registers);
            VncrTag::new(vncr, &registers)
        };
        let (global, local) = (
            entry_of(LEAF, false).unwrap(),
            entry_of(LEAF | NOT_GLOBAL, false).unwrap(),
        );
        for entry in [global, local] {
            assert!(entry.answers(&other(VA, |_| ())));
            assert!(!entry.answers(&other(VA + 0x1000, |_| ())));
            assert!(!entry.answers(&other(VA, |registers| registers.sctlr = 0)));
        }
        let asid = other(VA, |registers| registers.ttbr1 ^= 1 << ASID_SHIFT);
        assert!(global.answers(&asid) && !local.answers(&asid));
    }

    #[test]
    fn the_access_flag_is_set_in_the_byte_order_of_the_tables() {
        let mut registers = REGISTERS;
        registers.tcr |= 1 << 39;
        let stage1 = config(&registers);
        let tag = VncrTag::new(VA, &registers);
        let old = LEAF & !(1 << 10);
        let (_, mapping) = VncrEntry::walk(tag, &stage1, false, &tables(old)).unwrap();
        assert_eq!(access_flag_update(&stage1, &mapping), Some((old, LEAF)));
        let big = Stage1Config {
            big_endian: true,
            ..stage1
        };
        assert_eq!(
            access_flag_update(&big, &mapping),
            Some((old.swap_bytes(), LEAF.swap_bytes()))
        );
        let (_, mapping) = VncrEntry::walk(tag, &stage1, false, &tables(LEAF)).unwrap();
        assert_eq!(access_flag_update(&stage1, &mapping), None);
    }

    /// Each kind of TLBI, as (`CRm`, `op2`, operand), for the page `va` under `asid`.
    fn all_kinds(va: u64, asid: u64) -> [(u8, u8, u64); 9] {
        let by_va = asid << ASID_SHIFT | va << 8 >> 20;
        let range = asid << ASID_SHIFT | 1 << 46 | va << 8 >> 20 & ((1 << 37) - 1);
        [
            (7, 0, 0),
            (3, 1, by_va),
            (3, 5, by_va),
            (3, 3, by_va),
            (7, 7, by_va),
            (2, 1, range),
            (2, 7, range),
            (6, 3, range),
            (5, 5, range),
        ]
    }

    #[test]
    fn every_kind_of_invalidation_ends_what_it_names() {
        for leaf in [LEAF, LEAF | NOT_GLOBAL] {
            let entry = entry_of(leaf, false).unwrap();
            for (crm, op2, operand) in all_kinds(VA, ASID) {
                let scope = Stage1Scope::decode(crm, op2, operand);
                assert!(entry.is_covered_by(&scope), "{crm} {op2}");
            }
        }
    }

    #[test]
    fn another_page_ends_nothing_unless_all_are_named() {
        let entry = entry_of(LEAF, false).unwrap();
        for va in [VA - 0x2000, VA + 0x1000] {
            for (crm, op2, operand) in all_kinds(va, ASID) {
                let scope = Stage1Scope::decode(crm, op2, operand);
                assert_eq!(entry.is_covered_by(&scope), op2 == 0, "{crm} {op2}");
            }
        }
    }

    #[test]
    fn an_asid_ends_what_is_its_own() {
        let (global, local) = (
            entry_of(LEAF, false).unwrap(),
            entry_of(LEAF | NOT_GLOBAL, false).unwrap(),
        );
        let by_asid = |asid: u64| Stage1Scope::decode(3, 2, asid << ASID_SHIFT);
        assert!(local.is_covered_by(&by_asid(ASID)) && !local.is_covered_by(&by_asid(ASID + 1)));
        assert!(!global.is_covered_by(&by_asid(ASID)));
        // By address and the wrong ASID: a global entry goes, another stays.
        let (crm, op2, operand) = all_kinds(VA, ASID + 1)[1];
        let scope = Stage1Scope::decode(crm, op2, operand);
        assert!(global.is_covered_by(&scope) && !local.is_covered_by(&scope));
    }

    #[test]
    fn any_address_of_a_block_ends_it() {
        let mut memory = tables(LEAF);
        // A block of 2 MiB.
        memory.set(ROOT + 0x2000 + INDICES[2] * 8, 0x4560_0000 | 1 << 10 | 0b01);
        let tag = VncrTag::new(VA, &REGISTERS);
        let (entry, _) = VncrEntry::walk(tag, &config(&REGISTERS), true, &memory).unwrap();
        assert_eq!(entry.at.bits(), 0x4560_5000);
        let block = VA & !0x1f_ffff;
        for (va, is_covered) in [
            (block, true),
            (block + 0x1f_f000, true),
            (block - 0x1000, false),
            (block + 0x20_0000, false),
        ] {
            let (crm, op2, operand) = all_kinds(va, ASID)[3];
            assert_eq!(
                entry.is_covered_by(&Stage1Scope::decode(crm, op2, operand)),
                is_covered,
                "{va:#x}"
            );
        }
    }

    proptest! {
        /// Nothing that L1 can write into the registers or an operand is out of bounds.
        #[test]
        fn any_registers_and_operands_are_decided(
            vncr: u64, tcr: u64, ttbr: u64, sctlr: u64, leaf: u64, crm in 0u8..16, op2 in 0u8..8, operand: u64
        ) {
            let registers = Stage1Registers { tcr, ttbr0: ttbr, ttbr1: ttbr, mair: 0, sctlr, hcr: 0 };
            for registers in [registers, REGISTERS] {
                let tag = VncrTag::new(vncr, &registers);
                if let Ok((entry, mapping)) = VncrEntry::walk(tag, &config(&registers), false, &tables(leaf)) {
                    let _ = entry.is_covered_by(&Stage1Scope::decode(crm, op2, operand));
                    let _ = access_flag_update(&config(&registers), &mapping);
                    prop_assert!(entry.answers(&tag));
                    prop_assert!(entry.is_covered_by(&Stage1Scope::decode(7, 0, operand)));
                }
            }
        }
    }
}
