//! A scene as SVG: the picture in the page, and a file of its own for documents.
//!
//! The picture is drawn once, at its full height. What the page stretches when it zooms is in the
//! group `world`: columns and ribbons. Words and marks would be stretched with it, so they stand
//! in groups beside it, which the page fills anew. Colours are classes; `scene.css` gives them,
//! for light and dark.

use std::fmt::{self, Write as _};

use super::labels;
use super::layer::{Layer, Space};
use super::model::{Finding, Range, Snapshot, size_text};
use super::scene::{COLUMN_LEFT, COLUMN_WIDTH, HEIGHT, Ribbon, STUB_WIDTH, Scene, WIDTH};

/// Style of the picture, for the page and for files.
pub const STYLE: &str = include_str!("scene.css");

/// Room around the columns: left and right, above for their heads, below.
const MARGIN: f64 = 20.0;
const HEAD: f64 = 62.0;
const FOOT: f64 = 14.0;

/// Ribbons lower than this have no words in them.
const WORDS_HEIGHT: f64 = 15.0;

/// The picture as part of a page; `number` tells several on one page apart.
#[must_use]
pub fn inline(snapshot: &Snapshot, scene: &Scene, number: usize) -> String {
    let mut out = String::new();
    open(&mut out, scene, number, "");
    body(&mut out, snapshot, scene, number);
    out.push_str("</svg>\n");
    out
}

