//! System-register and system-instruction encodings, and their names.
//!
//! A trapped `MRS`, `MSR` or `SYS` reports nothing but its five encoding
//! fields. Everything that has to recognise one (the trap dispatcher, the
//! forwarding rules, the VNCR page, the console) speaks of [`SysReg`], the five
//! fields packed into sixteen bits in the order the architecture sorts them:
//! op0, op1, `CRn`, `CRm`, op2. So `a <= r && r <= b` selects a block of the
//! encoding space, and the tables can be searched by halving.
//!
//! The tables hold every encoding this project gives a name to, under Arm's
//! spelling (DDI 0487, chapter D23 "AArch64 System Register Encoding"). An
//! encoding that is missing still works everywhere; it only prints in the
//! generic form `S3_4_C1_C0_0`.

mod debug;
mod el0;
mod el1;
mod el2;
mod instructions;

use core::fmt::{self, Write};

/// The encoding of one system register or system instruction.
///
/// Ordered as the encoding space is: by op0, then op1, `CRn`, `CRm` and op2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SysReg(u16);

/// The named encodings of a part of the space.
struct Part {
    /// Ascending.
    regs: &'static [SysReg],
    /// Their names in the same order, one a line: a string for each would take ten times the room of its register.
    names: &'static str,
}

impl Part {
    fn rows(&self) -> impl Iterator<Item = (SysReg, &'static str)> {
        self.regs.iter().copied().zip(self.names.lines())
    }
}

/// Declares named encodings: one associated constant, and one place in [`Part`], each.
macro_rules! table {
    (@name $name:ident) => { stringify!($name) };
    (@name $name:ident $text:literal) => { $text };
    ($($name:ident $(as $text:literal)? = ($op0:literal, $op1:literal, $crn:literal, $crm:literal, $op2:literal);)*) => {
        impl SysReg {
            $(
                #[doc = concat!("`", table!(@name $name $($text)?), "`.")]
                pub const $name: Self = Self::new($op0, $op1, $crn, $crm, $op2);
            )*
        }

        pub(super) static PART: Part = Part {
            regs: &[$(SysReg::$name),*],
            names: concat!($(table!(@name $name $($text)?), "\n"),*),
        };
    };
}
use table;

impl SysReg {
    /// The encoding `S<op0>_<op1>_C<crn>_C<crm>_<op2>`.
    ///
    /// Each field is cut to its width (2, 3, 4, 4 and 3 bits), as it would be in
    /// an instruction word.
    #[must_use]
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Self {
        Self(
            ((op0 as u16 & 0x3) << 14)
                | ((op1 as u16 & 0x7) << 11)
                | ((crn as u16 & 0xf) << 7)
                | ((crm as u16 & 0xf) << 3)
                | (op2 as u16 & 0x7),
        )
    }

    /// op0: 1 for instructions, 2 for debug registers, 3 for the rest.
    #[must_use]
    pub const fn op0(self) -> u8 {
        (self.0 >> 14) as u8
    }

    /// op1: for most registers the lowest exception level that has them
    /// (0 EL1, 3 EL0, 4 EL2, 5 the EL12/EL02 aliases).
    #[must_use]
    pub const fn op1(self) -> u8 {
        (self.0 >> 11) as u8 & 0x7
    }

    /// `CRn`.
    #[must_use]
    pub const fn crn(self) -> u8 {
        (self.0 >> 7) as u8 & 0xf
    }

    /// `CRm`.
    #[must_use]
    pub const fn crm(self) -> u8 {
        (self.0 >> 3) as u8 & 0xf
    }

    /// op2.
    #[must_use]
    pub const fn op2(self) -> u8 {
        self.0 as u8 & 0x7
    }

    /// The packed sixteen bits, dense enough to count accesses by.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The inverse of [`bits`](Self::bits).
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Whether this is an instruction (`TLBI`, `AT`, `DC`, `IC`, ..) and not a
    /// register.
    #[must_use]
    pub const fn is_instruction(self) -> bool {
        self.op0() == 1
    }

    /// Whether the encoding lies between `first` and `last`, both included.
    #[must_use]
    pub const fn is_within(self, first: Self, last: Self) -> bool {
        first.0 <= self.0 && self.0 <= last.0
    }

    /// Whether this is an ID register `HCR_EL2.TID3` traps: op0 = 3, op1 = 0,
    /// `CRn` = 0, `CRm` = 1 to 7, allocated or not.
    #[must_use]
    pub const fn is_id_group3(self) -> bool {
        self.is_within(Self::new(3, 0, 0, 1, 0), Self::new(3, 0, 0, 7, 7))
    }

    /// Whether the encoding is left to the implementation, the space
    /// `HCR_EL2.TIDCP` traps: op0 = 1 or 3 with `CRn` = 11 or 15.
    #[must_use]
    pub const fn is_implementation_defined(self) -> bool {
        matches!((self.op0(), self.crn()), (1 | 3, 11 | 15))
    }

