//! Going over a space part by part, while it may change.
//!
//! Between two parts the lock is free. The walk goes on by address, from the root, so it never follows a table that has
//! been freed, and what is told was there when it was read. Of the tables that gnomon makes it is known afterwards
//! whether they changed meanwhile; of L1's own, only L1 knows.

use core::ops::Range;

use vmsa::{Enter, Entry, Found};

use super::{error::CommandError, spaces::Space, system::System, tables::Version};

/// Where a walk over a space has got to.
pub struct Reader {
    space: Space,
    /// Only entries that touch these addresses.
    range: Option<Range<u64>>,
    /// Where to go on.
    next: u64,
    /// Up to where entries have been told of.
    seen: u64,
    /// What the tables were at the last look.
    version: Option<Version>,
    has_changed: bool,
}

impl Reader {
    /// At the beginning of `space`, or of a range of it.
    pub fn new(space: Space, range: Option<Range<u64>>) -> Self {
        Self {
            space,
            next: range.as_ref().map_or(0, |range| range.start),
            range,
            seen: 0,
            version: None,
            has_changed: false,
        }
    }

    /// The space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Whether its tables changed between two parts.
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// Tells `f` of the next part: the tables and at most `budget` entries, under one hold of the lock. At the end, gives
    /// the address at which the last entry ends.
    pub fn part(
        &mut self,
        system: &System,
        budget: usize,
        f: &mut dyn FnMut(Found),
    ) -> Result<Option<u64>, CommandError<'static>> {
        let last = self.range.as_ref().map_or(u64::MAX, |range| range.end - 1);
        let seen = &mut self.seen;
        let visited = self.space.survey(system, self.next, budget, &mut |found| {
            if let Some(found) = unseen(found, seen, last) {
                f(found);
            }
            Enter::Yes
        })?;
        self.has_changed |= self.version.is_some_and(|version| version != visited.version);
        self.version = Some(visited.version);
        if let Some(next) = visited.next.filter(|next| *next <= last) {
            self.next = next;
            return Ok(None);
        }
        Ok(Some(if self.range.is_some() { self.seen } else { visited.end }))
    }
}

/// `found` without what has been `seen`; `None` if it begins behind `last`. A block may have taken the place of what was
/// told of up to there.
fn unseen(found: Found, seen: &mut u64, last: u64) -> Option<Found> {
    match found {
        Found::Table(link) => (link.ia <= last).then_some(found),
        Found::Entry { entry, .. } if entry.ia > last => None,
        Found::Entry { at, entry } => {
            let ia = entry.ia.max(*seen);
            *seen = entry.ia.wrapping_add(entry.size);
            let entry = Entry { ia, ..entry };
            Some(Found::Entry { at, entry })
        }
    }
}
