//! What differs between two looks at a table.
//!
//! A look is a list of [`Run`]s in address order that do not overlap. Holes may be left out of it: where there is no run,
//! nothing is mapped, and which level said so does not count.

use core::iter::Peekable;

use super::Run;

/// A range that is not as it was. Both runs are cut to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it was; `None` if there was nothing.
    pub before: Option<Run>,
    /// What it is; `None` if there is nothing. Never `None` together with `before`.
    pub after: Option<Run>,
}

impl Change {
    /// The bytes of the range.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.before.or(self.after).map_or(0, |run| run.size())
    }
}

/// The changes from one list of runs to another, in address order. Descriptors themselves are not compared, only what
/// they mean: [`Run::raw`] is the first one of a run.
pub struct Changes<B: Iterator<Item = Run>, A: Iterator<Item = Run>> {
    before: Runs<B>,
    after: Runs<A>,
}

impl<B: Iterator<Item = Run>, A: Iterator<Item = Run>> Changes<B, A> {
    /// From `before` to `after`.
    pub fn new(before: B, after: A) -> Self {
        Self {
            before: Runs::new(before),
            after: Runs::new(after),
        }
    }
}

impl<B: Iterator<Item = Run>, A: Iterator<Item = Run>> Iterator for Changes<B, A> {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        loop {
            let starts = [self.before.peek(), self.after.peek()].map(|run| run.map(|run| run.start));
            let start = starts.into_iter().flatten().min()?;
            let last = self.before.bound(start).min(self.after.bound(start));
            let before = self.before.take_through(start, last);
            let after = self.after.take_through(start, last);
            if !before.zip(after).is_some_and(|(before, after)| before.is_like(&after)) {
                return Some(Change { before, after });
            }
        }
    }
}

/// Runs that can be taken piece by piece.
struct Runs<I: Iterator<Item = Run>>(Peekable<I>);

impl<I: Iterator<Item = Run>> Runs<I> {
    fn new(runs: I) -> Self {
        Self(runs.peekable())
    }

    fn peek(&mut self) -> Option<Run> {
        self.0.peek().copied()
    }

    /// The last address up to which things are as they are at `start`.
    fn bound(&mut self, start: u64) -> u64 {
        match self.peek() {
            None => u64::MAX,
            Some(run) if run.start > start => run.start - 1,
            Some(run) => run.last(),
        }
    }

    /// What there is from `start` to `last`, which is no further than [`bound`](Self::bound).
    fn take_through(&mut self, start: u64, last: u64) -> Option<Run> {
        let run = self.0.peek_mut().filter(|run| run.start <= start)?;
        let piece = Run {
            end: last.wrapping_add(1),
            ..*run
        };
        if last == run.last() {
            self.0.next();
        } else {
            *run = run.tail(last + 1);
        }
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        EntryKind, Level,
        ptdump::{MemoryType, Target},
        stage2::{MemType, Shareability},
    };
    use proptest::prelude::*;
    use std::vec::Vec;

    const PAGE: u64 = 0x1000;
    const PAGES: u64 = 24;

    fn run(start: u64, pages: u64, prot: u64, output: u64) -> Run {
        Run {
            start,
            end: start.wrapping_add(pages * PAGE),
            level: Level::THREE,
            prot,
            raw: start ^ output,
            kind: EntryKind::Leaf,
            target: Some(Target {
                output,
                mem: MemoryType::Stage2(MemType::NormalWriteBack),
                sh: Shareability::Inner,
                contiguous: false,
            }),
        }
    }

    fn changes(before: &[Run], after: &[Run]) -> Vec<Change> {
        Changes::new(before.iter().copied(), after.iter().copied()).collect()
    }

    #[test]
    fn what_is_alike_is_no_change_however_it_is_cut() {
        let whole = [run(0, 8, 0xc0, 0x10_0000)];
        let parts = [run(0, 3, 0xc0, 0x10_0000), run(3 * PAGE, 5, 0xc0, 0x10_3000)];
        assert_eq!(changes(&whole, &parts), []);
        assert_eq!(changes(&parts, &whole), []);
    }

    #[test]
    fn a_page_that_may_no_longer_be_written_is_one_change() {
        let before = [run(0, 8, 0xc0, 0x10_0000)];
        let after = [
            run(0, 2, 0xc0, 0x10_0000),
            run(2 * PAGE, 1, 0x40, 0x10_2000),
            run(3 * PAGE, 5, 0xc0, 0x10_3000),
        ];
        let expected = Change {
            before: Some(Run {
                raw: before[0].raw,
                ..run(2 * PAGE, 1, 0xc0, 0x10_2000)
            }),
            after: Some(after[1]),
        };
        assert_eq!(changes(&before, &after), [expected]);
    }

    #[test]
    fn an_upper_half_ends_where_numbers_do() {
        let top = 0u64.wrapping_sub(4 * PAGE);
        let before = [run(top, 4, 0xc0, 0)];
        let after = [run(top, 3, 0xc0, 0)];
        let gone = changes(&before, &after);
        assert_eq!(gone.len(), 1);
        assert_eq!((gone[0].size(), gone[0].after), (PAGE, None));
    }

    /// A page: what it allows and where it leads; 0 if it is none.
    type Model = Vec<(u64, u64)>;

    fn model() -> impl Strategy<Value = Model> {
        prop::collection::vec((0u64..3, 0u64..3), PAGES as usize)
    }

    /// The runs of a model, as a dumper would make them.
    fn runs(model: &Model) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (page, (prot, base)) in (0..).zip(model) {
            if *prot == 0 {
                continue;
            }
            let next = run(page * PAGE, 1, *prot, base * 0x100_0000 + page * PAGE);
            match runs.last_mut() {
                Some(last) if last.end == next.start && last.goes_on_in(&next) => last.end = next.end,
                _ => runs.push(next),
            }
        }
        runs
    }

    fn at(run: Option<Run>, page: u64) -> (u64, u64) {
        run.map_or((0, 0), |run| {
            let target = run.target.unwrap().output;
            (run.prot, (target + page * PAGE - run.start) / 0x100_0000)
        })
    }

    proptest! {
        #[test]
        fn changes_are_the_pages_that_differ(before in model(), after in model()) {
            let mut covered = [false; PAGES as usize];
            let mut last = 0;
            for change in changes(&runs(&before), &runs(&after)) {
                let start = change.before.or(change.after).unwrap().start;
                prop_assert!(start >= last && change.size() > 0);
                last = start + change.size();
                for page in start / PAGE..last / PAGE {
                    let index = page as usize;
                    covered[index] = true;
                    for (run, model) in [(change.before, &before), (change.after, &after)] {
                        let expected = if model[index].0 == 0 { (0, 0) } else { model[index] };
                        prop_assert_eq!(at(run, page), expected);
                    }
                }
            }
            for (index, is_covered) in covered.into_iter().enumerate() {
                let [was, is] = [before[index], after[index]];
                prop_assert_eq!(is_covered, was != is && (was.0, is.0) != (0, 0));
            }
        }
    }
}
