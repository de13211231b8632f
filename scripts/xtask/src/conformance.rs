//! What a guest hypervisor is offered, and the test that shows each piece of it: `docs/conformance.md`, from one table.
//!
//! The table is the text `conformance.txt`: areas begin with `## `, and a row has three cells, `what | evidence | but`. The
//! evidence is the names of tests, or `hidden REGISTER.FIELD < VALUE`: the field by which L1 learns that it is not there, and
//! the least value that would mean that it is. The last cell says where gnomon differs from the machine, if it does. That the
//! tests exist, that the fields are denied, and that the page is that of the table are tests of their own.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result};

use crate::project::Project;

const TABLE: &str = include_str!("conformance.txt");

/// What there is to say of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Evidence {
    /// Tests that fail when it is not so: trials of `tests/system`, or tests of the crates.
    Tests(Vec<&'static str>),
    /// Not offered: a field of a feature register, and the least value that would mean "there".
    Hidden(&'static str, &'static str),
}

use Evidence::{Hidden, Tests};

/// A line of the table.
enum Line {
    Area(&'static str),
    Row {
        what: &'static str,
        evidence: Evidence,
        but: &'static str,
    },
}

fn lines() -> impl Iterator<Item = Line> {
    TABLE.lines().filter(|line| !line.is_empty()).map(|line| {
        if let Some(area) = line.strip_prefix("## ") {
            return Line::Area(area);
        }
        let mut cells = line.split('|').map(str::trim);
        let mut next = || cells.next().unwrap_or("");
        Line::Row {
            what: next(),
            evidence: evidence(next()),
            but: next(),
        }
    })
}

fn evidence(cell: &'static str) -> Evidence {
    match cell.strip_prefix("hidden ").and_then(|rest| rest.split_once(" < ")) {
        Some((field, least)) => Hidden(field, least),
        None => Tests(cell.split_whitespace().collect()),
    }
}

/// The page.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Conformance\n\n\
         What a guest hypervisor is offered, and what shows it. Names that begin with `conform_`, `l2_`, `state_` and the like\n\
         are trials of `tests/system` ([testing.md](testing.md)), others are host tests of the crates. What is hidden reads as\n\
         absent in the field that is named, and its registers are undefined. The last column says where gnomon is not like the\n\
         machine.\n\n\
         The trials `conform_*` and `features_*` print a line for each thing that they try, natively and under gnomon, and fail\n\
         where the lines differ. No test shows the barriers between two contexts of a CPU: QEMU's TCG does not look ahead.\n\n\
         `cargo xtask conformance` writes this page from `scripts/xtask/src/conformance.txt`.\n",
    );
    for line in lines() {
        let _ = match line {
            Line::Area(area) => write!(page, "\n## {area}\n\n| what | shown by | but |\n|---|---|---|\n"),
            Line::Row { what, evidence, but } => {
                let but = if but.is_empty() {
                    String::new()
                } else {
                    format!(" {but}")
                };
                writeln!(page, "| {what} | {} |{but} |", cell(&evidence))
            }
        };
    }
    page
}

fn cell(evidence: &Evidence) -> String {
    match evidence {
        Tests(names) => names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Hidden(field, _) => format!("hidden by `{field}`"),
    }
}

/// Writes the page.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(project: &Project) -> Result<()> {
    let path = project.root().join("docs/conformance.md");
    fs::write(&path, page()).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use syndrome::SysReg;
    use syndrome::idreg::{self, Offer};

    fn rows() -> impl Iterator<Item = (&'static str, Evidence)> {
        lines().filter_map(|line| match line {
            Line::Area(_) => None,
            Line::Row { what, evidence, .. } => Some((what, evidence)),
        })
    }

    #[test]
    fn the_page_is_that_of_the_table() {
        let path = Project::new().root().join("docs/conformance.md");
        let written = fs::read_to_string(&path).expect("docs/conformance.md");
        assert!(
            written == page(),
            "docs/conformance.md is out of date: cargo xtask conformance"
        );
    }

    #[test]
    fn every_row_has_three_cells_and_says_another_thing() {
        let rows = TABLE
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("## "));
        for row in rows {
            assert_eq!(row.matches('|').count(), 2, "{row}");
        }
        let mut seen = BTreeSet::new();
        for (what, _) in self::rows() {
            assert!(!what.is_empty() && seen.insert(what), "twice: {what}");
        }
    }

    #[test]
    fn every_test_that_is_named_exists() {
        let tests = crate::evidence::Tests::read();
        for (what, evidence) in rows() {
            let Tests(names) = evidence else { continue };
            assert!(!names.is_empty(), "{what}: nothing shows it");
            for name in names {
                assert!(tests.have(name), "{what}: {name}");
            }
        }
    }

    #[test]
    fn what_is_called_hidden_is_denied() {
        for (what, evidence) in rows() {
            let Hidden(field, least) = evidence else { continue };
            let (register, field) = field.split_once('.').expect("a field of a register");
            let reg = SysReg::from_name(register).expect("a register");
            let low = (0..64)
                .step_by(4)
                .find(|low| idreg::field_name(reg, *low) == Some(field))
                .unwrap_or_else(|| panic!("{what}: {register} has no {field}"));
            let shown = idreg::visible(reg, u64::MAX, Offer::default()) >> low & 0xf;
            assert!(shown < least.parse().expect("a number"), "{what} is shown");
        }
    }
}
