//! The page: pictures, what stands beside them, and the same numbers as tables.
//!
//! One file that needs nothing else: style, script and data are in it, and its content security
//! policy forbids the browser to fetch anything. Without scripts the picture, the audit and the
//! tables are all there; the script adds zooming, the inspector and the choice among L2s.
//!
//! Whatever comes from a machine (names, words of the audit) is text here: escaped in the markup,
//! and in the data with `<` written so that no browser takes it for markup.

use std::fmt::Write as _;

use super::access::Class;
use super::data;
use super::model::{Range, Snapshot, Table, short_size_text, size_text};
use super::scene::Scene;
use super::svg::{self, Escaped};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// No more findings than this are listed; their count is of all.
const FINDINGS_MAX: usize = 500;

/// A table with more rows is folded up at first: laying it out takes the browser longer than the picture.
const ROWS_OPEN: usize = 400;

/// The page of a snapshot.
///
/// # Errors
///
/// When the data cannot be written as JSON, which would be a fault of this program.
pub fn render(snapshot: &Snapshot) -> Result<String, serde_json::Error> {
    let scenes = Scene::all(snapshot);
    let mut pictures = String::new();
    for (number, scene) in scenes.iter().enumerate() {
        pictures.push_str(&svg::inline(snapshot, scene, number));
    }
    let data = data::json(snapshot, &scenes)?.replace('<', "\\u003c");
    Ok(fill(|name| match name {
        "style" => format!("{}{STYLE}", svg::STYLE),
        "source" => Escaped(&snapshot.source).to_string(),
        "select" => select(&scenes),
        "scenes" => pictures.clone(),
        "legend" => legend(snapshot),
        "aside" => audit(snapshot) + &sums(snapshot),
        "tables" => snapshot
            .tables
            .iter()
            .enumerate()
            .map(|(index, table)| rows(snapshot, index, table))
            .collect(),
        "data" => data.clone(),
        "script" => SCRIPT.to_owned(),
        _ => String::new(),
    }))
}

/// The template with each `{{name}}` replaced, in one pass: what is put in is not looked at again.
fn fill(value: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, behind) = after.split_once("}}").unwrap_or((after, ""));
        out.push_str(&value(name));
        rest = behind;
    }
    out + rest
}

/// The choice among L2s, where there is one.
fn select(scenes: &[Scene]) -> String {
    let mut out = String::new();
    if scenes.len() < 2 {
        return out;
    }
    out.push_str("<label class=\"select\">L2 <select id=\"l2\">");
    for (number, scene) in scenes.iter().enumerate() {
        let name = scene.l2.as_deref().unwrap_or_default();
        let _ = write!(
            out,
            "<option value=\"{number}\">{}</option>",
            Escaped(&short_name(name))
        );
    }
    out + "</select></label>"
}

/// KVM's name of a context without the zeros in front of its numbers, for people.
fn short_name(name: &str) -> String {
    let parts: Vec<String> = name
        .split('-')
        .map(|part| match part.strip_prefix("0x") {
            Some(digits) => {
                let digits = digits.trim_start_matches('0');
                format!("0x{}", if digits.is_empty() { "0" } else { digits })
            }
            None => part.to_owned(),
        })
        .collect();
    parts.join("-")
}

fn legend(snapshot: &Snapshot) -> String {
    let ranges = || snapshot.tables.iter().flat_map(|table| &table.ranges);
    let mut out = String::new();
    for class in Class::ALL {
        let is_used = ranges().any(|range| range.access.class() == class);
        let unused = if is_used { "" } else { " unused" };
        let _ = writeln!(
            out,
            r#"<span class="key {}{unused}"><i></i>{}</span>"#,
            class.id(),
            class.title()
        );
    }
    out.push_str("<span class=\"key device\"><i></i>device memory</span>\n");
    out.push_str("<span class=\"key dashed\"><i></i>shadow</span>\n");
    if snapshot.is_audited {
        out.push_str("<span class=\"key bad\"><i></i>audit finding</span>\n");
    }
    out
}

