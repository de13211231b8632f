//! Tables that point where they should not, and entries that contradict each other.

use bare::l2::{L2, Program};
use bare::memory::Frames;
use bare::options::Options;
use bare::stage2::{PAGE_BYTES, Perms, TableMemory, desc};

use crate::scenario::{PATTERN, Planted, Wrong, complete, expect, usual_l2};

/// Memory of gnomon's: its image. Natively it is RAM like any other.
const IN_L0: u64 = 0x4020_0000;
/// Synchronous external abort on the walk, at level 3.
const EXTERNAL_ABORT_LEVEL_3: u64 = 0b01_0111;
/// What the L2's own vector says of a synchronous exception at EL1: an external abort goes there.
const HVC_OF_EL1_SYNC: u64 = 0x14;
/// Entries of one contiguous run of 4 KiB pages.
const RUN: u64 = 16;
/// A block of its own, clear of the rest.
const OTHER_IPA: u64 = 0x9000_0000;

/// L1's level-2 entry names a table of level 3 in gnomon's memory.
pub(crate) fn table_in_l0(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let (mut l2, _) = usual_l2(frames);
    let at = l2.stage2.entry(OTHER_IPA, 2, frames);
    frames.write(at, IN_L0 | desc::TABLE);
    let exit = l2.run(Program::Load, &[OTHER_IPA]);
    let is_refused = exit.abort() == Some(EXTERNAL_ABORT_LEVEL_3);
    expect(is_refused, "the table was read", exit)?;
    Ok(Planted {
        l2,
        then: |l2| {
            l2.run(Program::Load, &[OTHER_IPA]);
        },
    })
}

/// L1 gives L2 a page of gnomon's memory.
pub(crate) fn leaf_in_l0(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let (mut l2, _) = usual_l2(frames);
    l2.stage2.map(OTHER_IPA, IN_L0, 3, Perms::RW, frames);
    let exit = l2.run(Program::Store, &[OTHER_IPA, PATTERN]);
    expect(exit.hvc() == Some(HVC_OF_EL1_SYNC), "the store was not refused", exit)?;
    Ok(Planted::spin(l2))
}

/// Two runs of sixteen pages with the contiguous hint: in the first the outputs are in no row, in the second one page is
/// read-only.
pub(crate) fn contiguous_overlap(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    const RUN_BYTES: u64 = RUN * PAGE_BYTES;
    let (mut l2, _) = usual_l2(frames);
    let [swapped, mixed] = [frames.alloc(RUN), frames.alloc(RUN)];
    for index in 0..RUN {
        let ipa = OTHER_IPA + index * PAGE_BYTES;
        // In pairs the wrong way round: no entry is where the hint says.
        map_contiguous(&l2, ipa, swapped + (index ^ 1) * PAGE_BYTES, Perms::RW, frames);
        let perms = if index == 5 { Perms::RO } else { Perms::RW };
        map_contiguous(&l2, ipa + RUN_BYTES, mixed + index * PAGE_BYTES, perms, frames);
    }
    let range = [OTHER_IPA, OTHER_IPA + 2 * RUN_BYTES, PAGE_BYTES];
    complete(&mut l2, Program::Stride, &range, "L2 cannot read its pages")?;
    Ok(Planted::spin(l2))
}

fn map_contiguous(l2: &L2, ipa: u64, output: u64, perms: Perms, frames: &mut Frames) {
    let at = l2.stage2.entry(ipa, 3, frames);
    frames.write(at, desc::leaf(output, 3, perms) | desc::CONTIGUOUS);
}

/// The first entry of the root is the root again, as the table of each level below and at last as a page, that L2 can
/// write.
pub(crate) fn self_table(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    /// Entry 1 of the root, which is invalid and stays so.
    const UNUSED_ENTRY: u64 = 8;
    let (mut l2, _) = usual_l2(frames);
    let root = l2.stage2.root();
    frames.write(root, desc::leaf(root, 3, Perms::RW));
    complete(&mut l2, Program::Load, &[0], "L2 cannot read the root")?;
    complete(&mut l2, Program::Store, &[UNUSED_ENTRY, 0], "L2 cannot write the root")?;
    Ok(Planted::spin(l2))
}
