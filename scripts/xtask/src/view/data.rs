//! What the page's script knows, as JSON. Numbers of 64 bits are strings, as in the records.

use serde::Serialize;

use super::layer::{Layer, Space};
use super::model::{Range, Snapshot, size_text};
use super::scene::{COLUMN_LEFT, COLUMN_WIDTH, HEIGHT, STUB_WIDTH, Scene};

/// The data of a page.
///
/// # Errors
///
/// When they cannot be written as JSON, which would be a fault of this program.
pub fn json(snapshot: &Snapshot, scenes: &[Scene]) -> Result<String, serde_json::Error> {
    serde_json::to_string(&data(snapshot, scenes))
}

#[derive(Serialize)]
struct Data<'a> {
    geometry: Geometry,
    tables: Vec<TableData<'a>>,
    findings: Vec<FindingData<'a>>,
    scenes: Vec<SceneData>,
}

#[derive(Serialize)]
struct Geometry {
    height: f64,
    width: f64,
    left: [f64; 3],
    stub: f64,
}

#[derive(Serialize)]
struct TableData<'a> {
    name: &'a str,
    ranges: Vec<RangeData<'a>>,
}

#[derive(Serialize)]
struct RangeData<'a> {
    ia: String,
    size: String,
    oa: Option<String>,
    text: String,
    level: i8,
    kind: &'static str,
    class: &'static str,
    access: String,
    mem: Option<&'a str>,
    sh: Option<&'a str>,
    af: bool,
    contiguous: bool,
    raw: Option<String>,
}

#[derive(Serialize)]
struct FindingData<'a> {
    counts: bool,
    table: &'a str,
    ia: Option<String>,
    size: String,
    text: &'a str,
}

#[derive(Serialize)]
struct SceneData {
    /// Place of each layer's table.
    tables: [(&'static str, Option<usize>); 3],
    /// For each column its pieces.
    axes: Vec<Vec<PieceData>>,
    /// Finding, column, height.
    marks: Vec<(usize, usize, f64)>,
}

/// Start, end, top, bottom, whether mapped.
type PieceData = (String, String, f64, f64, bool);

fn data<'a>(snapshot: &'a Snapshot, scenes: &[Scene]) -> Data<'a> {
    let hex = |value: u64| format!("{value:#x}");
    let range = |range: &'a Range| RangeData {
        ia: hex(range.ia),
        size: hex(range.size),
        oa: range.oa.map(hex),
        text: size_text(u128::from(range.size)),
        level: range.level,
        kind: range.kind(),
        class: range.access.class().id(),
        access: range.access.to_string(),
        mem: range.mem.as_deref(),
        sh: range.sh.as_deref(),
        af: range.af,
        contiguous: range.contiguous,
        raw: range.raw.map(hex),
    };
    Data {
        geometry: Geometry {
            height: HEIGHT,
            width: COLUMN_WIDTH,
            left: COLUMN_LEFT,
            stub: STUB_WIDTH,
        },
        tables: snapshot
            .tables
            .iter()
            .map(|table| TableData {
                name: &table.name,
                ranges: table.shown().iter().map(range).collect(),
            })
            .collect(),
        findings: snapshot
            .findings
            .iter()
            .map(|finding| FindingData {
                counts: finding.counts,
                table: &finding.table,
                ia: finding.ia.map(hex),
                size: hex(finding.size),
                text: &finding.text,
            })
            .collect(),
        scenes: scenes.iter().map(|scene| scene_data(snapshot, scene)).collect(),
    }
}

fn scene_data(snapshot: &Snapshot, scene: &Scene) -> SceneData {
    let l2 = scene.l2.as_deref().unwrap_or_default();
    let place = |layer: Layer| {
        let name = layer.table_name(l2);
        snapshot.tables.iter().position(|table| table.name == name)
    };
    let pieces = |space: Space| {
        scene
            .axis(space)
            .pieces()
            .iter()
            .map(|piece| {
                let (start, end) = (format!("{:#x}", piece.start), format!("{:#x}", piece.end));
                (start, end, piece.top, piece.bottom, piece.is_mapped)
            })
            .collect()
    };
    SceneData {
        tables: Layer::ALL.map(|layer| (layer.id(), place(layer))),
        axes: Space::ALL.map(pieces).to_vec(),
        marks: scene
            .markers
            .iter()
            .map(|marker| (marker.finding, marker.space.index(), marker.at))
            .collect(),
    }
}
