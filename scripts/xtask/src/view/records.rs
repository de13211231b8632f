//! Records of gnomon's console, one JSON object a line, as a [`Snapshot`].
//!
//! A file may hold anything that came over the console: records of other commands and of tables
//! that are not stage 2 are passed over, so that a saved session can be drawn as it is. A line that is no record, or is of a
//! version this program does not know, is an error: a picture with a part left out would be
//! believed.
//!
//! The firmware's side of these types is the crate `wire`, whose records borrow; here they are
//! owned, and hold only what is drawn. A test reads what `wire` writes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use wire::Hex;

use super::access::Access;
use super::model::{Finding, Range, Snapshot, is_shown};

/// Reads a whole file or session.
///
/// # Errors
///
/// For the first line that is no record of this version; the message has its number.
pub fn read(text: &str) -> Result<Snapshot> {
    let mut reader = Reader::default();
    for (index, line) in text.lines().enumerate() {
        if !line.trim().is_empty() {
            reader.add(line).with_context(|| format!("line {}", index + 1))?;
        }
    }
    Ok(reader.finish())
}

/// A session being read.
#[derive(Default)]
struct Reader {
    snapshot: Snapshot,
    /// Names of the shadows by the number that the audit calls them by.
    names: BTreeMap<u32, String>,
}

/// What every record begins with.
#[derive(Deserialize)]
struct Head {
    v: u32,
    k: String,
}

/// `wire::Table`
#[derive(Deserialize)]
struct Table {
    table: String,
}

/// `wire::Map`
#[derive(Deserialize)]
struct Map {
    table: String,
    ia: Hex,
    size: Hex,
    oa: Hex,
    level: i8,
    kind: String,
    perms: String,
    mem: String,
    sh: String,
    af: bool,
    contiguous: bool,
    raw: Hex,
}

/// `wire::Shadow`
#[derive(Deserialize)]
struct Shadow {
    number: u32,
    name: String,
}

/// `wire::Finding`
#[derive(Deserialize)]
struct Found {
    rule: String,
    table: String,
    ia: Hex,
    size: Hex,
    counts: bool,
    text: String,
}

/// `wire::Note` and `wire::Error`
#[derive(Deserialize)]
struct Words {
    text: String,
}

