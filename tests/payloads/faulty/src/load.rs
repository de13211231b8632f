//! No bug, but as much as there can be: a shadow with a million leaves, and VMs that come and go on all CPUs.

use core::sync::atomic::{AtomicU64, Ordering};

use bare::l2::{L2, Program};
use bare::memory::{self, Frames};
use bare::options::Options;
use bare::stage2::{Format, PAGE_BYTES, Perms, Stage2, TableMemory, desc, entry_bytes};
use bare::{println, psci, tlbi};

use crate::scenario::{CODE_IPA, DATA_IPA, PATTERN, Planted, Wrong, complete, expect, fail, usual_l2};

/// The range with the leaves: four tables of level 2.
const LEAVES_IPA: u64 = 4 << 30;
const LEAVES_BYTES: u64 = 4 << 30;
const TABLE_ENTRIES: u64 = 512;

/// A million pages of L2 (2 to the power of 20), each of which L2 has read. They differ from their neighbours in what
/// they allow, so that a dump has as many lines. L1 needs three pages for it: one page of data, one table of level 3 and
/// one of level 2, which all entries above share.
pub(crate) fn million(frames: &mut Frames, _: Options<'_>) -> Result<Planted, Wrong> {
    let (mut l2, page) = usual_l2(frames);
    let [pages, tables] = [frames.page(), frames.page()];
    for index in 0..TABLE_ENTRIES {
        let perms = if index % 2 == 0 { Perms::RW } else { Perms::RO };
        frames.write(pages + index * 8, desc::leaf(page, 3, perms));
        frames.write(tables + index * 8, pages | desc::TABLE);
    }
    for ipa in (LEAVES_IPA..LEAVES_IPA + LEAVES_BYTES).step_by(entry_bytes(1) as usize) {
        let at = l2.stage2.entry(ipa, 1, frames);
        frames.write(at, tables | desc::TABLE);
    }
    let range = [LEAVES_IPA, LEAVES_IPA + LEAVES_BYTES, PAGE_BYTES];
    complete(&mut l2, Program::Stride, &range, "L2 cannot read all its pages")?;
    Ok(Planted::spin(l2))
}

/// VMs of one CPU: with three CPUs there are more than gnomon has room for (64).
const VMS: u16 = 24;
/// CPUs that frames are divided among.
const CPUS_MAX: u64 = 8;
/// Pages of data of each VM.
const PAGES: u64 = 8;
/// VMs between two lines of progress.
const PROGRESS: u64 = 256;

/// How many VMs there have been.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// VMs are made, used and thrown away for ever, on as many CPUs as `cpus=` says.
pub(crate) fn recycle(_: &mut Frames, options: Options<'_>) -> Result<Planted, Wrong> {
    for cpu in 1..options.number("cpus").unwrap_or(1).min(CPUS_MAX) {
        if !psci::cpu_on(cpu) {
            println!("P NOTE CPU {cpu} does not start");
        }
    }
    let l2 = use_vms(0)?;
    Ok(Planted {
        l2,
        then: |_| recycle_or_fail(0),
    })
}

/// What a second CPU does.
pub(crate) fn secondary(cpu: u64) -> ! {
    loop {
        recycle_or_fail(cpu);
    }
}

fn recycle_or_fail(cpu: u64) {
    if let Err(wrong) = use_vms(cpu) {
        fail(wrong);
    }
}

/// Goes once through the VMs of a CPU; returns the last.
fn use_vms(cpu: u64) -> Result<L2, Wrong> {
    let mut last = None;
    for index in 0..VMS {
        let round = COUNT.fetch_add(1, Ordering::Relaxed);
        if round % PROGRESS == PROGRESS - 1 {
            println!("P ROUND {}", round + 1);
        }
        let mut frames = Frames::part(cpu, CPUS_MAX);
        let vmid = 1 + cpu as u16 * VMS + index;
        let mut l2 = L2::new(Stage2::new(Format::USUAL, vmid, &mut frames), CODE_IPA, &mut frames);
        let pages = frames.alloc(PAGES);
        for page in 0..PAGES {
            // Never the page that the VM of this number had there before, so that what was forgotten would show.
            let output = pages + (page + round) % PAGES * PAGE_BYTES;
            let ipa = DATA_IPA + page * PAGE_BYTES;
            l2.stage2.map(ipa, output, 3, Perms::RW, &mut frames);
            let exit = l2.run(Program::Store, &[ipa, PATTERN ^ round]);
            let is_there = exit.hvc() == Some(0) && memory::read(output) == PATTERN ^ round;
            expect(is_there, "a page of L2 is not where L1 mapped it", exit)?;
        }
        tear_down(round);
        last = Some(l2);
    }
    Ok(last.unwrap_or_else(|| fail("no VM")))
}

/// Forgets the VM that ran last, in one of the ways there are.
fn tear_down(round: u64) {
    match round % 3 {
        0 => tlbi::vmalls12e1is(),
        1 => tlbi::alle1is(),
        _ => {
            tlbi::ipas2e1is(CODE_IPA);
            for page in 0..PAGES {
                tlbi::ipas2e1is(DATA_IPA + page * PAGE_BYTES);
            }
            tlbi::vmalle1is();
        }
    }
}