/// The picture as a file.
#[must_use]
pub fn file(snapshot: &Snapshot, scene: &Scene) -> String {
    let mut out = String::new();
    open(&mut out, scene, 0, r#" xmlns="http://www.w3.org/2000/svg""#);
    let _ = write!(out, "<style>{STYLE}</style>\n<rect class=\"paper\" ");
    let _ = writeln!(
        out,
        r#"x="{}" y="{}" width="100%" height="100%"/>"#,
        Num(-MARGIN),
        Num(-HEAD)
    );
    body(&mut out, snapshot, scene, 0);
    out.push_str("</svg>\n");
    out
}

fn open(out: &mut String, scene: &Scene, number: usize, attributes: &str) {
    let title = scene.l2.as_deref().map_or_else(
        || "L1's address spaces".to_owned(),
        |l2| format!("Address spaces of the L2 {l2}"),
    );
    let _ = writeln!(
        out,
        r#"<svg{attributes} class="scene mode-stages" id="scene-{number}" viewBox="{} {} {} {}" role="group" aria-label="{}">"#,
        Num(-MARGIN),
        Num(-HEAD),
        Num(WIDTH + 2.0 * MARGIN),
        Num(HEAD + HEIGHT + FOOT),
        Escaped(&title),
    );
}

fn body(out: &mut String, snapshot: &Snapshot, scene: &Scene, number: usize) {
    definitions(out, number);
    heads(out, scene);
    let _ = writeln!(out, r##"<g clip-path="url(#clip-{number})">"##);
    out.push_str("<g class=\"world\">\n");
    for layer in Layer::ALL {
        let alone = if layer == Layer::Shadow && !scene.has(Layer::Guest) {
            " alone"
        } else {
            ""
        };
        let _ = writeln!(out, r#"<g class="layer {}{alone}">"#, layer.id());
        for ribbon in scene.ribbons.iter().filter(|ribbon| ribbon.layer == layer) {
            draw_ribbon(out, snapshot, ribbon, number);
        }
        out.push_str("</g>\n");
    }
    out.push_str("<g class=\"trace\"></g>\n");
    for space in Space::ALL {
        column(out, scene, space);
    }
    out.push_str("</g>\n<g class=\"words\">\n");
    for ribbon in &scene.ribbons {
        if ribbon.layer != Layer::Shadow || !scene.has(Layer::Guest) {
            ribbon_words(out, snapshot, ribbon);
        }
    }
    for space in Space::ALL {
        column_words(out, scene, space);
    }
    out.push_str("</g>\n<g class=\"marks\">\n");
    marks(out, snapshot, scene);
    out.push_str("</g>\n</g>\n");
}

/// The hatch of device memory, how ribbons fade that lead nowhere known, and the picture's frame.
fn definitions(out: &mut String, number: usize) {
    let _ = writeln!(
        out,
        r#"<defs>
<pattern id="hatch-{number}" class="hatch-pattern" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line x1="0" y1="0" x2="0" y2="7"/></pattern>
<linearGradient id="fade-{number}"><stop offset="0" stop-color="white"/><stop offset="1" stop-color="black"/></linearGradient>
<mask id="stub-{number}" maskContentUnits="objectBoundingBox"><rect width="1" height="1" fill="url(#fade-{number})"/></mask>
<clipPath id="clip-{number}"><rect class="window" x="{}" y="-1" width="{}" height="{}"/></clipPath>
</defs>"#,
        Num(-MARGIN),
        Num(WIDTH + 2.0 * MARGIN),
        Num(HEIGHT + 2.0),
    );
}

fn heads(out: &mut String, scene: &Scene) {
    for space in Space::ALL {
        let left = COLUMN_LEFT[space.index()];
        let is_empty = scene.axis(space).pieces().is_empty();
        let subtitle = if is_empty { "nothing known" } else { space.subtitle() };
        let _ = writeln!(
            out,
            r#"<text class="head" x="{}" y="-34">{}</text><text class="subhead" x="{}" y="-15">{subtitle}</text>"#,
            Num(left),
            space.title(),
            Num(left),
        );
    }
}

fn draw_ribbon(out: &mut String, snapshot: &Snapshot, ribbon: &Ribbon, number: usize) {
    let table = &snapshot.tables[ribbon.table];
    let range = &table.ranges[ribbon.range];
    let path = outline(ribbon);
    let mut class = format!("ribbon {}", ribbon.class.id());
    if ribbon.is_flagged {
        class.push_str(" flagged");
    }
    let mask = if ribbon.to.is_none() {
        format!(r##" mask="url(#stub-{number})""##)
    } else {
        String::new()
    };
    let _ = writeln!(
        out,
        r#"<path class="{class}" data-r="{}-{}" tabindex="0" role="img" aria-label="{}"{mask} d="{path}"/>"#,
        ribbon.table,
        ribbon.range,
        Escaped(&description(ribbon.layer, range, snapshot.findings_in(table, range))),
    );
    if ribbon.is_device {
        let _ = writeln!(
            out,
            r#"<path class="hatch" fill="url(#hatch-{number})"{mask} d="{path}"/>"#
        );
    }
}

/// A range in one sentence, for those who do not see it.
fn description<'a>(layer: Layer, range: &Range, findings: impl Iterator<Item = &'a Finding>) -> String {
    let mut text = format!(
        "{}, {:#x} to {:#x}, {}, ",
        layer.title(),
        range.ia,
        range.end(),
        size_text(u128::from(range.size)),
    );
    if let Some(oa) = range.oa {
        let _ = write!(text, "leads to {oa:#x}, ");
    }
    let _ = write!(text, "{}, level {}", range.access, range.level);
    if let Some(mem) = &range.mem {
        let _ = write!(text, ", {mem}");
    }
    for finding in findings {
        let _ = write!(text, "; audit: {}", finding.text);
    }
    text
}

/// A ribbon's left end, right end, and the line around it.
fn outline(ribbon: &Ribbon) -> String {
    let (input, output) = ribbon.layer.spaces();
    let left = COLUMN_LEFT[input.index()] + COLUMN_WIDTH;
    let (top, bottom) = ribbon.from;
    let Some((to_top, to_bottom)) = ribbon.to else {
        let right = left + STUB_WIDTH;
        return format!("M{0} {2}H{1}V{3}H{0}Z", Num(left), Num(right), Num(top), Num(bottom));
    };
    let right = COLUMN_LEFT[output.index()];
    let middle = f64::midpoint(left, right);
    format!(
        "M{left} {top}C{middle} {top} {middle} {to_top} {right} {to_top}V{to_bottom}C{middle} {to_bottom} {middle} {bottom} {left} {bottom}Z",
        left = Num(left),
        right = Num(right),
        middle = Num(middle),
        top = Num(top),
        bottom = Num(bottom),
        to_top = Num(to_top),
        to_bottom = Num(to_bottom),
    )
}

fn column(out: &mut String, scene: &Scene, space: Space) {
    let left = COLUMN_LEFT[space.index()];
    let axis = scene.axis(space);
    let _ = writeln!(out, r#"<g class="column">"#);
    for region in axis.regions() {
        let _ = writeln!(
            out,
            r#"<rect class="memory" x="{}" y="{}" width="{}" height="{}"/>"#,
            Num(left),
            Num(region.top),
            Num(COLUMN_WIDTH),
            Num(region.bottom - region.top),
        );
    }
    let mut ticks = String::new();
    for piece in axis.pieces().iter().filter(|piece| piece.is_mapped) {
        let _ = write!(ticks, "M{} {}H{}", Num(left), Num(piece.top), Num(left + COLUMN_WIDTH));
    }
    let mut gaps = String::new();
    for gap in axis.pieces().iter().filter(|piece| !piece.is_mapped) {
        for x in [left, left + COLUMN_WIDTH] {
            let _ = write!(gaps, "M{} {}V{}", Num(x), Num(gap.top), Num(gap.bottom));
        }
    }
    let _ = writeln!(
        out,
        "<path class=\"tick\" d=\"{ticks}\"/><path class=\"gap\" d=\"{gaps}\"/>\n</g>"
    );
}

fn ribbon_words(out: &mut String, snapshot: &Snapshot, ribbon: &Ribbon) {
    let (top, bottom) = ribbon.from;
    if bottom - top < WORDS_HEIGHT {
        return;
    }
    let range = &snapshot.tables[ribbon.table].ranges[ribbon.range];
    let left = COLUMN_LEFT[ribbon.layer.spaces().0.index()] + COLUMN_WIDTH;
    let _ = writeln!(
        out,
        r#"<text class="note" x="{}" y="{}">{} · {}</text>"#,
        Num(left + 10.0),
        Num(f64::midpoint(top, bottom)),
        size_text(u128::from(range.size)),
        range.access,
    );
}

fn column_words(out: &mut String, scene: &Scene, space: Space) {
    let left = COLUMN_LEFT[space.index()];
    for label in labels::choose(scene.axis(space)) {
        let (class, x) = if label.is_address {
            ("address", left + 10.0)
        } else {
            ("elided", left + COLUMN_WIDTH / 2.0)
        };
        let _ = writeln!(
            out,
            r#"<text class="{class}" x="{}" y="{}">{}</text>"#,
            Num(x),
            Num(label.at),
            label.text
        );
    }
}

fn marks(out: &mut String, snapshot: &Snapshot, scene: &Scene) {
    for marker in &scene.markers {
        let left = COLUMN_LEFT[marker.space.index()];
        let text = snapshot
            .findings
            .get(marker.finding)
            .map_or("", |finding| &finding.text);
        let _ = writeln!(
            out,
            r#"<g class="mark" data-f="{}" transform="translate({} {})"><circle cx="-10" r="8"/><text x="-10">!</text><title>{}</title></g>"#,
            marker.finding,
            Num(left),
            Num(marker.at),
            Escaped(text),
        );
    }
}

/// A coordinate: three digits behind the point, and no more of them than needed.
struct Num(f64);

impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.3}", self.0);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        f.write_str(if text == "-0" { "0" } else { text })
    }
}

/// Text as content or attribute of an element.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                // XML has no way to write these.
                c if c.is_control() && !c.is_whitespace() => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use roxmltree::Document;

    use super::*;
    use crate::view::{debugfs, records};

    fn sample() -> Snapshot {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records/two-l2s.jsonl");
        records::read(&fs::read_to_string(path).unwrap()).unwrap()
    }

    fn count(document: &Document<'_>, class: &str) -> usize {
        let has = |node: &roxmltree::Node<'_, '_>| {
            let classes = node.attribute("class").unwrap_or_default();
            classes.split(' ').any(|one| one == class)
        };
        document.descendants().filter(has).count()
    }

    #[test]
    fn a_file_is_well_formed_and_has_every_range_once() {
        let snapshot = sample();
        for scene in Scene::all(&snapshot) {
            let text = file(&snapshot, &scene);
            let document = Document::parse(&text).unwrap();
            assert_eq!(count(&document, "ribbon"), scene.ribbons.len());
            let devices = scene.ribbons.iter().filter(|ribbon| ribbon.is_device).count();
            assert_eq!(count(&document, "hatch"), devices);
            assert_eq!(count(&document, "mark"), scene.markers.len());
        }
    }

    #[test]
    fn every_reference_is_to_a_definition_of_the_same_picture() {
        let snapshot = sample();
        let text = format!("<all>{}</all>", inline(&snapshot, &Scene::all(&snapshot)[1], 7));
        let document = Document::parse(&text).unwrap();
        let ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
        for part in text.split("url(#").skip(1) {
            let id = part.split(')').next().unwrap();
            assert!(ids.contains(&id) && id.ends_with("-7"), "{id}");
        }
    }

    #[test]
    fn a_range_without_an_output_address_fades() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/debugfs");
        let snapshot = debugfs::read(&dir).unwrap();
        let text = file(&snapshot, &Scene::all(&snapshot)[0]);
        let document = Document::parse(&text).unwrap();
        let faded = document.descendants().filter(|node| node.attribute("mask").is_some());
        assert_eq!(faded.count(), count(&document, "ribbon"));
        assert_eq!(count(&document, "alone"), 1, "nothing stands in front of the shadow");
    }

    #[test]
    fn words_of_a_machine_are_no_markup() {
        let mut snapshot = sample();
        for finding in &mut snapshot.findings {
            finding.text = "</title><script>alert(\"1\")</script>&\u{1b}\u{0}".into();
        }
        let text = file(&snapshot, &Scene::all(&snapshot)[0]);
        let document = Document::parse(&text).unwrap();
        assert!(!document.descendants().any(|node| node.has_tag_name("script")));
    }

    #[test]
    fn coordinates_have_no_more_digits_than_they_need() {
        for (number, text) in [
            (0.0, "0"),
            (-0.000_01, "0"),
            (20.0, "20"),
            (1.5, "1.5"),
            (-62.125, "-62.125"),
        ] {
            assert_eq!(Num(number).to_string(), text);
        }
    }
}
