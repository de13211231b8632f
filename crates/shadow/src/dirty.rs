//! The log of writes to L1's memory: which page, by whom, and which shadow leaf may write it.
//!
//! While a page is logged nobody may write it in silence. The host stage 2 has it read-only, in 4 KiB pages, so that L1's
//! first write faults; and no shadow leaf of it is writable but one, which the log knows. That one leaf is the reverse map:
//! to protect a page again it is enough to look here, whatever number of shadows map it to read. An L2 that writes a page
//! that another leaf may write takes the leaf over, and the other one becomes read-only again. So the log needs one word a
//! page, and never more.
//!
//! The words are in table frames, in three levels that cover 1 GiB and 2 MiB like the tables do. A part of 2 MiB is logged
//! as soon as it has its frame: that, not the range asked for, decides, and makes starting and stopping possible in steps.
//!
//! | bits | meaning |
//! |---|---|
//! | 35:0 | page number of the L2 IPA whose leaf may write the page |
//! | 45:36 | slot of that leaf's shadow |
//! | 46 | there is such a leaf |
//! | 47 | L1 has written the page, or gnomon on its behalf |
//! | 48 | an L2 has written the page |
//! | 58:49 | slot of the shadow of the first L2 that has |
//! | 59 | another L2 has, too |

use core::ops::Range;

use vmsa::{
    Ipa, L1, L2, Pa,
    stage2::{OutOfTables, TableMemory},
};

use crate::slot::SlotId;

/// Bytes of L1's memory that are logged, or not, together: what one frame of words covers.
pub const PART_BYTES: u64 = 2 << 20;
/// Bytes of L1's memory that one frame of parts covers.
const REGION_BYTES: u64 = 1 << 30;
const PAGE_SHIFT: u32 = 12;
const WORDS: u64 = 512;

const LEAF_PAGE: u64 = (1 << 36) - 1;
const LEAF_SLOT_SHIFT: u32 = 36;
const SLOT_MASK: u64 = 0x3ff;
const HAS_LEAF: u64 = 1 << 46;
const BY_L1: u64 = 1 << 47;
const BY_L2: u64 = 1 << 48;
const WRITER_SLOT_SHIFT: u32 = 49;
const BY_SEVERAL: u64 = 1 << 59;

/// A shadow leaf, by the page it maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The shadow.
    pub slot: SlotId,
    /// The L2 IPA of the page.
    pub ipa: Ipa<L2>,
}

/// Who has written a page since it was logged, or since the log was cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writers {
    /// L1, or gnomon when it set an Access flag in L1's tables.
    pub l1: bool,
    /// The first L2, by the shadow it ran on then.
    pub l2: Option<u16>,
    /// Another L2, too.
    pub others: bool,
}

impl Writers {
    /// Whether anybody has.
    #[must_use]
    pub const fn is_dirty(self) -> bool {
        self.l1 || self.l2.is_some()
    }
}

/// What is known of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Word(u64);

impl Word {
    fn leaf(self) -> Option<Leaf> {
        (self.0 & HAS_LEAF != 0).then(|| Leaf {
            slot: SlotId((self.0 >> LEAF_SLOT_SHIFT & SLOT_MASK) as u16),
            ipa: Ipa::new((self.0 & LEAF_PAGE) << PAGE_SHIFT),
        })
    }

    fn with_leaf(self, leaf: Option<Leaf>) -> Self {
        let rest = self.0 & !(LEAF_PAGE | SLOT_MASK << LEAF_SLOT_SHIFT | HAS_LEAF);
        Self(match leaf {
            None => rest,
            Some(Leaf { slot, ipa }) => {
                let page = ipa.bits() >> PAGE_SHIFT & LEAF_PAGE;
                rest | page | u64::from(slot.number()) << LEAF_SLOT_SHIFT | HAS_LEAF
            }
        })
    }

    fn writers(self) -> Writers {
        Writers {
            l1: self.0 & BY_L1 != 0,
            l2: (self.0 & BY_L2 != 0).then_some((self.0 >> WRITER_SLOT_SHIFT & SLOT_MASK) as u16),
            others: self.0 & BY_SEVERAL != 0,
        }
    }

    fn written_by_l1(self) -> Self {
        Self(self.0 | BY_L1)
    }

    fn written_by(self, slot: SlotId) -> Self {
        match self.writers().l2 {
            None => Self(self.0 | BY_L2 | u64::from(slot.number()) << WRITER_SLOT_SHIFT),
            Some(first) if first == slot.number() => self,
            Some(_) => Self(self.0 | BY_SEVERAL),
        }
    }

    fn without_writers(self) -> Self {
        Self(self.0 & (LEAF_PAGE | SLOT_MASK << LEAF_SLOT_SHIFT | HAS_LEAF))
    }
}

