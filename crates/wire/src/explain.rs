//! The walks of one address, and what they come to.

use core::fmt;

use serde::Serialize;

use crate::Hex;

/// What a translation is walked by, or what it gave, in words.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Stage<'a> {
    /// `stage1`, `guest`, `host`, or `shadow`.
    pub stage: &'a str,
    /// What there is to say.
    pub words: fmt::Arguments<'a>,
}

record!(Stage<'_>, "stage");

impl fmt::Display for Stage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7} {}", self.stage, self.words)
    }
}

/// A descriptor that a walk read.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step<'a> {
    /// As in [`Stage`].
    pub stage: &'a str,
    /// Its level, −1 to 3.
    pub level: i8,
    /// Where its table begins.
    pub table: Hex,
    /// Its index in the table.
    pub index: u64,
    /// The descriptor; nothing where it cannot be read.
    pub raw: Option<Hex>,
    /// What it says.
    pub words: fmt::Arguments<'a>,
}

record!(Step<'_>, "step");

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stage,
            level,
            table,
            index,
            raw,
            words,
        } = self;
        write!(f, "{stage:<7} level {level:<2} {table}[{index}] = ")?;
        match raw {
            Some(Hex(raw)) => write!(f, "{raw:#018x}  {words}"),
            None => write!(f, "?  {words}"),
        }
    }
}

/// What the walks come to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Walk<'a> {
    /// The address.
    pub address: Hex,
    /// The access that `end` is about: `r`, `w` or `x`.
    pub access: &'a str,
    /// How it ends: `reaches`, `faults`, `emulated`, or `external-abort`.
    pub end: &'a str,
    /// Who receives the fault: `guest` (the owner of stage 1), `l1`, or nobody.
    pub receiver: Option<&'a str>,
    /// The physical address, where it reaches one.
    pub pa: Option<Hex>,
    /// How the shadow compares with the tables it is made from: `follows`, `narrower`, `empty`, `absent`, or `stale`.
    pub shadow: Option<&'a str>,
    /// The sentence.
    pub text: fmt::Arguments<'a>,
}

record!(Walk<'_>, "walk");

impl fmt::Display for Walk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// What the hardware's `AT` instruction found beside what the tables say.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct At<'a> {
    /// `PAR_EL1`.
    pub par: Hex,
    /// Whether that is what the tables say.
    pub agrees: bool,
    /// The sentence.
    pub text: fmt::Arguments<'a>,
}

record!(At<'_>, "at");

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LINE_BYTES, Record, write_line};
    use std::string::{String, ToString};

    fn json(record: &dyn Record) -> serde_json::Value {
        let mut buffer = [0; LINE_BYTES];
        serde_json::from_str(write_line(&mut buffer, 3, record).unwrap()).unwrap()
    }

    fn step(raw: Option<Hex>) -> Step<'static> {
        Step {
            stage: "guest",
            level: 2,
            table: Hex(0x4800_0000),
            index: 5,
            raw,
            words: format_args!("table 0x49000000"),
        }
    }

    #[test]
    fn a_step_is_a_line_or_an_object() {
        let text = step(Some(Hex(0x4900_0003))).to_string();
        assert_eq!(
            text,
            "guest   level 2  0x48000000[5] = 0x0000000049000003  table 0x49000000"
        );
        assert_eq!(
            step(None).to_string(),
            "guest   level 2  0x48000000[5] = ?  table 0x49000000"
        );
        let value = json(&step(Some(Hex(0x4900_0003))));
        assert_eq!(
            (&value["k"], &value["table"], &value["raw"]),
            (&"step".into(), &"0x48000000".into(), &"0x49000003".into())
        );
        assert_eq!(value["words"], "table 0x49000000");
        assert_eq!(json(&step(None))["raw"], serde_json::Value::Null);
    }

    #[test]
    fn a_walk_is_its_sentence_to_people() {
        let text = "L1's table \"x\" \\ is odd.";
        let walk = Walk {
            address: Hex(0x4000_0000),
            access: "w",
            end: "faults",
            receiver: Some("l1"),
            pa: None,
            shadow: Some("empty"),
            text: format_args!("{text}"),
        };
        assert_eq!(walk.to_string(), text);
        let value = json(&walk);
        assert_eq!((&value["text"], &value["end"]), (&text.into(), &"faults".into()));
        assert_eq!(value["pa"], serde_json::Value::Null);
    }

    #[test]
    fn the_longest_sentence_fits_a_line() {
        let text: String = "x".repeat(700);
        let walk = Walk {
            address: Hex(u64::MAX),
            access: "x",
            end: "external-abort",
            receiver: Some("guest"),
            pa: Some(Hex(u64::MAX)),
            shadow: Some("narrower"),
            text: format_args!("{text}"),
        };
        assert_eq!(json(&walk)["text"], text);
    }
}
