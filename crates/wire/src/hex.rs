//! Addresses and register values.

use core::fmt;

use serde::{Serialize, Serializer};

/// A number that is written in hexadecimal, in text and in JSON: `0x40000000`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex(pub u64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A string that is no number of this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHex;

impl fmt::Display for NotHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a hexadecimal number like 0x1f")
    }
}

impl core::str::FromStr for Hex {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        let digits = text.strip_prefix("0x").ok_or(NotHex)?;
        u64::from_str_radix(digits, 16).map(Self).map_err(|_| NotHex)
    }
}

impl<'de> serde::Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Hex;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string like \"0x1f\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Hex, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn numbers_come_back_as_they_went() {
        for value in [0, 1, 0x4000_0000, u64::MAX] {
            let json = serde_json::to_string(&Hex(value)).unwrap();
            assert_eq!(json, std::format!("\"{value:#x}\""));
            assert_eq!(serde_json::from_str::<Hex>(&json).unwrap(), Hex(value));
            assert_eq!(Hex(value).to_string().parse(), Ok(Hex(value)));
        }
        assert!("12".parse::<Hex>().is_err());
        assert!("0x".parse::<Hex>().is_err());
        assert!(serde_json::from_str::<Hex>("12").is_err());
    }
}
