//! Free frames of gnomon's, filled with a pattern: what may become of them, and what may not.
//!
//! A free frame leads to the next by its first word, in the order of addresses as long as none has been taken. gnomon
//! clears a frame that it takes, so that nothing of the pattern is left in one that it ever had, and it takes them in
//! order. A frame with a part of the pattern, or one that lost it though one before has it, was written by somebody else.

use std::ops::Range;

use anyhow::{Result, ensure};

use super::ram::{PAGE_BYTES, Ram};

const WORDS: usize = (PAGE_BYTES / 8) as usize;

/// The word that is put at `at`.
fn pattern(at: u64) -> u64 {
    (at ^ 0x5bd1_e995_9e37_79b9)
        .wrapping_mul(0xff51_afd7_ed55_8ccd)
        .rotate_left(31)
        | 1
}

/// What is to be in a frame that nobody has taken.
fn untouched(frame: u64, next: u64) -> Vec<u64> {
    let rest = (1..WORDS as u64).map(|index| pattern(frame + index * 8));
    [next].into_iter().chain(rest).collect()
}

/// Fills the frames in `range`, which are free and have never been used.
pub(super) fn plant(ram: &Ram, range: &Range<u64>) -> Result<()> {
    for frame in range.clone().step_by(WORDS * 8) {
        let found = ram.words(frame, PAGE_BYTES)?;
        let is_fresh = found[0] == next(frame, range) && found[1..].iter().all(|word| *word == 0);
        ensure!(is_fresh, "the frame at {frame:#x} should be free and unused");
        ram.write(frame, &untouched(frame, found[0]))?;
    }
    Ok(())
}

/// The frame behind `frame`; nothing behind the last.
fn next(frame: u64, range: &Range<u64>) -> u64 {
    let next = frame + PAGE_BYTES;
    if next == range.end { 0 } else { next }
}

/// What is wrong with them.
pub(super) fn complaints(ram: &Ram, range: &Range<u64>) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    let mut first_untouched = None;
    for frame in range.clone().step_by(WORDS * 8) {
        let found = ram.words(frame, PAGE_BYTES)?;
        match judge(&found, &untouched(frame, next(frame, range))) {
            State::Untouched => first_untouched = first_untouched.or(Some(frame)),
            State::Written(at) => complaints.push(format!("a free frame was written at {:#x}", frame + at)),
            State::Taken => {
                if let Some(before) = first_untouched {
                    complaints.push(format!(
                        "the frame at {frame:#x} was written, and that at {before:#x} never taken"
                    ));
                }
            }
        }
    }
    Ok(complaints)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Untouched,
    /// Nothing of the pattern is left.
    Taken,
    /// A part of it is not; the first offset.
    Written(u64),
}

fn judge(found: &[u64], wanted: &[u64]) -> State {
    let differs: Vec<bool> = found
        .iter()
        .zip(wanted)
        .map(|(found, wanted)| found != wanted)
        .collect();
    match differs.iter().position(|differs| *differs) {
        None => State::Untouched,
        Some(_) if differs[1..].iter().all(|differs| *differs) => State::Taken,
        Some(first) => State::Written(first as u64 * 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemorySize;

    const RANGE: Range<u64> = 0x4000_2000..0x4000_6000;

    fn fresh() -> Ram {
        let ram = Ram::create(0x4000_0000, MemorySize::from_mib(1)).unwrap();
        for frame in RANGE.step_by(WORDS * 8) {
            ram.write(frame, &[next(frame, &RANGE)]).unwrap();
        }
        plant(&ram, &RANGE).unwrap();
        ram
    }

    #[test]
    fn frames_may_be_taken_in_order_and_given_back() {
        let ram = fresh();
        assert!(complaints(&ram, &RANGE).unwrap().is_empty());
        ram.write(RANGE.start, &[0; 2 * WORDS]).unwrap();
        // Back on the list, in another order.
        ram.write(RANGE.start, &[0x4000_4000]).unwrap();
        assert!(complaints(&ram, &RANGE).unwrap().is_empty());
    }

    #[test]
    fn a_single_word_that_was_written_is_found() {
        for at in [RANGE.start, 0x4000_3008, RANGE.end - 8] {
            let ram = fresh();
            ram.write(at, &[7]).unwrap();
            assert_eq!(complaints(&ram, &RANGE).unwrap().len(), 1, "{at:#x}");
        }
    }

    #[test]
    fn a_page_that_was_written_out_of_order_is_found() {
        let ram = fresh();
        ram.write(0x4000_4000, &[0; WORDS]).unwrap();
        assert_eq!(complaints(&ram, &RANGE).unwrap().len(), 1);
    }

    #[test]
    fn used_frames_are_not_overwritten() {
        let ram = fresh();
        assert!(plant(&ram, &RANGE).is_err());
    }
}
