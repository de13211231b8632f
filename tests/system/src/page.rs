//! The tables on the viewer's page, read as a browser shows them, against a dump.
//!
//! A row is one line of the page: `<tr data-r=..><td>0x9000000</td><td>0x9001000</td>..`, with the
//! columns from, to, size, leads to, level, leaf, allows.

use crate::ptdump::{Dump, Leaf};

/// One row of a table on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Bytes, in words.
    pub size: String,
    /// Level of the leaves.
    pub level: u8,
    /// What they allow, in the dump's words.
    pub access: String,
    /// Whether they are blocks.
    pub is_block: bool,
}

/// The rows of a table; none when the page does not have it.
#[must_use]
pub fn rows(page: &str, table: &str) -> Vec<Row> {
    let begin = format!("<table data-table=\"{table}\">");
    let Some((_, behind)) = page.split_once(&begin) else {
        return Vec::new();
    };
    let body = behind.split("</table>").next().unwrap_or_default();
    body.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<String> = line.strip_prefix("<tr ")?.split("<td").skip(1).map(content).collect();
    let address = |cell: &String| u64::from_str_radix(cell.strip_prefix("0x")?, 16).ok();
    Some(Row {
        start: address(cells.first()?)?,
        end: address(cells.get(1)?)?,
        size: cells.get(2)?.clone(),
        level: cells.get(4)?.parse().ok()?,
        is_block: cells.get(5)? == "block",
        access: cells.get(6)?.clone(),
    })
}

/// What stands in a cell, from behind `<td`: attributes and markup left out.
fn content(cell: &str) -> String {
    let inner = cell.split_once('>').map_or("", |(_, inner)| inner);
    let inner = inner.split("</td>").next().unwrap_or_default();
    let mut text = String::new();
    let mut is_markup = false;
    for c in inner.chars() {
        match c {
            '<' => is_markup = true,
            '>' => is_markup = false,
            c if !is_markup => text.push(c),
            _ => {}
        }
    }
    text
}

/// Where rows and dump differ.
pub fn disagreements(rows: &[Row], dump: &Dump) -> impl Iterator<Item = String> {
    let mut wrong: Vec<String> = rows.iter().filter_map(|row| why_not_in(row, dump)).collect();
    for level in 0..4 {
        let of_level = rows.iter().filter(|row| row.level == level);
        let bytes: u64 = of_level.map(|row| row.end - row.start).sum();
        let dumped = dump.mapped_bytes_at(level);
        if bytes != dumped {
            wrong.push(format!("{bytes:#x} bytes at level {level}, {dumped:#x} in the dump"));
        }
    }
    if let Some(pair) = rows.windows(2).find(|pair| pair[1].start < pair[0].end) {
        wrong.push(format!("two rows overlap: {pair:?}"));
    }
    wrong.into_iter()
}

/// Why a row is no part of one range of the dump.
fn why_not_in(row: &Row, dump: &Dump) -> Option<String> {
    let range = dump.at(row.start).filter(|range| row.end <= range.end);
    let alike = range.and_then(|range| {
        let leaf = range.leaf?;
        let is_same = range.level == row.level && leaf.is_block == row.is_block && words(leaf) == row.access;
        is_same.then_some(())
    });
    match alike {
        Some(()) => None,
        None => Some(format!("{row:x?} is in the dump {range:x?}")),
    }
}

fn words(leaf: Leaf) -> String {
    let mut words = Vec::new();
    words.extend(leaf.read.then_some("R"));
    words.extend(leaf.write.then_some("W"));
    words.push(if leaf.execute_el1 { "px" } else { "PXN" });
    words.push(if leaf.execute_el0 { "ux" } else { "UXN" });
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<table data-table=\"host\"><thead><tr><th>from</th></tr></thead>\n\
        <tr data-r=\"0-0\"><td>0x0</td><td>0x1000</td><td data-bytes=\"4096\">4K</td><td>0x8000</td><td>3</td><td>page</td><td><i class=\"rw\"></i>R W PXN UXN</td></tr>\n\
        <tr data-r=\"0-1\"><td>0x1000</td><td>0x2000</td><td data-bytes=\"4096\">4K</td><td>0x4000</td><td>3</td><td>page</td><td><i class=\"rw\"></i>R W PXN UXN</td></tr>\n\
        </table><table data-table=\"shadow/1\"></table>";

    const DUMP: [&str; 2] = [
        "---[ Guest IPA ]---",
        "0x0000000000000000-0x0000000000002000           8K 3   R W PXNUXN AF    ",
    ];

    fn compare(page: &str) -> Vec<String> {
        disagreements(&rows(page, "host"), &Dump::parse(&DUMP).unwrap()).collect()
    }

    #[test]
    fn rows_are_read_without_their_markup() {
        let found = rows(PAGE, "host");
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].start, found[1].end, found[1].level), (0x1000, 0x2000, 3));
        assert_eq!(
            (found[0].size.as_str(), found[0].access.as_str()),
            ("4K", "R W PXN UXN")
        );
        assert_eq!(rows(PAGE, "shadow/1"), []);
        assert_eq!(rows(PAGE, "guest/1"), []);
    }

    #[test]
    fn rows_that_make_up_the_dump_agree() {
        assert_eq!(compare(PAGE), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_found() {
        for (from, to) in [
            ("R W PXN", "R PXN"),
            (">page<", ">block<"),
            ("<td>3<", "<td>2<"),
            ("<td>0x2000<", "<td>0x3000<"),
            ("<td>0x1000</td><td>0x2000<", "<td>0x0</td><td>0x1000<"),
            ("<tr data-r=\"0-1\"", "<x"),
        ] {
            assert_ne!(compare(&PAGE.replace(from, to)), Vec::<String>::new(), "{from} -> {to}");
        }
    }
}
