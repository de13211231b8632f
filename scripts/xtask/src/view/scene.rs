//! Where everything in the picture of one L2 stands.
//!
//! Three columns, one address space each, and ribbons between them: L1's own table leads from
//! L2 IPA to L1 IPA, the host's from L1 IPA to PA, and the shadow from L2 IPA to PA at once. An
//! axis is not linear ([`super::axis`]), so each column is also cut where ranges of its
//! neighbours begin and end: two columns that map one to one then have equal axes, and the
//! ribbons between them are straight.
//!
//! Widths and heights are in the units of the SVG's `viewBox`. Heights are those of the whole
//! picture; the page zooms by stretching them.

use super::access::Class;
use super::axis::Axis;
use super::layer::{Layer, Space};
use super::model::{Finding, Range, Snapshot, Table};

/// Height of the columns.
pub const HEIGHT: f64 = 716.0;

/// Width of a column.
pub const COLUMN_WIDTH: f64 = 148.0;

/// Left edges of the columns.
pub const COLUMN_LEFT: [f64; 3] = [0.0, 466.0, 932.0];

/// Width of the picture.
pub const WIDTH: f64 = COLUMN_LEFT[2] + COLUMN_WIDTH;

/// How far a ribbon reaches whose output address is not known.
pub const STUB_WIDTH: f64 = 120.0;

/// A range, drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Ribbon {
    /// The table it is of.
    pub layer: Layer,
    /// Place of the table in the snapshot.
    pub table: usize,
    /// Place of the range in the table.
    pub range: usize,
    /// Top and bottom at the input column.
    pub from: (f64, f64),
    /// Top and bottom at the output column; `None` when the source does not know.
    pub to: Option<(f64, f64)>,
    /// What it allows.
    pub class: Class,
    /// Whether it is device memory.
    pub is_device: bool,
    /// Whether the audit found something wrong with it.
    pub is_flagged: bool,
}

/// A finding's place at its column.
#[derive(Clone, Debug, PartialEq)]
pub struct Marker {
    /// Place of the finding in the snapshot.
    pub finding: usize,
    /// The column.
    pub space: Space,
    /// Height.
    pub at: f64,
}

/// The picture of one L2, or of L1 alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// The L2's name; `None` when there is none.
    pub l2: Option<String>,
    /// Axes of the columns, in the order of [`Space`].
    pub axes: [Axis; 3],
    /// All ranges, the host's first.
    pub ribbons: Vec<Ribbon>,
    /// The audit's findings.
    pub markers: Vec<Marker>,
}

/// A table of the snapshot with its place there.
type Placed<'a> = (usize, &'a Table);

impl Scene {
    /// The picture of an L2, or of L1 alone without one.
    #[must_use]
    pub fn new(snapshot: &Snapshot, l2: Option<&str>) -> Self {
        let tables = Layer::ALL.map(|layer| {
            let name = layer.table_name(l2.unwrap_or_default());
            let mut placed = snapshot.tables.iter().enumerate();
            (layer, placed.find(|(_, table)| table.name == name))
        });
        let axes = axes(&tables);
        let mut scene = Self {
            l2: l2.map(str::to_owned),
            axes,
            ribbons: Vec::new(),
            markers: Vec::new(),
        };
        for (layer, table) in tables {
            if let Some(table) = table {
                scene.add_ribbons(snapshot, layer, table);
                scene.add_markers(snapshot, layer, table.1);
            }
        }
        scene
    }

    /// All pictures of a snapshot: one for each L2, or one of L1 alone.
    #[must_use]
    pub fn all(snapshot: &Snapshot) -> Vec<Self> {
        let names = snapshot.l2_names();
        if names.is_empty() {
            return vec![Self::new(snapshot, None)];
        }
        names.into_iter().map(|l2| Self::new(snapshot, Some(l2))).collect()
    }

    /// Whether anything of a layer is drawn.
    #[must_use]
    pub fn has(&self, layer: Layer) -> bool {
        self.ribbons.iter().any(|ribbon| ribbon.layer == layer)
    }

    /// The axis of a column.
    #[must_use]
    pub fn axis(&self, space: Space) -> &Axis {
        &self.axes[space.index()]
    }

    fn add_ribbons(&mut self, snapshot: &Snapshot, layer: Layer, (index, table): Placed<'_>) {
        let (input, output) = layer.spaces();
        let flags = flags(snapshot, table);
        for (place, range) in table.shown().iter().enumerate() {
            let to = range.oa.map(|oa| self.span(output, oa, range.size));
            self.ribbons.push(Ribbon {
                layer,
                table: index,
                range: place,
                from: self.span(input, range.ia, range.size),
                to,
                class: range.access.class(),
                is_device: range.is_device(),
                is_flagged: flags[place],
            });
        }
    }

    fn span(&self, space: Space, start: u64, size: u64) -> (f64, f64) {
        let axis = self.axis(space);
        (axis.height_of(start), axis.height_of(start.saturating_add(size)))
    }

