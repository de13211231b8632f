//! Fields of registers: where they are, and what they say.
//!
//! A field is written down once. `fields!` makes of each row a constant for code and a [`Field`] for people, whose
//! words are the constant's documentation.

use core::fmt::{self, Write};

/// One field of a register.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Arm's name.
    pub name: &'static str,
    /// Its lowest bit.
    pub low: u8,
    /// Bits.
    pub width: u8,
    /// What it does, line by line; for a flag, what it does when it is 1, unless it says otherwise.
    doc: &'static str,
    /// What single values mean.
    values: &'static [(u64, &'static str)],
}

impl Field {
    /// A row of [`fields!`].
    pub(super) const fn new(
        name: &'static str,
        low: u8,
        width: u8,
        doc: &'static str,
        values: &'static [(u64, &'static str)],
    ) -> Self {
        Self {
            name,
            low,
            width,
            doc,
            values,
        }
    }

    /// The field in place.
    #[must_use]
    pub const fn mask(&self) -> u64 {
        mask(self.low, self.width)
    }

    /// The field of `register`, shifted down.
    #[must_use]
    pub const fn of(&self, register: u64) -> u64 {
        (register & self.mask()) >> self.low
    }

    /// What the field is for.
    #[must_use]
    pub const fn words(&self) -> Words {
        Words(self.doc)
    }

    /// Whether 0 is the value that does something: what it is for begins with that.
    #[must_use]
    pub fn acts_when_zero(&self) -> bool {
        let first = self.doc.lines().next().unwrap_or_default();
        first.split(' ').any(|word| word == "**0**")
    }

    /// What this value of it means, where that has a name.
    #[must_use]
    pub fn meaning(&self, value: u64) -> Option<&'static str> {
        self.values
            .iter()
            .find(|(known, _)| *known == value)
            .map(|(_, text)| *text)
    }
}

/// A field of `width` bits from bit `low` on, in place.
#[must_use]
pub const fn mask(low: u8, width: u8) -> u64 {
    let ones = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
    ones << low
}

/// Documentation as a line of plain text.
#[derive(Clone, Copy, Debug)]
pub struct Words(&'static str);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.0.trim_end().trim_end_matches('.').lines().enumerate() {
            if index > 0 {
                f.write_char(' ')?;
            }
            for piece in line.trim().split(['`', '*']) {
                f.write_str(piece)?;
            }
        }
        Ok(())
    }
}

/// Declares fields: for each row `NAME = LOW[, WIDTH] [{ VALUE: "meaning", .. }];` a constant, the field's mask in place,
/// and an element of the slice named at the beginning.
macro_rules! fields {
    (@width) => { 1 };
    (@width $width:literal) => { $width };
    ($(#[$list_doc:meta])* $list:ident:
        $($(#[doc = $doc:literal])+ $name:ident = $low:literal $(, $width:literal)?
            $({ $($value:literal: $text:literal),+ $(,)? })?;)*
    ) => {
        $(
            $(#[doc = $doc])+
            pub const $name: u64 = $crate::regs::field::mask($low, fields!(@width $($width)?));
        )*

        $(#[$list_doc])*
        pub const $list: &[$crate::regs::field::Field] = &[$(
            $crate::regs::field::Field::new(
                stringify!($name), $low, fields!(@width $($width)?), concat!($($doc, "\n"),+), &[$($(($value, $text)),+)?],
            ),
        )*];
    };
}
pub(crate) use fields;

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn words_are_plain_text() {
        const FIELD: Field = Field::new("F", 4, 2, " **0** traps `WFE`,\n always.\n", &[(1, "one")]);
        assert_eq!(FIELD.words().to_string(), "0 traps WFE, always");
        assert_eq!(FIELD.of(0x2f), 2);
        assert_eq!((FIELD.meaning(1), FIELD.meaning(2)), (Some("one"), None));
    }

    #[test]
    fn field_may_be_the_whole_register() {
        assert_eq!(mask(0, 64), u64::MAX);
        assert_eq!(mask(63, 1), 1 << 63);
    }
}
