//! Records of gnomon's console, one JSON object a line, as a [`Snapshot`].
//!
//! A file may hold anything that came over the console: records of other commands and of tables
//! that are not stage 2 are passed over, so that a saved session can be drawn as it is. A line that is no record, or is of a
//! version this program does not know, is an error: a picture with a part left out would be
//! believed.
//!
//! The firmware's side of these types is the crate `wire`, whose records borrow; here they are
//! owned, and hold only what is drawn. A test reads what `wire` writes.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use wire::Hex;

use super::model::{Access, Finding, Range, Snapshot, is_shown};

/// Reads a whole file or session.
///
/// # Errors
///
/// For the first line that is no record of this version; the message has its number.
pub fn read(text: &str) -> Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    for (index, line) in text.lines().enumerate() {
        if !line.trim().is_empty() {
            add(&mut snapshot, line).with_context(|| format!("line {}", index + 1))?;
        }
    }
    for table in &mut snapshot.tables {
        table.finish();
    }
    Ok(snapshot)
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

/// What the audit found wrong with one leaf.
#[derive(Deserialize)]
struct Audit {
    table: String,
    ia: Option<Hex>,
    size: Option<Hex>,
    text: String,
}

/// `wire::Note` and `wire::Error`
#[derive(Deserialize)]
struct Words {
    text: String,
}

fn add(snapshot: &mut Snapshot, line: &str) -> Result<()> {
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
        "map" => add_map(snapshot, serde_json::from_str(line).with_context(context)?),
        "table" => {
            let table: Table = serde_json::from_str(line).with_context(context)?;
            if is_shown(&table.table) {
                snapshot.table_mut(&table.table);
            }
        }
        "audit" => {
            let audit: Audit = serde_json::from_str(line).with_context(context)?;
            snapshot.is_audited = true;
            snapshot.findings.push(Finding {
                table: audit.table,
                ia: audit.ia.map(|ia| ia.0),
                size: audit.size.map_or(0, |size| size.0),
                text: audit.text,
            });
        }
        "audit_sum" => snapshot.is_audited = true,
        "note" | "error" => {
            let words: Words = serde_json::from_str(line).with_context(context)?;
            if !snapshot.notes.contains(&words.text) {
                snapshot.notes.push(words.text);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Holes are what is left between ranges; a table that could not be read is worth a note.
fn add_map(snapshot: &mut Snapshot, map: Map) {
    if !is_shown(&map.table) {
        return;
    }
    let is_block = match map.kind.as_str() {
        "block" => true,
        "page" => false,
        "unreadable" => {
            let note = format!("{}: the table for {} could not be read", map.table, map.ia);
            snapshot.notes.push(note);
            return;
        }
        _ => {
            snapshot.table_mut(&map.table);
            return;
        }
    };
    snapshot.table_mut(&map.table).push(Range {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn line<R: wire::Record>(record: &R) -> String {
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
