//! The text files that Linux's KVM keeps in debugfs, as a [`Snapshot`].
//!
//! A VM's directory `kvm/<pid>-<fd>/` has `stage2_page_tables` and `ipa_range` for the VM's own
//! table, which is the host's for an L1, and, where nesting is on, `nested/` with a file
//! for each shadow, named `0x<vttbr>-0x<vtcr>-s2-enabled` or `-s2-disabled`. So a copy of that
//! directory from a Linux that runs KVM at L0 shows the same tables as gnomon's `host` and
//! `shadow/*`.
//!
//! The text has no output addresses, memory types or descriptors; L1's own tables are not there
//! at all. What the text does not say stays unknown in the snapshot.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::access::Access;
use super::model::{Range, Snapshot, Table};

/// The line a dump begins with.
const HEADER: &str = "---[ Guest IPA ]---";

/// Reads a VM's directory, or a copy of it.
///
/// # Errors
///
/// When the directory has none of the files, or one of them is not in Linux's format.
pub fn read(dir: &Path) -> Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    let host = dir.join("stage2_page_tables");
    if host.exists() {
        let mut table = read_table(&host, "host")?;
        table.ipa_bits = read_bits(&dir.join("ipa_range"))?;
        snapshot.tables.push(table);
    }
    for name in shadow_names(&dir.join("nested"))? {
        let file = dir.join("nested").join(&name);
        snapshot.tables.push(read_table(&file, &format!("shadow/{name}"))?);
    }
    if snapshot.tables.is_empty() {
        bail!(
            "{} has neither `stage2_page_tables` nor `nested/` (is it a VM's directory under /sys/kernel/debug/kvm?)",
            dir.display()
        );
    }
    let missing = "Linux's dump has no output addresses, memory types or descriptors: ranges end where that begins.";
    snapshot.notes.push(missing.to_owned());
    Ok(snapshot)
}

/// Names of the shadows' files, sorted; none where there is no such directory.
fn shadow_names(dir: &Path) -> Result<Vec<String>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("0x") && (name.ends_with("-s2-enabled") || name.ends_with("-s2-disabled")))
        .collect();
    names.sort();
    Ok(names)
}

fn read_bits(path: &Path) -> Result<Option<u32>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let bits = text.trim().parse();
    Ok(Some(bits.with_context(|| format!("{}: not a number", path.display()))?))
}

fn read_table(path: &Path, name: &str) -> Result<Table> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(name, &text).with_context(|| format!("{} is not a dump of stage 2", path.display()))
}

/// Reads one dump.
///
/// # Errors
///
/// For the first line that is not in Linux's format; the message has its number.
pub fn parse(name: &str, text: &str) -> Result<Table> {
    let mut table = Table {
        name: name.to_owned(),
        ..Table::default()
    };
    let mut lines = text.lines().enumerate();
    match lines.next() {
        Some((_, HEADER)) => {}
        _ => bail!("line 1 is not `{HEADER}`"),
    }
    for (index, line) in lines {
        if let Some(range) = parse_line(line).with_context(|| format!("line {}: {line:?}", index + 1))? {
            table.push(range);
        }
    }
    table.finish();
    Ok(table)
}

/// One line; `None` for a hole. An invalid entry that is not zero (`F`) maps nothing either.
fn parse_line(line: &str) -> Result<Option<Range>> {
    let (range, rest) = line.split_once(' ').context("no range")?;
    let (start, end) = range.split_once('-').context("no range")?;
    let (ia, end) = (address(start)?, address(end)?);
    let size = end
        .checked_sub(ia)
        .filter(|size| *size != 0)
        .context("the range is empty")?;
    let mut words = rest.split_whitespace();
    words.next().context("no size")?;
    let level = words.next().and_then(|word| word.parse().ok()).context("no level")?;
    let attributes: Vec<&str> = words.collect();
    if let Some(odd) = attributes.iter().find(|word| !ATTRIBUTES.contains(word)) {
        bail!("`{odd}` is no attribute");
    }
    let has = |word: &str| attributes.contains(&word);
    if attributes.is_empty() || has("F") {
        return Ok(None);
    }
    Ok(Some(Range {
        ia,
        size,
        level,
        is_block: has("BLK"),
        access: Access {
            read: has("R"),
            write: has("W"),
            px: has("px"),
            ux: has("ux") || has("PXNux"),
        },
        af: has("AF"),
        ..Range::default()
    }))
}

