//! One VM after the other, on one CPU.

use bare::l2::{Exit, Kind, L2, Program};
use bare::memory::{self, Frames};
use bare::rng::SplitMix64;
use bare::stage2::{Format, PAGE_BYTES, Perms, Stage2, TableMemory};
use bare::sysreg::{
    CNTHP_CTL_EL2, CNTHP_CVAL_EL2, CNTP_CTL_EL02, CNTP_CVAL_EL02, CNTPCT_EL0, CNTV_CTL_EL02, ICH_HCR_EL2, ICH_LR0_EL2,
    ICH_VMCR_EL2,
};
use bare::tlbi;

use crate::gic;
use crate::start::{CPUS_MAX, fail};

/// Where L2 sees its programs and its data.
const CODE_IPA: u64 = 0x8000_0000;
const DATA_IPA: u64 = 0x8010_0000;
/// VMs of one CPU: with four CPUs there are more than gnomon has room for (64).
const VMS: u64 = 24;
/// Pages of data of each VM.
const PAGES: u64 = 8;
/// What is stored.
const PATTERN: u64 = 0x5eed_5eed_5eed_5eed;
/// `HCR_EL2.{VM,FMO,IMO}`
const CONTROLS: u64 = 1 | 1 << 3 | 1 << 4;
/// `ICH_LR0_EL2`: pending, group 1, of no physical interrupt.
const PENDING_LR: u64 = 1 << 62 | 1 << 60 | 0x80 << 48 | 40;
/// `ICH_VMCR_EL2`: group 1, everything urgent enough.
const VMCR: u64 = 0xff << 24 | 1 << 1;

/// Makes a VM and has it write its pages, which L1 finds where it has mapped them.
pub(crate) fn make(cpu: u64, rng: &mut SplitMix64) -> L2 {
    let (index, round) = (rng.below(VMS), rng.next());
    let mut frames = Frames::part(cpu, CPUS_MAX);
    let vmid = (1 + cpu * VMS + index) as u16;
    let mut l2 = L2::new(Stage2::new(Format::USUAL, vmid, &mut frames), CODE_IPA, &mut frames);
    l2.controls = CONTROLS;
    let pages = frames.alloc(PAGES);
    leave_timers(rng);
    for page in 0..PAGES {
        // Never the page that the VM of this number had there before, so that what was forgotten would show.
        let output = pages + (page + round) % PAGES * PAGE_BYTES;
        let ipa = DATA_IPA + page * PAGE_BYTES;
        l2.stage2.map(ipa, output, 3, Perms::RW, &mut frames);
        let exit = run(&mut l2, Program::Store, &[ipa, PATTERN ^ round]);
        if exit.hvc() != Some(0) || memory::read(output) != PATTERN ^ round {
            fail(format_args!(
                "CPU {cpu}: a page of L2 is not where L1 mapped it: {exit}"
            ));
        }
    }
    l2
}

/// Has L2 run a program to its end, with L1's interrupts on the way.
pub(crate) fn run(l2: &mut L2, program: Program, arguments: &[u64]) -> Exit {
    let mut exit = l2.run(program, arguments);
    while exit.kind == Kind::Irq {
        if let Some(intid) = gic::acknowledge() {
            if intid == gic::TIMER {
                CNTHP_CTL_EL2.set(0);
            }
            gic::end(intid);
        }
        exit = l2.resume();
    }
    exit
}

/// Whatever may be there when a CPU is switched off: L1's timer and L2's about to fire, a virtual interrupt that L2 has not
/// taken.
fn leave_timers(rng: &mut SplitMix64) {
    const ENABLE: u64 = 1;
    let soon = CNTPCT_EL0.get() + rng.below(100_000);
    CNTHP_CVAL_EL2.set(soon);
    CNTHP_CTL_EL2.set(ENABLE);
    CNTP_CVAL_EL02.set(soon);
    CNTP_CTL_EL02.set(rng.below(2));
    CNTV_CTL_EL02.set(rng.below(2));
    ICH_VMCR_EL2.set(VMCR);
    ICH_LR0_EL2.set(PENDING_LR * rng.below(2));
    ICH_HCR_EL2.set(rng.below(2));
}

/// Forgets the VM that ran last, in one of the ways there are.
pub(crate) fn forget(rng: &mut SplitMix64) {
    match rng.below(3) {
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
