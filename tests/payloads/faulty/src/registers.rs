//! Registers that cannot work: `VTCR_EL2` and `SPSR_EL2`.

use bare::l2::{Kind, L2, Program};
use bare::memory::Frames;
use bare::options::Options;
use bare::stage2::Format;

use crate::scenario::{CODE_IPA, Planted, Wrong, complete, expect, usual_l2};

/// Translation fault at level 0, as an abort's status code.
const TRANSLATION_FAULT_LEVEL_0: u64 = 0b00_0100;
/// The exception class of an illegal execution state.
const EC_ILLEGAL_STATE: u64 = 0x0e;

/// Starts at level 2, which resolves 34 bits at most, with an input size of 40.
pub(crate) fn bad_start_level(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let (mut l2, _) = usual_l2(frames);
    l2.stage2 = l2.stage2.with_format(Format {
        start_level: 2,
        ..Format::USUAL
    });
    let exit = l2.run(Program::Idle, &[]);
    let is_refused = exit.abort() == Some(TRANSLATION_FAULT_LEVEL_0) && exit.ipa() == CODE_IPA;
    expect(is_refused, "the walk was not refused", exit)?;
    Ok(Planted {
        l2,
        // As Linux's KVM does: the fault is handled, the table looks right, L2 tries again.
        then: |l2| {
            l2.run(Program::Idle, &[]);
        },
    })
}

/// `SPSR_EL2.M` is a mode that there is not. Where the PC goes there must be code, because an abort of the fetch would come
/// before.
fn return_illegally(l2: &mut L2) -> bare::l2::Exit {
    const RESERVED_MODE: u64 = 0b0110;
    l2.pc = Program::Idle.address();
    l2.pstate = l2.pstate & !0xf | RESERVED_MODE;
    l2.resume()
}

/// An ERET with an illegal `SPSR_EL2`.
pub(crate) fn bad_spsr(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let (mut l2, _) = usual_l2(frames);
    complete(&mut l2, Program::Idle, &[], "L2 does not run")?;
    let exit = return_illegally(&mut l2);
    let is_illegal = exit.kind == Kind::NotEntered && exit.class() == EC_ILLEGAL_STATE;
    expect(is_illegal, "the return was not illegal", exit)?;
    Ok(Planted {
        l2,
        then: |l2| {
            return_illegally(l2);
        },
    })
}