/// Every word that can follow the level. `PXNUXN` has no blank between its two columns.
const ATTRIBUTES: [&str; 10] = ["F", "R", "W", "px", "ux", "UXN", "PXNux", "PXNUXN", "AF", "BLK"];

fn address(text: &str) -> Result<u64> {
    let digits = text.strip_prefix("0x").context("no address")?;
    u64::from_str_radix(digits, 16).context("no address")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::model::size_text;

    /// A directory as KVM's, in the format of Linux 7.2.
    fn golden() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/debugfs")
    }

    #[test]
    fn a_vms_directory_is_its_host_table_and_its_shadows() {
        let snapshot = read(&golden()).unwrap();
        let names: Vec<&str> = snapshot.tables.iter().map(|table| table.name.as_str()).collect();
        let shadow = "shadow/0x0002000045a30000-0x00000000800d3559-s2-enabled";
        assert_eq!(names, ["host", shadow]);
        assert_eq!(snapshot.tables[0].ipa_bits, Some(40));
        assert_eq!(snapshot.tables[1].ipa_bits, None);
        assert_eq!(snapshot.l2_names(), [shadow.strip_prefix("shadow/").unwrap()]);
        assert!(snapshot.notes[0].contains("no output addresses"));
    }

    #[test]
    fn every_mapped_line_is_a_range_and_no_hole_is() {
        let snapshot = read(&golden()).unwrap();
        for table in &snapshot.tables {
            let file = match table.l2_name() {
                Some(name) => golden().join("nested").join(name),
                None => golden().join("stage2_page_tables"),
            };
            let text = fs::read_to_string(file).unwrap();
            let mapped: Vec<&str> = text.lines().filter(|line| line.contains(" AF ")).collect();
            assert_eq!(table.ranges.len(), mapped.len(), "{}", table.name);
            for (range, line) in table.ranges.iter().zip(mapped) {
                let start = format!("{:#018x}-{:#018x} ", range.ia, range.end());
                let size = format!(" {} {} ", size_text(range.size.into()), range.level);
                assert!(line.starts_with(&start) && line.contains(&size), "{line}");
            }
        }
    }

    #[test]
    fn every_permission_is_read_from_its_own_column() {
        let line = |attributes: &str| {
            let text = format!("{HEADER}\n0x0000000000000000-0x0000000000001000           4K 3  {attributes}\n");
            parse("host", &text).unwrap().ranges.first().cloned()
        };
        for (attributes, access) in [
            (" R W px ux  AF    ", "rwpu"),
            (" R W PXNux  AF    ", "rwu"),
            (" R   PXNUXN AF    ", "r"),
            ("   W px UXN       ", "wp"),
        ] {
            let range = line(attributes).unwrap();
            assert_eq!(range.access, Access::from_letters(access), "{attributes}");
            assert_eq!(range.af, attributes.contains("AF"));
            assert_eq!((range.oa, range.mem, range.raw), (None, None, None));
        }
        assert_eq!(line("F R W PXNUXN       "), None, "invalid, whatever bits are set");
    }

    #[test]
    fn what_is_not_a_dump_is_refused_with_the_line() {
        for (text, why) in [
            ("", "line 1"),
            ("Guest IPA\n", "line 1"),
            (&format!("{HEADER}\nhello\n"), "line 2"),
            (&format!("{HEADER}\n0x1000-0x1000 0K 3\n"), "the range is empty"),
            (&format!("{HEADER}\n0x1000-0x2000 4K 3 X AF\n"), "`X` is no attribute"),
            (&format!("{HEADER}\n0x1000-0x2000 4K\n"), "no level"),
        ] {
            let error = format!("{:#}", parse("host", text).unwrap_err());
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_directory_without_the_files_is_refused_by_name() {
        let error = read(Path::new("/no/such/directory")).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/directory has neither"), "{error}");
    }
}
