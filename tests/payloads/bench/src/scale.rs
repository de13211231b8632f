//! The same operations with more around them: guests that are alive, and pages that are mapped. What gnomon does about
//! one guest is to cost the same.

use bare::l2::Exit;
use bare::memory::Frames;
use bare::sysreg::CNTVCT_EL0;

use crate::guest::Guest;
use crate::samples::Samples;
use crate::vectors::while_returning;

/// The guests that are alive when the others are counted, the one they are counted in among them.
const CROWDS: [u16; 2] = [16, 64];
/// How often each guest of a crowd has its turn.
const ROUNDS: usize = 10;

/// Counts and prints them all. `guest` has VMID 1, and all its pages are in its shadow.
///
/// # Errors
///
/// The L2's exit, when it is not its last.
pub(crate) fn run(guest: &mut Guest, frames: &mut Frames) -> Result<(), Exit> {
    while_returning(|| guest.hypercalls(format_args!("l2-hvc-10000-pages")))?;
    guest.shadow_misses_among_others(format_args!("shadow-miss-10000-pages"))?;
    guest.page_invalidations(format_args!("tlbi-ipa-10000-pages"))?;
    let mut others: [Option<Guest>; 64] = [const { None }; 64];
    turns(guest, &mut [], 1)?;
    let mut alive = 1;
    for crowd in CROWDS {
        for (vmid, other) in (2..).zip(&mut others[..usize::from(crowd) - 1]).skip(alive - 1) {
            *other = Some(Guest::new(vmid, 1, frames));
        }
        alive = usize::from(crowd);
        turns(guest, &mut others[..alive - 1], crowd)?;
        while_returning(|| guest.hypercalls(format_args!("l2-hvc-{crowd}-vms")))?;
        guest.shadow_misses(format_args!("shadow-miss-{crowd}-vms"))?;
        guest.vm_invalidations(format_args!("tlbi-vm-1-{crowd}-vms"), 1, 10)?;
    }
    Ok(())
}

/// Each guest in turn reads a page and exits: how long that takes from L1's decision to its being back.
fn turns(guest: &mut Guest, others: &mut [Option<Guest>], crowd: u16) -> Result<(), Exit> {
    let mut samples = Samples::new();
    for round in 0..=ROUNDS {
        for guest in core::iter::once(&mut *guest).chain(others.iter_mut().flatten()) {
            let begin = CNTVCT_EL0.get();
            guest.read(1)?;
            let instructions = CNTVCT_EL0.get() - begin;
            // In the first round they come to life.
            if round != 0 {
                samples.add(instructions);
            }
        }
    }
    samples.print(format_args!("vm-turn-{crowd}"));
    Ok(())
}
