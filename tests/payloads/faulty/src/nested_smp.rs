//! An L2 that is a hypervisor, on CPU 1, while CPU 0 changes where L1 has its page of registers.
//!
//! The L2 writes a register in the page over and over, and never exits by itself. So what ends its writes is the TLBI that CPU
//! 0 executes, or nothing does.

use core::hint;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bare::l2::{Exit, HCR_NESTED, Kind, Program};
use bare::memory::{self, Frames};
use bare::options::Options;
use bare::stage1::{self, Window};
use bare::sysreg::VNCR_EL2;
use bare::{println, psci, tlbi};

use crate::nested::{ESR_VNCR, PERMISSION_FAULT_LEVEL_3, TPIDR_EL2, TRANSLATION_FAULT_LEVEL_3, WRITE};
use crate::scenario::{Planted, Wrong, expect, usual_l2};

/// CPUs that frames are divided among.
const CPU_COUNT: u64 = 2;
/// How often it is looked whether the other CPU has done something: minutes. The host may let that wait for long.
const LOOKS_MAX: u64 = 1 << 34;

/// What becomes of the leaf, what invalidates it, and what the L2's next write is then. The last one is not a fault by L1's
/// tables: it stays for the next round.
type Change = (u64, fn(u64), u64);
const CHANGES: [Change; 5] = [
    (0, tlbi::vae2is, TRANSLATION_FAULT_LEVEL_3),
    (stage1::READ_ONLY, tlbi::vale2is, PERMISSION_FAULT_LEVEL_3),
    (0, tlbi::rvae2is, TRANSLATION_FAULT_LEVEL_3),
    (stage1::READ_ONLY, |_| tlbi::alle2is(), PERMISSION_FAULT_LEVEL_3),
    (0, |_| tlbi::alle2is(), TRANSLATION_FAULT_LEVEL_3),
];

/// Whether this is what is played.
static CHOSEN: AtomicBool = AtomicBool::new(false);
/// How often the L2 may be entered, and how often it has been left.
static ENTRIES: AtomicU64 = AtomicU64::new(0);
static EXITS: AtomicU64 = AtomicU64::new(0);
/// `ESR_EL2` and `FAR_EL2` of the last exit.
static ESR: AtomicU64 = AtomicU64::new(0);
static FAR: AtomicU64 = AtomicU64::new(0);

/// No bug: what is taken from the page is taken at once, whoever has it.
pub(crate) fn nested_smp(_: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let mut frames = Frames::part(0, CPU_COUNT);
    let (window, pages) = (Window::new(&mut frames), [frames.page(), frames.page()]);
    CHOSEN.store(true, Ordering::Release);
    expect(psci::cpu_on(1), "CPU 1 does not start", last_exit())?;
    for (round, (change, invalidate, status)) in CHANGES.into_iter().enumerate() {
        let [page, other] = [pages[round % 2], pages[(round + 1) % 2]];
        begin(round as u64 + 1, &window, page, &mut frames)?;
        window.set(if change == 0 { 0 } else { page | stage1::PAGE | change }, &mut frames);
        invalidate(stage1::BASE);
        let [at_once, elsewhere] = [page, other].map(count);
        let has_exited = is_soon(|| EXITS.load(Ordering::Acquire) == round as u64 + 1);
        expect(has_exited, "L2 goes on with a page that was taken from it", last_exit())?;
        let is_still = count(page) == at_once && count(other) == elsewhere;
        expect(is_still, "L2 wrote a page that was taken from it", last_exit())?;
        let is_told = ESR.load(Ordering::Relaxed) == ESR_VNCR | WRITE | status
            && FAR.load(Ordering::Relaxed) == stage1::BASE + TPIDR_EL2;
        expect(is_told, "L1 is not told of the write", last_exit())?;
        window.set(0, &mut frames);
        tlbi::vae2is(stage1::BASE);
        println!("P TAKEN {round}");
    }
    begin(CHANGES.len() as u64 + 1, &window, pages[0], &mut frames)?;
    println!("P PAGE {:#x}", pages[0]);
    let (l2, _) = usual_l2(&mut frames);
    Ok(Planted {
        l2,
        then: |_| hint::spin_loop(),
    })
}

/// Whether this scenario is being played.
pub(crate) fn is_chosen() -> bool {
    CHOSEN.load(Ordering::Acquire)
}

/// Gives the L2 a page, and waits until it writes it.
fn begin(entries: u64, window: &Window, page: u64, frames: &mut Frames) -> Result<(), Wrong> {
    window.set(page | stage1::PAGE, frames);
    let before = count(page);
    ENTRIES.store(entries, Ordering::Release);
    let does_write = is_soon(|| count(page) != before);
    expect(does_write, "L2 does not write its page", last_exit())
}

/// What CPU 1 does.
pub(crate) fn secondary(cpu: u64) -> ! {
    let mut frames = Frames::part(cpu, CPU_COUNT);
    let (mut l2, _) = usual_l2(&mut frames);
    l2.hcr = HCR_NESTED;
    VNCR_EL2.set(stage1::BASE);
    for round in 1.. {
        while ENTRIES.load(Ordering::Acquire) < round {
            hint::spin_loop();
        }
        let exit = l2.run(Program::HypCount, &[0, round << 32]);
        ESR.store(exit.esr, Ordering::Relaxed);
        FAR.store(exit.far, Ordering::Relaxed);
        EXITS.store(round, Ordering::Release);
    }
    psci::wait_for_ever()
}

/// What the L2 has written last.
fn count(page: u64) -> u64 {
    memory::read(page + TPIDR_EL2)
}

fn is_soon(condition: impl Fn() -> bool) -> bool {
    (0..LOOKS_MAX).any(|_| condition())
}

fn last_exit() -> Exit {
    Exit {
        kind: Kind::Sync,
        esr: ESR.load(Ordering::Relaxed),
        far: FAR.load(Ordering::Relaxed),
        hpfar: 0,
        elr: 0,
        spsr: 0,
        hcr: 0,
    }
}
