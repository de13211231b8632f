//! System-register and system-instruction encodings, and their names.
//!
//! A trapped `MRS`, `MSR` or `SYS` reports nothing but its five encoding
//! fields. Everything that has to recognise one (the trap dispatcher, the
//! forwarding rules, the VNCR page, the console) speaks of [`SysReg`], the five
//! fields packed into sixteen bits in the order the architecture sorts them:
//! op0, op1, `CRn`, `CRm`, op2. So `a <= r && r <= b` selects a block of the
//! encoding space, and the tables can be searched by halving.
//!
//! There is one table, in parts, and it holds all that is known of an encoding
//! ([`Row`]): Arm's name (DDI 0487, chapter D23 "AArch64 System Register
//! Encoding"), where L1 finds the register and how it gets there ([`Place`]),
//! which of L1's controls trap it for L1's guest ([`Trap`], and by itself
//! [`FineTrap`]), and the feature it comes with ([`Feature`]).
//! A line reads
//!
//! ```text
//! PMSICR_EL1 = (3, 0, 9, 9, 2) Hardware [TPMS] @Hdfg 29 if Spe;
//!              encoding        place     trap  fine    feature
//! ```
//!
//! without what there is not, and without a feature where every machine has it.
//! `@Hdfg 29` is bit 29 of `HDFGRTR_EL2` for a read and of `HDFGWTR_EL2` for a
//! write, `@Hfgr` and `@Hfgi` are `HFGRTR_EL2` and `HFGITR_EL2` alone; a bit that
//! traps when 0 is negative. `Twin(0x110)` has an offset in the VNCR page. An encoding that is missing
//! prints in the generic form `S3_4_C1_C0_0`, and is undefined.

mod debug;
mod el0;
mod el1;
mod el2;
mod feature;
mod instructions;
mod row;
mod trap;

use core::fmt::{self, Write};

use crate::fgt::FineTrap;

pub use feature::Feature;
pub use row::{Place, Row};
pub use trap::Trap;

/// The encoding of one system register or system instruction.
///
/// Ordered as the encoding space is: by op0, then op1, `CRn`, `CRm` and op2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SysReg(u16);

/// The named encodings of a part of the space.
struct Part {
    /// Ascending.
    rows: &'static [Row],
    /// Their names in the same order, one a line: a string for each would take ten times the room of its encoding.
    names: &'static str,
}

impl Part {
    fn named_rows(&self) -> impl Iterator<Item = (Row, &'static str)> {
        self.rows.iter().copied().zip(self.names.lines())
    }
}

/// All parts, ascending.
const PARTS: [&Part; 5] = [&instructions::PART, &debug::PART, &el1::PART, &el0::PART, &el2::PART];

impl Row {
    /// All rows of encodings that have a name, ascending, in parts.
    pub(crate) const PARTS: [&[Self]; PARTS.len()] = [
        PARTS[0].rows,
        PARTS[1].rows,
        PARTS[2].rows,
        PARTS[3].rows,
        PARTS[4].rows,
    ];
}

