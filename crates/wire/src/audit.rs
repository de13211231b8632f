//! What the audit finds.

use core::fmt;

use serde::Serialize;

use crate::Hex;

/// Something that is not as it should be.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Finding<'a> {
    /// The rule: `I1`, `I2` or `I3` of the design, or `lint` for tables of L1's that cannot be meant.
    pub rule: &'a str,
    /// The table, by a name that `ptdump` takes.
    pub table: &'a str,
    /// The first input address; of a whole table, 0.
    pub ia: Hex,
    /// Bytes; of a whole table, 0.
    pub size: Hex,
    /// Whether it counts: not, if nobody uses the table any more and L1 may have given its memory to others.
    pub counts: bool,
    /// Why, as far as it is known: `missing-tlbi`, `wrong-vmid`, `l1-table`, `gnomon`, `unknown`.
    pub cause: &'a str,
    /// In words.
    pub text: &'a str,
    /// L1's descriptor, if it has one, in words.
    pub guest: &'a str,
    /// The host's.
    pub host: &'a str,
    /// The shadow's.
    pub shadow: &'a str,
}

record!(Finding<'_>, "finding");

impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rule, self.table)?;
        if self.size.0 != 0 {
            write!(f, " {:#x}+{:#x}", self.ia.0, self.size.0)?;
        }
        write!(f, ": {}", self.text)?;
        if !self.counts {
            f.write_str(" (not in use: L1 may be done with it)")?;
        }
        for (name, leaf) in [("guest", self.guest), ("host", self.host), ("shadow", self.shadow)] {
            if !leaf.is_empty() {
                write!(f, "\n    {name:<7} {leaf}")?;
            }
        }
        Ok(())
    }
}

/// The end of an audit.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Audit {
    /// Leaves of shadows and of the host's table that were checked.
    pub leaves: u64,
    /// Descriptors of L1's tables that were checked.
    pub descriptors: u64,
    /// Pages of tables that were counted.
    pub pages: u64,
    /// Findings that count.
    pub findings: u64,
    /// Findings in tables that nobody uses.
    pub unused: u64,
}

record!(Audit, "audit");

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} leaves and {} descriptors of L1 checked, {} table pages counted, {} findings",
            self.leaves, self.descriptors, self.pages, self.findings
        )?;
        match self.unused {
            0 => Ok(()),
            count => write!(f, ", and {count} in tables that are not in use"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_finding_is_a_sentence_with_its_leaves_below() {
        let finding = Finding {
            rule: "I1",
            table: "shadow/3",
            ia: Hex(0x8000_1000),
            size: Hex(0x1000),
            counts: true,
            cause: "missing-tlbi",
            text: "it is so",
            guest: "level 3",
            host: "",
            shadow: "level 2",
        };
        assert_eq!(
            finding.to_string(),
            "I1 shadow/3 0x80001000+0x1000: it is so\n    guest   level 3\n    shadow  level 2"
        );
        let unused = Finding {
            size: Hex(0),
            counts: false,
            guest: "",
            shadow: "",
            ..finding
        };
        assert_eq!(
            unused.to_string(),
            "I1 shadow/3: it is so (not in use: L1 may be done with it)"
        );
    }

    #[test]
    fn an_audit_ends_with_one_line() {
        let audit = Audit {
            leaves: 3,
            descriptors: 4,
            pages: 5,
            findings: 0,
            unused: 0,
        };
        let line = "3 leaves and 4 descriptors of L1 checked, 5 table pages counted, 0 findings";
        assert_eq!(audit.to_string(), line);
        let some = Audit { unused: 2, ..audit };
        assert_eq!(
            some.to_string(),
            std::format!("{line}, and 2 in tables that are not in use")
        );
    }
}
