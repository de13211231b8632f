//! An address axis on which a page and a gigabyte can both be seen.
//!
//! Addresses are mapped to heights piece by piece. The pieces are what lies between neighbouring
//! boundaries of the ranges shown; a piece of memory gets a height that grows with the logarithm
//! of its size, and a gap gets the same small height however large it is. So the order of
//! addresses is kept, sizes can be compared roughly, and nothing mapped is too small to find.
//! Inside a piece heights are proportional.

/// Height of a 4 KiB piece, against which the others are measured.
const PAGE_WEIGHT: f64 = 1.0;

/// What each doubling of a piece's size adds.
const DOUBLING_WEIGHT: f64 = 0.32;

/// Height of a gap.
const GAP_WEIGHT: f64 = 1.5;

/// A part of the axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Height at which it begins.
    pub top: f64,
    /// Height at which it ends.
    pub bottom: f64,
    /// Whether something is mapped there; a gap otherwise.
    pub is_mapped: bool,
}

/// A column's axis: pieces in order, without holes between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    pieces: Vec<Piece>,
}

impl Axis {
    /// An axis of `height` that shows `intervals` (start, end), with further boundaries at `cuts`.
    /// Intervals may overlap and come in any order; a cut outside them is ignored.
    #[must_use]
    pub fn new(intervals: &[(u64, u64)], cuts: &[u64], height: f64) -> Self {
        let regions = union(intervals);
        let mut bounds: Vec<u64> = intervals.iter().flat_map(|(start, end)| [*start, *end]).collect();
        bounds.extend(cuts);
        bounds.sort_unstable();
        bounds.dedup();

        let mut axis = Self::default();
        let mut rest = bounds.as_slice();
        for (start, end) in regions {
            let behind = axis.pieces.last().map_or(0, |last| last.end);
            if behind < start {
                axis.add(behind, start, false);
            }
            rest = &rest[rest.partition_point(|bound| *bound <= start)..];
            let inside = rest.partition_point(|bound| *bound <= end);
            let mut from = start;
            for bound in &rest[..inside] {
                axis.add(from, *bound, true);
                from = *bound;
            }
            rest = &rest[inside..];
        }
        axis.scale(height);
        axis
    }

    fn add(&mut self, start: u64, end: u64, is_mapped: bool) {
        let top = self.pieces.last().map_or(0.0, |last| last.bottom);
        let weight = if is_mapped { weight(end - start) } else { GAP_WEIGHT };
        self.pieces.push(Piece {
            start,
            end,
            top,
            bottom: top + weight,
            is_mapped,
        });
    }

    fn scale(&mut self, height: f64) {
        let Some(total) = self.pieces.last().map(|last| last.bottom) else {
            return;
        };
        for piece in &mut self.pieces {
            piece.top *= height / total;
            piece.bottom *= height / total;
        }
    }

    /// The pieces, in order of address.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The height of an address; of the nearest end for one outside the axis.
    #[must_use]
    pub fn height_of(&self, address: u64) -> f64 {
        let index = self.pieces.partition_point(|piece| piece.end <= address);
        match self.pieces.get(index) {
            None => self.pieces.last().map_or(0.0, |last| last.bottom),
            Some(piece) if address <= piece.start => piece.top,
            Some(piece) => {
                let share = ratio(address - piece.start, piece.end - piece.start);
                piece.top + share * (piece.bottom - piece.top)
            }
        }
    }

    /// Stretches of memory without a gap in between: (start, end, top, bottom).
    #[must_use]
    pub fn regions(&self) -> Vec<Piece> {
        let mut regions: Vec<Piece> = Vec::new();
        for piece in self.pieces.iter().filter(|piece| piece.is_mapped) {
            match regions.last_mut() {
                Some(last) if last.end == piece.start => (last.end, last.bottom) = (piece.end, piece.bottom),
                _ => regions.push(*piece),
            }
        }
        regions
    }
}

/// Overlapping and adjoining intervals made one, in order; empty ones left out.
fn union(intervals: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut sorted: Vec<(u64, u64)> = intervals.iter().copied().filter(|(start, end)| start < end).collect();
    sorted.sort_unstable();
    let mut regions: Vec<(u64, u64)> = Vec::new();
    for (start, end) in sorted {
        match regions.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => regions.push((start, end)),
        }
    }
    regions
}