    /// Arm's name, or `None` for an encoding the tables do not hold.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let part = self.part()?;
        let index = part.regs.binary_search(&self).ok()?;
        part.names.lines().nth(index)
    }

    /// The encoding of a name, upper or lower case, or of the generic form
    /// `S3_4_C1_C0_0`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(reg, _)| reg)
            .or_else(|| Self::from_generic(name))
    }

    /// Every named encoding with its name, ascending by encoding.
    pub fn all() -> impl Iterator<Item = (Self, &'static str)> {
        [&instructions::PART, &debug::PART, &el1::PART, &el0::PART, &el2::PART]
            .into_iter()
            .flat_map(Part::rows)
    }

    /// The part that would hold this encoding.
    fn part(self) -> Option<&'static Part> {
        match (self.op0(), self.op1()) {
            (1, _) => Some(&instructions::PART),
            (2, _) => Some(&debug::PART),
            (3, 0..=2) => Some(&el1::PART),
            (3, 3) => Some(&el0::PART),
            (3, _) => Some(&el2::PART),
            _ => None,
        }
    }

    /// Parses `S<op0>_<op1>_C<crn>_C<crm>_<op2>`.
    fn from_generic(text: &str) -> Option<Self> {
        fn field(part: Option<&str>, prefix: Option<char>, max: u8) -> Option<u8> {
            let part = part?;
            let digits = match prefix {
                None => part,
                Some(c) => part.strip_prefix([c, c.to_ascii_lowercase()])?,
            };
            digits.parse().ok().filter(|&value| value <= max)
        }

        let mut parts = text.split('_');
        let op0 = field(parts.next(), Some('S'), 3)?;
        let op1 = field(parts.next(), None, 7)?;
        let crn = field(parts.next(), Some('C'), 15)?;
        let crm = field(parts.next(), Some('C'), 15)?;
        let op2 = field(parts.next(), None, 7)?;
        parts.next().is_none().then(|| Self::new(op0, op1, crn, crm, op2))
    }
}

/// Honours width and alignment, so that registers can stand in columns.
impl fmt::Display for SysReg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name() {
            return f.pad(name);
        }
        let mut text = GenericName::default();
        write!(
            text,
            "S{}_{}_C{}_C{}_{}",
            self.op0(),
            self.op1(),
            self.crn(),
            self.crm(),
            self.op2()
        )?;
        f.pad(text.as_str())
    }
}

/// Room for the generic name, at most `S3_7_C15_C15_7`.
#[derive(Default)]
struct GenericName {
    bytes: [u8; 14],
    len: usize,
}

impl GenericName {
    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Write for GenericName {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes
            .get_mut(self.len..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl fmt::Debug for SysReg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::{collections::BTreeSet, string::ToString, vec::Vec};

    #[test]
    fn tables_ascend_without_duplicates_and_each_row_is_found_in_its_own_table() {
        let regs: Vec<SysReg> = SysReg::all().map(|(reg, _)| reg).collect();
        assert!(regs.windows(2).all(|pair| pair[0] < pair[1]));
        for (reg, name) in SysReg::all() {
            assert_eq!(reg.name(), Some(name));
        }
    }

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<&str> = SysReg::all().map(|(_, name)| name).collect();
        assert_eq!(names.len(), SysReg::all().count());
    }

    #[test]
    fn display_is_the_arm_name_or_the_generic_form() {
        assert_eq!(SysReg::new(3, 4, 1, 0, 0).to_string(), "SCTLR_EL2");
        assert_eq!(SysReg::new(1, 4, 8, 4, 1).to_string(), "TLBI IPAS2E1");
        assert_eq!(SysReg::new(1, 0, 9, 3, 0).to_string(), "TLBI VMALLE1ISnXS");
        assert_eq!(SysReg::new(3, 7, 15, 14, 6).to_string(), "S3_7_C15_C14_6");
        assert_eq!(SysReg::new(0, 0, 0, 0, 0).to_string(), "S0_0_C0_C0_0");
        assert_eq!(
            std::format!("{:>16}|", SysReg::new(3, 7, 15, 15, 7)),
            "  S3_7_C15_C15_7|"
        );
        assert_eq!(std::format!("{:<10}|", SysReg::CTR_EL0), "CTR_EL0   |");
    }

    #[test]
    fn names_parse_in_any_case_and_the_generic_form_is_bounded() {
        assert_eq!(SysReg::from_name("vttbr_el2"), Some(SysReg::VTTBR_EL2));
        assert_eq!(SysReg::from_name("S3_4_C1_C0_0"), Some(SysReg::SCTLR_EL2));
        assert_eq!(SysReg::from_name("S3_4_C16_C0_0"), None);
        assert_eq!(SysReg::from_name("S3_4_C1_C0_0_0"), None);
        assert_eq!(SysReg::from_name(""), None);
    }

    #[test]
    fn id_group_three_is_crm_one_to_seven() {
        assert!(SysReg::ID_PFR0_EL1.is_id_group3());
        assert!(SysReg::new(3, 0, 0, 7, 7).is_id_group3());
        assert!(!SysReg::MIDR_EL1.is_id_group3());
        assert!(!SysReg::SCTLR_EL1.is_id_group3());
        assert!(!SysReg::AIDR_EL1.is_id_group3());
    }

    proptest! {
        #[test]
        fn every_encoding_survives_its_fields_and_its_text(bits: u16) {
            let reg = SysReg::from_bits(bits);
            prop_assert_eq!(
                SysReg::new(reg.op0(), reg.op1(), reg.crn(), reg.crm(), reg.op2()),
                reg
            );
            prop_assert_eq!(SysReg::from_name(&reg.to_string()), Some(reg));
        }
    }
}
