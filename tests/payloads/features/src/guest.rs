//! The guest: programs of this payload's own, in a page that it may read.

use core::arch::global_asm;
use core::fmt;

use bare::l2::{Exit, L2, PSTATE_EL1H_MASKED};
use bare::memory::Frames;
use bare::stage2::{Format, Perms, Stage2};

const CODE_IPA: u64 = 0x8000_0000;
const PROGRAMS_IPA: u64 = 0x8001_0000;
const VMID: u16 = 1;

global_asm!(include_str!("programs.S"));

unsafe extern "C" {
    static features_programs: u8;
    static l2_vector_length: u8;
    static l2_loop: u8;
    static l2_monitors: u8;
}

/// What it can be told to do; the registers it uses are named in `programs.S`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// `ZCR_EL1` = `x0` unless that is -1; `x1` = `ZCR_EL1`, `x2` = bytes of a vector, HVC.
    VectorLength,
    /// Goes round `x0` times, HVC.
    Loop,
    /// `x1` = `PMCR_EL0`, `PMCNTENCLR_EL0` = `x0`, `x2` = what is left of it, `x3` = `PMCEID0_EL0`, HVC.
    Monitors,
}

impl Program {
    fn address(self) -> u64 {
        let at = match self {
            Self::VectorLength => &raw const l2_vector_length,
            Self::Loop => &raw const l2_loop,
            Self::Monitors => &raw const l2_monitors,
        };
        at as u64
    }
}

/// One guest on one CPU.
pub(crate) struct Guest(L2);

impl Guest {
    pub(crate) fn new(frames: &mut Frames) -> Self {
        let stage2 = Stage2::new(Format::USUAL, VMID, frames);
        stage2.map(PROGRAMS_IPA, programs(), 3, Perms::RX, frames);
        Self(L2::new(stage2, CODE_IPA, frames))
    }

    /// Runs a program with `x0`, until its first exit.
    pub(crate) fn run(&mut self, program: Program, x0: u64) -> Ended<'_> {
        self.0.x[..4].copy_from_slice(&[x0, 0, 0, 0]);
        self.0.pc = PROGRAMS_IPA + program.address() - programs();
        self.0.pstate = PSTATE_EL1H_MASKED;
        let exit = self.0.resume();
        Ended {
            exit,
            x: &self.0.x[1..4],
        }
    }
}

fn programs() -> u64 {
    (&raw const features_programs) as u64
}

/// How a program ended: what it has in its registers if it came to its end, else why not.
pub(crate) struct Ended<'a> {
    exit: Exit,
    x: &'a [u64],
}

impl Ended<'_> {
    /// Whether it came to its end.
    pub(crate) fn is_at_its_end(&self) -> bool {
        self.exit.hvc() == Some(0)
    }
}

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_at_its_end() {
            return write!(f, "exit {:?} ESR_EL2 {:#x}", self.exit.kind, self.exit.esr);
        }
        write!(f, "ends with {:#x} {:#x} {:#x}", self.x[0], self.x[1], self.x[2])
    }
}