/// What the audit found, and what the source says of itself.
fn audit(snapshot: &Snapshot) -> String {
    let mut out = String::from("<section class=\"card audit\"><h2>Audit</h2>\n");
    if !snapshot.is_audited {
        out.push_str("<p class=\"dim\">The source has no audit.</p>\n");
    } else if !snapshot.findings.iter().any(|finding| finding.counts) {
        out.push_str("<p class=\"good\">Nothing found: every leaf agrees with what it was made from.</p>\n");
    }
    if !snapshot.findings.is_empty() {
        out.push_str("<ol id=\"findings\">\n");
        for (index, finding) in snapshot.findings.iter().enumerate().take(FINDINGS_MAX) {
            let class = if finding.counts { "" } else { " class=\"unused\"" };
            let _ = write!(out, "<li data-f=\"{index}\" tabindex=\"0\"{class}>");
            if let Some(ia) = finding.ia {
                let _ = write!(out, "<code>{ia:#x}</code> ");
            }
            let _ = writeln!(
                out,
                "{}<small>{}{}</small></li>",
                Escaped(&finding.text),
                if finding.counts {
                    ""
                } else {
                    "not in use, L1 may be done with it: "
                },
                Escaped(&short_name(&finding.table)),
            );
        }
        out.push_str("</ol>\n");
        if let Some(more) = snapshot.findings.len().checked_sub(FINDINGS_MAX + 1) {
            let _ = writeln!(out, "<p class=\"remark\">and {} more</p>", more + 1);
        }
    }
    for note in &snapshot.notes {
        let _ = writeln!(out, "<p class=\"remark\">{}</p>", Escaped(note));
    }
    out + "</section>\n"
}

/// Bytes mapped, for each table, by level.
fn sums(snapshot: &Snapshot) -> String {
    let mut out = String::from("<section class=\"card sums\"><h2>Tables</h2>\n");
    for (index, table) in snapshot.tables.iter().enumerate() {
        let bytes = table.bytes();
        let (kind, name) = table.name.split_once('/').unwrap_or((&table.name, ""));
        let _ = write!(
            out,
            "<a class=\"sum\" href=\"#t{index}\" title=\"{}\"><b>{}</b><span>{} in {}</span><span class=\"levels\">",
            size_text(bytes),
            Escaped(kind),
            short_size_text(bytes),
            plural(table.ranges.len(), "range"),
        );
        for (level, part) in table.bytes_by_level() {
            let _ = write!(out, "<i>level {level}: {}</i>", short_size_text(part));
        }
        let _ = writeln!(out, "</span><code>{}</code></a>", Escaped(&short_name(name)));
    }
    out + "</section>\n"
}

fn plural(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// A table's ranges, one a row.
fn rows(snapshot: &Snapshot, index: usize, table: &Table) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<details class=\"card\" id=\"t{index}\"{}><summary><h2>{}</h2> <span>{}, {}{}</span></summary><div class=\"scroll\"><table data-table=\"{}\">",
        if table.ranges.len() <= ROWS_OPEN { " open" } else { "" },
        Escaped(&table.name),
        plural(table.ranges.len(), "range"),
        size_text(table.bytes()),
        table
            .ipa_bits
            .map_or_else(String::new, |bits| format!(", {bits} bits of input address")),
        Escaped(&table.name),
    );
    out.push_str("<thead><tr>");
    for head in HEADS {
        let _ = write!(out, "<th scope=\"col\">{head}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for (place, range) in table.shown().iter().enumerate() {
        row(&mut out, snapshot, table, range, &format!("{index}-{place}"));
    }
    out.push_str("</tbody></table></div>");
    let more = table.ranges.len() - table.shown().len();
    if more != 0 {
        let _ = write!(out, "<p class=\"remark\">{more} more are neither listed nor drawn.</p>");
    }
    out + "</details>\n"
}

const HEADS: [&str; 11] = [
    "from",
    "to",
    "size",
    "leads to",
    "level",
    "leaf",
    "allows",
    "memory",
    "AF, hint",
    "descriptor",
    "audit",
];

