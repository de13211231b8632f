//! TLB maintenance that L1 did for its guests.

use core::fmt;

use serde::Serialize;

use crate::Hex;

/// A TLBI of L1's that was done on shadows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Tlbi<'a> {
    /// How long ago, in microseconds.
    pub ago_us: u64,
    /// The CPU that executed it.
    pub cpu: u16,
    /// The instruction, as `IPAS2E1IS`.
    pub op: &'a str,
    /// Its operand; 0 for instructions without.
    pub operand: Hex,
    /// What the operand says, in words.
    pub what: &'a str,
    /// L1's VMID that it was for; absent for all.
    pub vmid: Option<u16>,
    /// The numbers of the shadows that it was done on, as a set of bits.
    pub shadows: Hex,
    /// The leaves that these have lost.
    pub leaves: u64,
    /// The bytes that these mapped.
    pub bytes: Hex,
}

record!(Tlbi<'_>, "tlbi");

impl Tlbi<'_> {
    /// The names of the columns.
    pub const COLUMNS: &'static str =
        "   seconds ago cpu TLBI          vmid   leaves      KiB operand, and the shadows it was done on";
}

impl fmt::Display for Tlbi<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.ago_us / 1_000_000, self.ago_us % 1_000_000);
        write!(f, "{seconds:>7}.{micros:06} {:>3} {:<12} ", self.cpu, self.op)?;
        match self.vmid {
            Some(vmid) => write!(f, "{vmid:>5}")?,
            None => write!(f, "{:>5}", "all")?,
        }
        let kib = self.bytes.0 >> 10;
        write!(
            f,
            " {:>8} {kib:>8} {}, {}",
            self.leaves,
            self.what,
            Shadows(self.shadows.0)
        )
    }
}

/// The numbers in a set of shadows.
struct Shadows(u64);

impl fmt::Display for Shadows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("no shadow");
        }
        f.write_str("shadow")?;
        let mut separator = ' ';
        for number in (0..64).filter(|number| self.0 >> number & 1 != 0) {
            write!(f, "{separator}{number}")?;
            separator = ',';
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_tlbi_is_a_line_under_its_columns() {
        let tlbi = Tlbi {
            ago_us: 12_000_345,
            cpu: 1,
            op: "IPAS2E1IS",
            operand: Hex(0x4_0000),
            what: "ipa 0x40000000, level 3",
            vmid: Some(7),
            shadows: Hex(0b1010),
            leaves: 2,
            bytes: Hex(0x2000),
        };
        assert_eq!(
            tlbi.to_string(),
            "     12.000345   1 IPAS2E1IS        7        2        8 ipa 0x40000000, level 3, shadow 1,3"
        );
        let all = Tlbi {
            vmid: None,
            shadows: Hex(0),
            op: "ALLE1IS",
            what: "everything",
            ..tlbi
        };
        assert_eq!(
            all.to_string(),
            "     12.000345   1 ALLE1IS        all        2        8 everything, no shadow"
        );
        assert_eq!(Tlbi::COLUMNS.find("operand"), all.to_string().find("everything"));
    }
}