fn weight(bytes: u64) -> f64 {
    let doublings = (ratio(bytes, 0x1000)).log2().max(0.0);
    PAGE_WEIGHT + DOUBLING_WEIGHT * doublings
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a picture has fewer points than f64 has digits"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: u64 = 0x1000;
    const GIGABYTE: u64 = 1 << 30;

    fn height(axis: &Axis, start: u64) -> f64 {
        let piece = axis.pieces().iter().find(|piece| piece.start == start).unwrap();
        piece.bottom - piece.top
    }

    #[test]
    fn a_page_and_a_gigabyte_are_both_visible() {
        let axis = Axis::new(&[(0, PAGE), (GIGABYTE, 2 * GIGABYTE)], &[], 100.0);
        let (page, gigabyte) = (height(&axis, 0), height(&axis, GIGABYTE));
        assert!(page > 10.0 && gigabyte > 3.0 * page, "{page} {gigabyte}");
    }

    #[test]
    fn a_gap_has_the_same_height_whatever_its_size() {
        let axis = Axis::new(
            &[(PAGE, 2 * PAGE), (3 * PAGE, 4 * PAGE), (1 << 47, (1 << 47) + PAGE)],
            &[],
            100.0,
        );
        let gaps: Vec<f64> = axis
            .pieces()
            .iter()
            .filter(|piece| !piece.is_mapped)
            .map(|piece| piece.bottom - piece.top)
            .collect();
        assert_eq!(gaps.len(), 3);
        assert!(gaps.iter().all(|gap| (gap - gaps[0]).abs() < 1e-9), "{gaps:?}");
    }

    #[test]
    fn overlapping_intervals_share_their_place() {
        let axis = Axis::new(&[(0, 4 * PAGE), (2 * PAGE, 6 * PAGE)], &[], 100.0);
        let starts: Vec<u64> = axis.pieces().iter().map(|piece| piece.start).collect();
        assert_eq!(starts, [0, 2 * PAGE, 4 * PAGE]);
        assert_eq!(axis.regions().len(), 1);
    }

    #[test]
    fn a_cut_in_a_gap_is_ignored() {
        let cuts = [0x500, 5 * PAGE, 3 * PAGE];
        let axis = Axis::new(&[(0, PAGE), (4 * PAGE, 6 * PAGE)], &cuts, 1.0);
        let starts: Vec<u64> = axis.pieces().iter().map(|piece| piece.start).collect();
        assert_eq!(starts, [0, 0x500, PAGE, 4 * PAGE, 5 * PAGE]);
    }

    #[test]
    fn an_axis_of_nothing_is_empty() {
        let axis = Axis::new(&[(5, 5)], &[5], 100.0);
        assert_eq!((axis.pieces(), axis.height_of(5)), (&[][..], 0.0));
    }

    proptest! {
        #[test]
        fn heights_keep_the_order_of_addresses_and_fill_the_axis(
            intervals in prop::collection::vec((any::<u64>(), any::<u64>()), 1..20),
            cuts in prop::collection::vec(any::<u64>(), 0..20),
            mut probes in prop::collection::vec(any::<u64>(), 2..20),
        ) {
            let intervals: Vec<(u64, u64)> = intervals.iter().map(|(a, b)| (*a.min(b), *a.max(b))).collect();
            let axis = Axis::new(&intervals, &cuts, 500.0);
            for pair in axis.pieces().windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].start);
                prop_assert!(pair[0].bottom <= pair[1].bottom);
            }
            if let Some(last) = axis.pieces().last() {
                prop_assert!((last.bottom - 500.0).abs() < 1e-6);
            }
            probes.sort_unstable();
            for pair in probes.windows(2) {
                prop_assert!(axis.height_of(pair[0]) <= axis.height_of(pair[1]) + 1e-9);
            }
            for (start, end) in intervals {
                prop_assert!(start == end || axis.height_of(start) < axis.height_of(end));
            }
        }
    }
}