fn row(out: &mut String, snapshot: &Snapshot, table: &Table, range: &Range, id: &str) {
    let unknown = "–".to_owned();
    let hex = |value: Option<u64>| value.map_or_else(|| unknown.clone(), |value| format!("{value:#x}"));
    let memory = match (&range.mem, &range.sh) {
        (Some(mem), Some(sh)) => format!("{mem}, {sh}"),
        (Some(mem), None) => mem.clone(),
        _ => unknown.clone(),
    };
    let bits = match (range.af, range.contiguous) {
        (true, true) => "AF, contiguous",
        (true, false) => "AF",
        (false, true) => "contiguous",
        (false, false) => "",
    };
    let findings: Vec<&str> = snapshot
        .findings_in(table, range)
        .map(|found| found.text.as_str())
        .collect();
    let flagged = if findings.is_empty() { "" } else { " class=\"flagged\"" };
    let _ = writeln!(
        out,
        "<tr data-r=\"{id}\"{flagged}><td>{:#x}</td><td>{:#x}</td><td data-bytes=\"{}\">{}</td><td>{}</td><td>{}</td><td>{}</td><td><i class=\"{}\"></i>{}</td><td>{}</td><td>{bits}</td><td>{}</td><td>{}</td></tr>",
        range.ia,
        range.end(),
        range.size,
        size_text(u128::from(range.size)),
        hex(range.oa),
        range.level,
        range.kind(),
        range.access.class().id(),
        range.access,
        Escaped(&memory),
        hex(range.raw),
        Escaped(&findings.join("; ")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::model::Finding;

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot {
            source: "<here> & {{script}}".into(),
            is_audited: true,
            findings: vec![Finding {
                table: "shadow/a".into(),
                ia: Some(0x1000),
                size: 0x1000,
                text: "</script><script>alert(1)</script>".into(),
                counts: true,
            }],
            ..Snapshot::default()
        };
        snapshot.table_mut("shadow/a").push(Range {
            ia: 0x1000,
            size: 0x3000,
            oa: Some(0x8000),
            level: 3,
            ..Range::default()
        });
        snapshot
    }

    #[test]
    fn words_of_a_machine_are_no_markup_and_no_script() {
        let page = render(&snapshot()).unwrap();
        assert!(!page.contains("<script>alert"));
        assert_eq!(page.matches("<script").count(), 2, "the data and the script");
        assert!(
            page.contains("&lt;here&gt; &amp; {{script}}"),
            "what is put in is not looked at again"
        );
    }

    #[test]
    fn the_page_needs_nothing_from_anywhere() {
        let page = render(&snapshot()).unwrap();
        for word in ["src=", "@import", "fetch(", "XMLHttpRequest", "WebSocket"] {
            assert!(!page.contains(word), "{word}");
        }
        // The one address in it is a name.
        let addresses = page.matches("http").count();
        assert_eq!(addresses, 1 + page.matches("http-equiv").count());
    }

    #[test]
    fn a_row_has_the_numbers_of_its_range() {
        let page = render(&snapshot()).unwrap();
        let row = page.lines().find(|line| line.starts_with("<tr data-r=")).unwrap();
        for cell in ["0x1000", "0x4000", "12K", "0x8000", "page", "PXN UXN"] {
            assert!(row.contains(&format!("{cell}</td>")), "{cell} in {row}");
        }
        assert!(
            row.contains("data-bytes=\"12288\"") && row.contains("class=\"flagged\""),
            "{row}"
        );
    }

    #[test]
    fn the_data_is_json_without_markup() {
        let page = render(&snapshot()).unwrap();
        let (_, behind) = page.split_once("id=\"data\">").unwrap();
        let (data, _) = behind.split_once("</script>").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["tables"][0]["ranges"][0]["size"], "0x3000");
        assert_eq!(data["findings"][0]["text"], "</script><script>alert(1)</script>");
    }

    #[test]
    fn sums_are_those_of_the_ranges() {
        let page = render(&snapshot()).unwrap();
        assert!(page.contains("12K in 1 range<") && page.contains("level 3: 12K"));
    }

    #[test]
    fn the_choice_of_an_l2_is_there_when_there_is_one() {
        let mut snapshot = snapshot();
        assert!(!render(&snapshot).unwrap().contains("<select"));
        snapshot.table_mut("guest/b").push(Range {
            size: 0x1000,
            ..Range::default()
        });
        assert!(render(&snapshot).unwrap().contains("<option value=\"1\">b</option>"));
    }

    #[test]
    fn zeros_in_front_of_numbers_are_left_out_of_short_names() {
        let name = "0x0002000045c30000-0x00000000800d3559-s2-enabled";
        assert_eq!(short_name(name), "0x2000045c30000-0x800d3559-s2-enabled");
        assert_eq!(short_name("0x0000-0x1"), "0x0-0x1");
    }
}
