//! Which words fit into the picture, and where they stand.
//!
//! A column has more boundaries than there is room to name. Names are given in order of
//! importance and only where they keep clear of those already given: first the beginning of each
//! stretch of memory, then the size of what lies between, then boundaries inside a
//! stretch. The page does the same anew at each zoom (`labels` in `page.js`).

use super::axis::Axis;
use super::model::short_size_text;

/// Height that a line of text needs.
pub const LINE_HEIGHT: f64 = 15.0;

/// A line of text in a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Height of its middle.
    pub at: f64,
    /// The words.
    pub text: String,
    /// Whether it names an address; the size of a gap otherwise.
    pub is_address: bool,
}

/// The labels of a column as high as its axis, from top to bottom.
#[must_use]
pub fn choose(axis: &Axis) -> Vec<Label> {
    let address = |at: f64, address: u64| Label {
        at: at + LINE_HEIGHT / 2.0,
        text: format!("{address:#x}"),
        is_address: true,
    };
    let regions = axis.regions();
    let starts = regions.iter().map(|region| address(region.top, region.start));
    let gaps = axis.pieces().iter().filter(|piece| !piece.is_mapped).map(|gap| Label {
        at: f64::midpoint(gap.top, gap.bottom),
        text: short_size_text(u128::from(gap.end - gap.start)),
        is_address: false,
    });
    let inner = axis.pieces().iter().filter(|piece| piece.is_mapped);
    let inner = inner.map(|piece| address(piece.top, piece.start));

    let mut chosen: Vec<Label> = Vec::new();
    for label in starts.chain(gaps).chain(inner) {
        let index = chosen.partition_point(|other| other.at < label.at);
        let is_clear = |other: Option<&Label>| other.is_none_or(|other| (other.at - label.at).abs() >= LINE_HEIGHT);
        if is_clear(index.checked_sub(1).and_then(|before| chosen.get(before))) && is_clear(chosen.get(index)) {
            chosen.insert(index, label);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_clear_of_one_another() {
        let pages: Vec<(u64, u64)> = (0..400).map(|page| (page * 0x3000, page * 0x3000 + 0x1000)).collect();
        let labels = choose(&Axis::new(&pages, &[], 600.0));
        assert!(labels.len() > 20);
        assert!(labels.windows(2).all(|pair| pair[1].at - pair[0].at >= LINE_HEIGHT));
    }

    #[test]
    fn beginnings_of_memory_come_before_boundaries_inside() {
        let axis = Axis::new(&[(0x1000, 0x2000), (0x4000, 0x6000)], &[0x5000], 200.0);
        let texts: Vec<String> = choose(&axis).into_iter().map(|label| label.text).collect();
        assert_eq!(texts, ["4K", "0x1000", "8K", "0x4000", "0x5000"]);
        let low = Axis::new(&[(0x1000, 0x2000), (0x4000, 0x6000)], &[0x5000], 60.0);
        let texts: Vec<String> = choose(&low).into_iter().map(|label| label.text).collect();
        assert!(
            texts.contains(&"0x4000".into()) && !texts.contains(&"0x5000".into()),
            "{texts:?}"
        );
    }

    #[test]
    fn an_empty_axis_has_no_labels() {
        assert_eq!(choose(&Axis::default()), []);
    }
}