impl Reader {
    fn add(&mut self, line: &str) -> Result<()> {
        let head: Head = serde_json::from_str(line).context("not a record of the console")?;
        if head.v != wire::VERSION {
            bail!(
                "a record of version {}; this program reads version {}",
                head.v,
                wire::VERSION
            );
        }
        let context = || format!("a `{}` record without what it should have", head.k);
        match head.k.as_str() {
            "map" => self.add_map(serde_json::from_str(line).with_context(context)?),
            "table" => {
                let table: Table = serde_json::from_str(line).with_context(context)?;
                if is_shown(&table.table) {
                    self.snapshot.table_mut(&table.table);
                }
            }
            "shadow" => {
                let shadow: Shadow = serde_json::from_str(line).with_context(context)?;
                self.names.insert(shadow.number, shadow.name);
            }
            "finding" => self.add_finding(serde_json::from_str(line).with_context(context)?),
            "audit" => self.snapshot.is_audited = true,
            "note" | "error" => {
                let words: Words = serde_json::from_str(line).with_context(context)?;
                if !self.snapshot.notes.contains(&words.text) {
                    self.snapshot.notes.push(words.text);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Holes are what is left between ranges; a table that could not be read is worth a note.
    fn add_map(&mut self, map: Map) {
        if !is_shown(&map.table) {
            return;
        }
        let is_block = match map.kind.as_str() {
            "block" => true,
            "page" => false,
            "unreadable" => {
                let note = format!("{}: the table for {} could not be read", map.table, map.ia);
                self.snapshot.notes.push(note);
                return;
            }
            _ => {
                self.snapshot.table_mut(&map.table);
                return;
            }
        };
        self.snapshot.table_mut(&map.table).push(Range {
            ia: map.ia.0,
            size: map.size.0,
            oa: Some(map.oa.0),
            level: map.level,
            is_block,
            access: Access::from_letters(&map.perms),
            mem: Some(map.mem),
            sh: Some(map.sh),
            af: map.af,
            contiguous: map.contiguous,
            raw: Some(map.raw.0),
        });
    }

    fn add_finding(&mut self, found: Found) {
        self.snapshot.is_audited = true;
        let is_whole = found.size.0 == 0;
        self.snapshot.findings.push(Finding {
            table: found.table,
            ia: (!is_whole).then_some(found.ia.0),
            size: found.size.0,
            text: format!("{}: {}", found.rule, found.text),
            counts: found.counts,
        });
    }

    fn finish(self) -> Snapshot {
        let Self { mut snapshot, names } = self;
        for table in &mut snapshot.tables {
            table.finish();
        }
        for finding in &mut snapshot.findings {
            if let Some(name) = full_name(&finding.table, &names) {
                finding.table = name;
            }
        }
        snapshot
    }
}

/// `shadow/3` by the name under which the table is listed.
fn full_name(table: &str, names: &BTreeMap<u32, String>) -> Option<String> {
    let (kind, number) = table.split_once('/')?;
    let name = names.get(&number.parse().ok()?)?;
    Some(format!("{kind}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: &dyn wire::Record) -> String {
        let mut buffer = [0; wire::LINE_BYTES];
        wire::write_line(&mut buffer, 7, record).unwrap().to_owned()
    }

    fn map(ia: u64, kind: &str) -> String {
        line(&wire::Map {
            table: "host",
            ia: Hex(ia),
            size: Hex(0x20_0000),
            oa: Hex(ia + 0x1000_0000),
            level: 2,
            kind,
            perms: "rw-u",
            mem: "normal-wb",
            sh: "inner",
            af: true,
            contiguous: true,
            raw: Hex(0x7fd),
        })
    }

    #[test]
    fn a_map_record_comes_back_field_by_field() {
        let snapshot = read(&map(0x4000_0000, "block")).unwrap();
        let expected = Range {
            ia: 0x4000_0000,
            size: 0x20_0000,
            oa: Some(0x5000_0000),
            level: 2,
            is_block: true,
            access: Access {
                read: true,
                write: true,
                px: false,
                ux: true,
            },
            mem: Some("normal-wb".into()),
            sh: Some("inner".into()),
            af: true,
            contiguous: true,
            raw: Some(0x7fd),
        };
        assert_eq!(snapshot.tables[0].name, "host");
        assert_eq!(snapshot.tables[0].ranges, [expected]);
    }

    #[test]
    fn holes_are_no_ranges_and_unreadable_tables_are_notes() {
        let text = map(0, "invalid") + &map(0x20_0000, "unreadable") + &map(0x40_0000, "page");
        let snapshot = read(&text).unwrap();
        assert_eq!(snapshot.tables[0].ranges.len(), 1);
        assert_eq!(snapshot.notes, ["host: the table for 0x200000 could not be read"]);
    }

    #[test]
    fn tables_keep_the_order_in_which_they_were_listed() {
        let tables = ["guest/0x1", "host"].map(|table| line(&wire::Table { table }));
        let snapshot = read(&(tables.concat() + &map(0, "page"))).unwrap();
        let names: Vec<&str> = snapshot.tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["guest/0x1", "host"]);
        assert_eq!(snapshot.l2_names(), ["0x1"]);
    }

    #[test]
    fn notes_and_errors_are_kept_once_and_other_kinds_are_passed_over() {
        let note = line(&wire::Note { text: "it changed" });
        let text = [
            line(&wire::Hello {
                name: "gnomon",
                version: "1",
            }),
            note.clone(),
            note,
            line(&wire::Error { text: "no table" }),
            line(&wire::End {}),
        ];
        assert_eq!(read(&text.concat()).unwrap().notes, ["it changed", "no table"]);
    }

    #[test]
    fn findings_are_about_the_table_that_has_the_number() {
        let found = |table, size| {
            line(&wire::Finding {
                rule: "I1",
                table,
                ia: Hex(0x5000),
                size: Hex(size),
                counts: size != 0,
                cause: "missing-tlbi",
                text: "it is so",
                guest: "",
                host: "",
                shadow: "",
            })
        };
        let shadow = r#"{"v":1,"id":1,"k":"shadow","number":3,"vmid":7,"name":"0x1-0x2-s2-enabled"}"#;
        let text = [
            found("shadow/3", 0x1000),
            found("guest/4", 0),
            found("host", 1),
            shadow.to_owned(),
        ];
        let snapshot = read(&text.join("\n")).unwrap();
        let tables: Vec<&str> = snapshot.findings.iter().map(|found| found.table.as_str()).collect();
        assert_eq!(tables, ["shadow/0x1-0x2-s2-enabled", "guest/4", "host"]);
        assert_eq!((snapshot.findings[0].ia, snapshot.findings[1].ia), (Some(0x5000), None));
        assert_eq!(snapshot.findings[0].text, "I1: it is so");
        assert!(snapshot.findings[0].counts && !snapshot.findings[1].counts);
        assert!(snapshot.is_audited);
    }

    #[test]
    fn an_audit_without_findings_is_an_audit() {
        assert!(!read(&map(0, "page")).unwrap().is_audited);
        let audit = line(&wire::Audit {
            leaves: 1,
            descriptors: 2,
            pages: 3,
            findings: 0,
            unused: 0,
        });
        assert!(read(&audit).unwrap().is_audited);
    }

    #[test]
    fn what_is_no_record_is_refused_with_its_line() {
        let good = map(0, "page");
        for (bad, why) in [
            ("ptdump host", "line 2: not a record of the console"),
            (r#"{"v":2,"id":1,"k":"end"}"#, "line 2: a record of version 2"),
            (r#"{"v":1,"id":1,"k":"map"}"#, "line 2: a `map` record without"),
        ] {
            let error = format!("{:#}", read(&format!("{good}{bad}\n")).unwrap_err());
            assert!(error.starts_with(why), "{error}");
        }
    }
}