/// The log. Dropping it without [`end`](Self::end) leaks its frames.
#[derive(Debug)]
pub struct DirtyLog {
    root: Pa,
    range: Range<u64>,
    frames: u64,
}

impl DirtyLog {
    /// The most memory that can be logged: what the root covers from address 0 on, 512 GiB.
    pub const END: u64 = WORDS * REGION_BYTES;

    /// A log in which nothing is logged yet. `range` is what is going to be.
    ///
    /// # Errors
    ///
    /// `OutOfTables` without a frame for the root.
    pub fn new(range: Range<u64>, mem: &mut impl TableMemory) -> Result<Self, OutOfTables> {
        Ok(Self {
            root: mem.alloc_table().ok_or(OutOfTables)?,
            range: range.start.min(Self::END)..range.end.min(Self::END),
            frames: 1,
        })
    }

    /// What is to be logged.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Frames in use.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Begins to log the part around `l1`. Nothing of it may be writable any more, nor become so but by this log.
    ///
    /// # Errors
    ///
    /// `OutOfTables`; the part is not logged then.
    pub fn begin_part(&mut self, l1: Ipa<L1>, mem: &mut impl TableMemory) -> Result<(), OutOfTables> {
        let region = self.fill(entry(self.root, l1.bits() / REGION_BYTES), mem)?;
        self.fill(entry(region, l1.bits() / PART_BYTES), mem).map(|_| ())
    }

    /// Ends logging the part around `l1`.
    pub fn end_part(&mut self, l1: Ipa<L1>, mem: &mut impl TableMemory) {
        let Some(region) = frame_at(entry(self.root, l1.bits() / REGION_BYTES), mem) else {
            return;
        };
        let part_entry = entry(region, l1.bits() / PART_BYTES);
        if let Some(part) = frame_at(part_entry, mem) {
            mem.note(part_entry, 0);
            mem.free_table(part);
            self.frames -= 1;
        }
    }

    /// Gives all frames back. Takes as long as there are regions, so the parts are to be ended before.
    pub fn end(mut self, mem: &mut impl TableMemory) {
        for region in 0..WORDS {
            let Some(frame) = frame_at(entry(self.root, region), mem) else {
                continue;
            };
            for part in 0..REGION_BYTES / PART_BYTES {
                self.end_part(Ipa::new(region * REGION_BYTES + part * PART_BYTES), mem);
            }
            mem.free_table(frame);
        }
        mem.free_table(self.root);
    }

    /// Whether the page at `l1` is logged.
    #[must_use]
    pub fn is_logged(&self, l1: Ipa<L1>, mem: &impl TableMemory) -> bool {
        self.word_at(l1, mem).is_some()
    }

    /// Who has written the page at `l1`; `None` if it is not logged.
    #[must_use]
    pub fn writers(&self, l1: Ipa<L1>, mem: &impl TableMemory) -> Option<Writers> {
        let (_, word) = self.word(l1, mem)?;
        Some(word.writers())
    }

    /// Notes that L1 writes the page at `l1`. Says whether it is logged.
    pub fn write_by_l1(&mut self, l1: Ipa<L1>, mem: &mut impl TableMemory) -> bool {
        self.change(l1, mem, |word| word.written_by_l1()).is_some()
    }

    /// Notes that an L2 writes the page at `l1` through `leaf`, which is going to be writable. Returns the leaf that was
    /// until now and must be no more, if there is another.
    pub(crate) fn write_by(&mut self, l1: Ipa<L1>, leaf: Leaf, mem: &mut impl TableMemory) -> Option<Leaf> {
        let old = self.change(l1, mem, |word| word.written_by(leaf.slot).with_leaf(Some(leaf)))?;
        old.leaf().filter(|old| *old != leaf)
    }

    /// Forgets who has written the page at `l1`. Returns the leaf that may write it: it and the host's are to be
    /// protected, so that the next write is seen.
    pub(crate) fn clear(&mut self, l1: Ipa<L1>, mem: &mut impl TableMemory) -> Option<Leaf> {
        let old = self.change(l1, mem, |word| word.without_writers().with_leaf(None))?;
        old.leaf()
    }

    /// Changes the word of a page, and returns what it was; `None` if the page is not logged.
    fn change(&mut self, l1: Ipa<L1>, mem: &mut impl TableMemory, f: impl FnOnce(Word) -> Word) -> Option<Word> {
        let (at, old) = self.word(l1, mem)?;
        let new = f(old);
        if new != old {
            mem.note(at, new.0);
        }
        Some(old)
    }

    fn word(&self, l1: Ipa<L1>, mem: &impl TableMemory) -> Option<(Pa, Word)> {
        let at = self.word_at(l1, mem)?;
        Some((at, Word(mem.read(at).ok()?)))
    }