    fn add_markers(&mut self, snapshot: &Snapshot, layer: Layer, table: &Table) {
        let space = layer.spaces().0;
        for (index, finding) in snapshot.findings.iter().enumerate() {
            if finding.counts
                && finding.table == table.name
                && let Some(ia) = finding.ia
            {
                let (top, bottom) = self.span(space, ia, finding.size);
                self.markers.push(Marker {
                    finding: index,
                    space,
                    at: f64::midpoint(top, bottom),
                });
            }
        }
    }
}

/// Which ranges of a table the audit found fault with. Ranges are in order, so a finding's are
/// found by search and not by looking at all.
fn flags(snapshot: &Snapshot, table: &Table) -> Vec<bool> {
    let mut flags = vec![false; table.ranges.len()];
    let of_table = |finding: &&Finding| finding.counts && finding.table == table.name;
    for finding in snapshot.findings.iter().filter(of_table) {
        let Some(ia) = finding.ia else { continue };
        let first = table.ranges.partition_point(|range| range.end() <= ia);
        let touched = table.ranges[first..].iter().take_while(|range| finding.touches(range));
        let count = touched.count();
        flags[first..first + count].fill(true);
    }
    flags
}

fn axes(tables: &[(Layer, Option<Placed<'_>>); 3]) -> [Axis; 3] {
    let ranges = |layer: Layer| {
        let table = tables.iter().find(|(of, _)| *of == layer).and_then(|(_, table)| *table);
        table.map_or(&[][..], |(_, table)| table.shown())
    };
    let (host, guest, shadow) = (ranges(Layer::Host), ranges(Layer::Guest), ranges(Layer::Shadow));
    let l2: Vec<(u64, u64)> = inputs(guest).chain(inputs(shadow)).collect();
    let l1: Vec<(u64, u64)> = outputs(guest).chain(inputs(host)).collect();
    let pa: Vec<(u64, u64)> = outputs(host).chain(outputs(shadow)).collect();

    // Boundaries go the way of a translation, and from PA back to L1 IPA.
    let mut l1_cuts = bounds(&l1);
    l1_cuts.extend(carried(guest, &bounds(&l2)));
    l1_cuts.extend(carried(&inverted(host), &bounds(&pa)));
    l1_cuts.sort_unstable();
    l1_cuts.dedup();
    let pa_cuts = carried(host, &l1_cuts);
    [
        Axis::new(&l2, &[], HEIGHT),
        Axis::new(&l1, &l1_cuts, HEIGHT),
        Axis::new(&pa, &pa_cuts, HEIGHT),
    ]
}

fn inputs(ranges: &[Range]) -> impl Iterator<Item = (u64, u64)> {
    ranges.iter().map(|range| (range.ia, range.end()))
}

fn outputs(ranges: &[Range]) -> impl Iterator<Item = (u64, u64)> {
    let known = ranges.iter().filter_map(|range| Some((range.oa?, range.size)));
    known.map(|(oa, size)| (oa, oa.saturating_add(size)))
}

fn bounds(intervals: &[(u64, u64)]) -> Vec<u64> {
    let mut bounds: Vec<u64> = intervals.iter().flat_map(|(start, end)| [*start, *end]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    bounds
}

/// Where boundaries lead, those inside a range that is mapped.
fn carried(ranges: &[Range], bounds: &[u64]) -> Vec<u64> {
    let mut carried = Vec::new();
    let mut behind = 0;
    for range in ranges {
        // What an earlier range has carried is not carried again, in case ranges overlap.
        let start = range.ia.max(behind);
        behind = behind.max(range.end());
        let Some(oa) = range.oa else { continue };
        let first = bounds.partition_point(|bound| *bound <= start);
        let inside = bounds[first..].iter().take_while(|bound| **bound < range.end());
        carried.extend(inside.map(|bound| (bound - range.ia).saturating_add(oa)));
    }
    carried
}

/// The ranges from their outputs to their inputs, in order of the outputs.
fn inverted(ranges: &[Range]) -> Vec<Range> {
    let mut inverted: Vec<Range> = ranges
        .iter()
        .filter_map(|range| {
            Some(Range {
                ia: range.oa?,
                oa: Some(range.ia),
                size: range.size,
                ..Range::default()
            })
        })
        .collect();
    inverted.sort_by_key(|range| range.ia);
    inverted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::access::Access;

    const MEGABYTE: u64 = 1 << 20;

    fn range(ia: u64, size: u64, oa: u64) -> Range {
        Range {
            ia,
            size,
            oa: Some(oa),
            access: Access::from_letters("rwpu"),
            ..Range::default()
        }
    }

    fn snapshot() -> Snapshot {
        let table = |name: &str, ranges: Vec<Range>| Table {
            name: name.into(),
            ranges,
            ..Table::default()
        };
        Snapshot {
            tables: vec![
                table("host", vec![range(0x4000_0000, 1024 * MEGABYTE, 0x4000_0000)]),
                table(
                    "shadow/a",
                    vec![
                        range(0x9000, 0x1000, 0x4123_4000),
                        range(0x20_0000, MEGABYTE, 0x4500_0000),
                    ],
                ),
                table(
                    "guest/a",
                    vec![
                        range(0x9000, 0x1000, 0x4123_4000),
                        range(0x20_0000, MEGABYTE, 0x4500_0000),
                    ],
                ),
                table("guest/b", vec![range(0, 0x1000, 0x4800_0000)]),
            ],
            ..Snapshot::default()
        }
    }

    #[test]
    fn each_l2_has_a_scene_with_its_own_tables_and_the_hosts() {
        let snapshot = snapshot();
        let scenes = Scene::all(&snapshot);
        let names: Vec<&str> = scenes.iter().filter_map(|scene| scene.l2.as_deref()).collect();
        assert_eq!(names, ["a", "b"]);
        let layers = |scene: &Scene| {
            scene
                .ribbons
                .iter()
                .map(|ribbon| ribbon.layer.id())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(layers(&scenes[0]), "host guest guest shadow shadow");
        assert_eq!(layers(&scenes[1]), "host guest");
    }

    #[test]
    fn without_an_l2_there_is_one_scene_of_l1() {
        let mut snapshot = snapshot();
        snapshot.tables.truncate(1);
        let scenes = Scene::all(&snapshot);
        assert_eq!((scenes.len(), scenes[0].l2.as_deref()), (1, None));
        assert_eq!(scenes[0].ribbons.len(), 1);
        assert_eq!(scenes[0].axis(Space::L2Ipa).pieces(), []);
    }

    #[test]
    fn columns_that_map_one_to_one_have_equal_axes() {
        let scene = Scene::new(&snapshot(), Some("a"));
        assert_eq!(scene.axis(Space::L1Ipa), scene.axis(Space::Pa));
        let inside = |axis: &Axis| axis.pieces().iter().filter(|piece| piece.is_mapped).count();
        assert_eq!(
            inside(scene.axis(Space::L1Ipa)),
            5,
            "the host's range is cut where the guest's lead"
        );
    }

    #[test]
    fn a_ribbon_of_the_shadow_ends_where_the_two_stages_end() {
        let scene = Scene::new(&snapshot(), Some("a"));
        let of = |layer| scene.ribbons.iter().filter(move |ribbon| ribbon.layer == layer);
        for (guest, shadow) in of(Layer::Guest).zip(of(Layer::Shadow)) {
            assert_eq!(guest.from, shadow.from);
            assert_eq!(guest.to, shadow.to, "the host maps one to one here");
        }
    }

    #[test]
    fn unknown_output_addresses_stay_unknown() {
        let mut snapshot = snapshot();
        for table in &mut snapshot.tables {
            table.ranges.iter_mut().for_each(|range| range.oa = None);
        }
        let scene = Scene::new(&snapshot, Some("a"));
        assert!(scene.ribbons.iter().all(|ribbon| ribbon.to.is_none()));
        assert_eq!(scene.axis(Space::Pa).pieces(), []);
    }

    #[test]
    fn a_finding_flags_what_it_touches_and_is_marked_in_a_gap_too() {
        let mut snapshot = snapshot();
        let finding = |table: &str, ia| Finding {
            table: table.into(),
            ia: Some(ia),
            size: 0x1000,
            text: "wrong".into(),
            counts: true,
        };
        snapshot.findings = vec![
            finding("shadow/a", 0x20_3000),
            finding("shadow/a", 0x10_0000),
            finding("guest/b", 0),
            Finding {
                counts: false,
                ..finding("shadow/a", 0x9000)
            },
        ];
        let scene = Scene::new(&snapshot, Some("a"));
        let flagged: Vec<(Layer, usize)> = scene
            .ribbons
            .iter()
            .filter(|ribbon| ribbon.is_flagged)
            .map(|ribbon| (ribbon.layer, ribbon.range))
            .collect();
        assert_eq!(flagged, [(Layer::Shadow, 1)]);
        let marked: Vec<usize> = scene.markers.iter().map(|marker| marker.finding).collect();
        assert_eq!(marked, [0, 1]);
        assert!(scene.markers.iter().all(|marker| marker.at > 0.0 && marker.at < HEIGHT));
    }

    #[test]
    fn many_ranges_that_lead_to_one_place_do_not_multiply() {
        let aliases: Vec<Range> = (0..4000)
            .map(|index| range(index * 0x2000, 0x1000, 0x4000_0000))
            .collect();
        let mut snapshot = snapshot();
        snapshot.table_mut("guest/a").ranges = aliases;
        let scene = Scene::new(&snapshot, Some("a"));
        assert!(scene.axis(Space::L1Ipa).pieces().len() < 20);
        assert_eq!(
            scene
                .ribbons
                .iter()
                .filter(|ribbon| ribbon.layer == Layer::Guest)
                .count(),
            4000
        );
    }
}