/// Declares named encodings: one associated constant, and one place in [`Part`], each.
macro_rules! table {
    (@name $name:ident) => { stringify!($name) };
    (@name $name:ident $text:literal) => { $text };
    (@place $place:ident) => { Place::$place };
    (@place $place:ident $offset:literal) => { Place::$place($crate::vncr::Word::at($offset)) };
    (@trap) => { Trap::NONE };
    (@trap $trap:ident) => { Trap::$trap };
    (@fine) => { FineTrap::NONE };
    (@fine $fine:ident $bit:literal) => { FineTrap::$fine($bit) };
    (@feature) => { Feature::Base };
    (@feature $feature:ident) => { Feature::$feature };
    ($(
        $name:ident $(as $text:literal)? = ($op0:literal, $op1:literal, $crn:literal, $crm:literal, $op2:literal)
        $place:ident $(($offset:literal))? $([$trap:ident])? $(@$fine:ident $bit:literal)? $(if $feature:ident)?;
    )*) => {
        impl SysReg {
            $(
                #[doc = concat!("`", table!(@name $name $($text)?), "`.")]
                pub const $name: Self = Self::new($op0, $op1, $crn, $crm, $op2);
            )*
        }

        pub(super) const PART: Part = Part {
            rows: const { &[$(Row {
                reg: SysReg::$name,
                place: table!(@place $place $($offset)?),
                trap: table!(@trap $($trap)?),
                fine: table!(@fine $($fine $bit)?),
                feature: table!(@feature $($feature)?),
            }),*] },
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

    /// Whether this is in the space of feature ID registers: op0 = 3, op1 = 0, 1 or 3, `CRn` = 0, `CRm` below 8.
    #[must_use]
    pub const fn is_in_id_space(self) -> bool {
        matches!((self.op0(), self.op1(), self.crn()), (3, 0 | 1 | 3, 0)) && self.crm() < 8
    }

    /// Whether the encoding is left to the implementation, the space
    /// `HCR_EL2.TIDCP` traps: op0 = 1 or 3 with `CRn` = 11 or 15.
    #[must_use]
    pub const fn is_implementation_defined(self) -> bool {
        matches!((self.op0(), self.crn()), (1 | 3, 11 | 15))
    }

    /// Whether this instruction is a `TLBI`: `CRn` 8, or 9 with `nXS`.
    #[must_use]
    pub const fn is_tlbi(self) -> bool {
        self.crn() & !1 == 8
    }

    /// Whether this `TLBI` is one of a range of stage 1.
    #[must_use]
    pub const fn is_range_of_stage1(self) -> bool {
        matches!(self.crm(), 2 | 5 | 6)
    }

    /// Whether this instruction is a `TLBI` with `nXS`.
    #[must_use]
    pub const fn is_nxs(self) -> bool {
        self.is_instruction() && self.crn() == 9
    }

    /// This `TLBI` without its `nXS`.
    #[must_use]
    pub const fn with_xs(self) -> Self {
        const NXS: u16 = 1 << 7;
        Self(self.0 & !NXS)
    }

    /// Whether this is a register of the trace unit, the space `CPTR_EL2.TTA`
    /// traps.
    #[must_use]
    pub const fn is_trace(self) -> bool {
        self.is_within(Self::new(2, 1, 0, 0, 0), Self::new(2, 1, 7, 15, 7))
    }

    /// All that is known of this encoding.
    #[must_use]
    pub fn row(self) -> Row {
        // Feature registers are asked for often, and are all alike.
        if self.is_id_group3() {
            return Row::unnamed(self);
        }
        match self.find() {
            Some((part, index)) => part.rows.get(index).copied(),
            None => None,
        }
        .unwrap_or(Row::unnamed(self))
    }

    /// As [`row`](Self::row), of an encoding that has a name, before the program
    /// runs.
    ///
    /// # Panics
    ///
    /// If it has no name.
    #[must_use]
    pub const fn const_row(self) -> Row {
        let mut part = 0;
        while part < PARTS.len() {
            let (rows, mut index) = (PARTS[part].rows, 0);
            while index < rows.len() {
                if rows[index].reg.0 == self.0 {
                    return rows[index];
                }
                index += 1;
            }
            part += 1;
        }
        panic!("no such register")
    }

    /// Whether an access that traps is one to the hardware's register `twin`, for
    /// L1: `twin` itself, or the EL2 register that is in its place.
    ///
    /// # Panics
    ///
    /// If one of them has no name.
    #[must_use]
    pub const fn is_in_place_of(self, twin: Self) -> bool {
        match (self.const_row().place, twin.const_row().place) {
            (Place::Mapped(ours) | Place::Redirected(ours) | Place::Twin(ours), Place::Twin(its)) => {
                ours.offset() == its.offset()
            }
            _ => false,
        }
    }

    /// Whether it is a register or instruction of EL2, or one of EL1 and EL0 by the name that EL2 has for it
    /// (`_EL12`, `_EL02`): what FEAT_NV traps.
    #[must_use]
    pub const fn is_of_el2(self) -> bool {
        matches!(self.op1(), 4 | 5)
    }

    /// Arm's name, or `None` for an encoding the tables do not hold.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let (part, index) = self.find()?;
        part.names.lines().nth(index)
    }

    /// Where it is in the table.
    fn find(self) -> Option<(&'static Part, usize)> {
        let part = self.part()?;
        let index = part.rows.binary_search_by_key(&self, |row| row.reg).ok()?;
        Some((part, index))
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
        Self::rows().map(|(row, name)| (row.reg, name))
    }

    /// The whole table: every named encoding with its name, ascending.
    pub fn rows() -> impl Iterator<Item = (Row, &'static str)> {
        PARTS.into_iter().flat_map(Part::named_rows)
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
mod tests;