    fn word_at(&self, l1: Ipa<L1>, mem: &impl TableMemory) -> Option<Pa> {
        if l1.bits() >= Self::END {
            return None;
        }
        let region = frame_at(entry(self.root, l1.bits() / REGION_BYTES), mem)?;
        let part = frame_at(entry(region, l1.bits() / PART_BYTES), mem)?;
        Some(entry(part, l1.bits() >> PAGE_SHIFT))
    }

    /// The frame that the entry at `at` leads to, made if there is none.
    fn fill(&mut self, at: Pa, mem: &mut impl TableMemory) -> Result<Pa, OutOfTables> {
        if let Some(frame) = frame_at(at, mem) {
            return Ok(frame);
        }
        let frame = mem.alloc_table().ok_or(OutOfTables)?;
        mem.note(at, frame.bits());
        self.frames += 1;
        Ok(frame)
    }
}

/// The entry of a frame for the thing of that number, of which the frame has 512.
fn entry(frame: Pa, number: u64) -> Pa {
    Pa::new(frame.bits() + number % WORDS * 8)
}

/// The frame that the entry at `at` leads to. Frame addresses are not 0.
fn frame_at(at: Pa, mem: &impl TableMemory) -> Option<Pa> {
    mem.read(at).ok().filter(|frame| *frame != 0).map(Pa::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmsa::testing::Arena;

    const L1_PAGE: Ipa<L1> = Ipa::new(0x8765_4000);

    fn leaf(slot: u16, page: u64) -> Leaf {
        Leaf {
            slot: SlotId(slot),
            ipa: Ipa::new(page << 12),
        }
    }

    fn log(mem: &mut Arena) -> DirtyLog {
        let mut log = DirtyLog::new(0x8000_0000..0x9000_0000, mem).unwrap();
        log.begin_part(L1_PAGE, mem).unwrap();
        log
    }

    #[test]
    fn a_part_is_logged_from_begin_to_end() {
        let mut mem = Arena::new(10);
        let mut log = log(&mut mem);
        assert!(log.is_logged(Ipa::new(0x8760_0000), &mem));
        assert!(log.is_logged(Ipa::new(0x877f_ffff), &mem));
        assert!(!log.is_logged(Ipa::new(0x8780_0000), &mem));
        assert!(!log.is_logged(Ipa::new(u64::MAX), &mem));
        assert!(!log.write_by_l1(Ipa::new(0x8780_0000), &mut mem));
        assert_eq!(log.frames(), 3);
        log.end_part(L1_PAGE, &mut mem);
        assert!(!log.is_logged(L1_PAGE, &mem));
        log.end(&mut mem);
        assert_eq!(mem.used(), 0);
    }

    #[test]
    fn writers_add_up_until_they_are_cleared() {
        let mut mem = Arena::new(10);
        let mut log = log(&mut mem);
        assert_eq!(log.writers(L1_PAGE, &mem), Some(Writers::default()));
        assert_eq!(log.write_by(L1_PAGE, leaf(3, 0x40), &mut mem), None);
        assert!(log.write_by_l1(L1_PAGE, &mut mem));
        let expected = Writers {
            l1: true,
            l2: Some(3),
            others: false,
        };
        assert_eq!(log.writers(L1_PAGE, &mem), Some(expected));
        assert_eq!(log.write_by(L1_PAGE, leaf(5, 0x41), &mut mem), Some(leaf(3, 0x40)));
        assert!(log.writers(L1_PAGE, &mem).unwrap().others);
        assert_eq!(log.clear(L1_PAGE, &mut mem), Some(leaf(5, 0x41)));
        assert_eq!(log.writers(L1_PAGE, &mem), Some(Writers::default()));
        assert_eq!(log.clear(L1_PAGE, &mut mem), None);
        log.end(&mut mem);
        assert_eq!(mem.used(), 0);
    }

    #[test]
    fn one_leaf_may_write_and_a_second_one_takes_over() {
        let mut mem = Arena::new(10);
        let mut log = log(&mut mem);
        assert_eq!(log.write_by(L1_PAGE, leaf(1, 7), &mut mem), None);
        assert_eq!(log.write_by(L1_PAGE, leaf(1, 7), &mut mem), None);
        assert_eq!(log.write_by(L1_PAGE, leaf(1, 8), &mut mem), Some(leaf(1, 7)));
        assert_eq!(log.write_by(L1_PAGE, leaf(1, 7), &mut mem), Some(leaf(1, 8)));
        log.end(&mut mem);
    }

    #[test]
    fn without_frames_nothing_is_logged() {
        let mut mem = Arena::new(2);
        let mut log = DirtyLog::new(0..1 << 40, &mut mem).unwrap();
        assert_eq!(log.range(), 0..DirtyLog::END);
        assert_eq!(log.begin_part(L1_PAGE, &mut mem), Err(OutOfTables));
        assert!(!log.is_logged(L1_PAGE, &mem));
        log.end(&mut mem);
        assert_eq!(mem.used(), 0);
    }
}
