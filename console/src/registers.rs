//! Registers and their fields as rows.

use core::fmt::{self, Write};

use syndrome::{
    register::{self, Owner, Register, Summary},
    regs::field::Field,
};
use wire::Hex;

use super::{output::Output, text::Text};

/// No register's name is longer.
pub const NAME_BYTES: usize = 24;
/// No field's description is longer.
const WORDS_BYTES: usize = 128;
/// No row of a field is longer, in text.
pub const FIELD_BYTES_MAX: usize = WORDS_BYTES + 96;

/// Whose value is printed, and of what.
#[derive(Clone, Copy)]
pub struct Valued {
    /// The vCPU; none for a value that the user gave.
    pub vcpu: Option<usize>,
    /// Whose register it is.
    pub owner: Owner,
    /// Which.
    pub register: Register,
    /// What it holds.
    pub value: u64,
}

impl Valued {
    /// Prints one line: the register, its value, and what it says as a whole.
    pub fn print(&self, out: &mut Output) -> fmt::Result {
        let (mut name, mut meaning) = (Text::<NAME_BYTES>::new(), Text::<WORDS_BYTES>::new());
        write!(name, "{}", self.register)?;
        let summary = Summary {
            register: self.register,
            value: self.value,
        };
        write!(meaning, "{summary}")?;
        out.row(&wire::Register {
            vcpu: self.vcpu,
            whose: self.owner.name(),
            register: name.as_str(),
            value: Hex(self.value),
            meaning: meaning.as_str(),
        })
    }

    /// Prints the fields from the one with index `from` on, as far as there is room: those worth a line, or all. Says
    /// where to go on.
    pub fn print_fields(&self, from: usize, is_all: bool, out: &mut Output) -> Result<Option<usize>, fmt::Error> {
        let fields = register::layout(self.register, self.value)
            .iter()
            .flat_map(|fields| fields.iter());
        for (index, field) in fields.enumerate().skip(from) {
            if out.room() < 2 * FIELD_BYTES_MAX {
                return Ok(Some(index));
            }
            if is_all || register::is_telling(field, self.value) {
                self.print_field(field, out)?;
            }
        }
        self.print_unnamed(out)?;
        Ok(None)
    }

    fn print_field(&self, field: &Field, out: &mut Output) -> fmt::Result {
        let (mut name, mut about) = (Text::<NAME_BYTES>::new(), Text::<WORDS_BYTES>::new());
        write!(name, "{}", self.register)?;
        write!(about, "{}", field.words())?;
        let value = field.of(self.value);
        out.row(&wire::Field {
            register: name.as_str(),
            field: field.name,
            high: field.low + field.width - 1,
            low: field.low,
            value: Hex(value),
            about: about.as_str(),
            meaning: field.meaning(value).unwrap_or_default(),
        })
    }

    /// Bits that are set and belong to no field, of a register that has fields.
    fn print_unnamed(&self, out: &mut Output) -> fmt::Result {
        let unnamed = register::unnamed(self.register, self.value);
        if unnamed == 0 || register::layout(self.register, self.value).is_empty() {
            return Ok(());
        }
        writeln!(out, "  other bits that are set: {unnamed:#x}")
    }
}

/// Calls `found` with the name of each register of a vCPU, in small letters and as Arm writes it.
pub fn names(found: &mut dyn FnMut(&str)) {
    for (_, register) in register::all() {
        let mut name = Text::<NAME_BYTES>::new();
        if write!(name, "{register}").is_err() {
            continue;
        }
        found(name.as_str());
        let (mut bytes, len) = ([0; NAME_BYTES], name.as_str().len());
        if let Some(small) = bytes.get_mut(..len) {
            small.copy_from_slice(name.as_str().as_bytes());
            small.make_ascii_lowercase();
            if small != name.as_str().as_bytes() {
                found(core::str::from_utf8(small).unwrap_or_default());
            }
        }
    }
}

/// Whose `register` is.
pub fn owner(register: Register) -> Owner {
    match register {
        Register::Hardware(_) => Owner::Hardware,
        _ => register::all()
            .find(|(_, known)| *known == register)
            .map_or(Owner::Running, |(owner, _)| owner),
    }
}
