//! No bug in tables, but nothing that answers either.

use bare::boot;
use bare::l2::{L2, Program};
use bare::memory::Frames;
use bare::options::Options;
use bare::sysreg::VBAR_EL2;

use crate::scenario::{DATA_IPA, PATTERN, Planted, Wrong, complete, usual_l2};

/// L2 spins with all interrupts masked.
pub(crate) fn spin(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let (mut l2, _) = usual_l2(frames);
    complete(
        &mut l2,
        Program::Store,
        &[DATA_IPA, PATTERN],
        "L2 cannot write its data",
    )?;
    Ok(Planted::spin(l2))
}

/// L1 takes exceptions for ever: its vectors are where nothing is mapped, beyond the 39 bits of its stage 1.
fn take_exceptions(_: &mut L2) {
    const UNMAPPED: u64 = 1 << 40;
    VBAR_EL2.set(UNMAPPED);
    boot::take_exception();
}

/// L1 itself is in a loop of exceptions.
pub(crate) fn crash(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let (mut l2, _) = usual_l2(frames);
    complete(
        &mut l2,
        Program::Store,
        &[DATA_IPA, PATTERN],
        "L2 cannot write its data",
    )?;
    Ok(Planted {
        l2,
        then: take_exceptions,
    })
}
