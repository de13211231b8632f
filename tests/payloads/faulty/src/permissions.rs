//! A permission is taken away: with the TLBI that belongs to it, without, and with the wrong one.

use bare::l2::{L2, Program};
use bare::memory::Frames;
use bare::options::Options;
use bare::stage2::{Perms, TableMemory, desc};
use bare::sysreg::VTTBR_EL2;
use bare::tlbi;

use crate::scenario::{DATA_IPA, PATTERN, Planted, VMID, Wrong, complete, expect, usual_l2};

/// Permission fault at level 3, as an abort's status code.
const PERMISSION_FAULT_LEVEL_3: u64 = 0b00_1111;

/// An L2 that has written to its data, to which L1's table then no longer lets it write. What else is to be done is
/// `maintenance`.
fn cut_write(frames: &mut Frames, maintenance: fn()) -> Result<L2, Wrong> {
    let (mut l2, page) = usual_l2(frames);
    complete(
        &mut l2,
        Program::Store,
        &[DATA_IPA, PATTERN],
        "L2 cannot write its data",
    )?;
    let at = l2.stage2.entry(DATA_IPA, 3, frames);
    frames.write(at, desc::leaf(page, 3, Perms::RO));
    maintenance();
    Ok(l2)
}

/// No bug: L2 is told.
pub(crate) fn good(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let mut l2 = cut_write(frames, || {
        tlbi::ipas2e1is(DATA_IPA);
        tlbi::vmalle1is();
    })?;
    let exit = l2.run(Program::Store, &[DATA_IPA, 0]);
    let is_told = exit.abort() == Some(PERMISSION_FAULT_LEVEL_3);
    expect(is_told, "L2 may still write", exit)?;
    complete(&mut l2, Program::Load, &[DATA_IPA], "L2 cannot read its data")?;
    Ok(Planted::spin(l2))
}

/// The TLBI is forgotten.
pub(crate) fn missing_tlbi(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let mut l2 = cut_write(frames, || {})?;
    complete(
        &mut l2,
        Program::Store,
        &[DATA_IPA, 0],
        "the stale permission was not used",
    )?;
    Ok(Planted::spin(l2))
}

/// The TLBI is done under another VMID.
pub(crate) fn wrong_vmid(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let mut l2 = cut_write(frames, || {
        let mine = VTTBR_EL2.get();
        VTTBR_EL2.set(mine & !(0xffff << 48) | u64::from(VMID + 1) << 48);
        tlbi::ipas2e1is(DATA_IPA);
        tlbi::vmalle1is();
        VTTBR_EL2.set(mine);
    })?;
    complete(
        &mut l2,
        Program::Store,
        &[DATA_IPA, 0],
        "the stale permission was not used",
    )?;
    Ok(Planted::spin(l2))
}
