//! One access to one encoding, at each of the three places from which L1 can make it.

use core::fmt;

use bare::host::{CNTHCTL_OPEN, CPTR_OPEN};
use bare::l2::{Exit, L2, PSTATE_EL1H_MASKED};
use bare::memory::{Frames, put_code};
use bare::stage2::{Format, Perms, Stage2};
use bare::sysreg::{CNTHCTL_EL2, CPTR_EL2, ESR_EL12, HCR_EL2, MDCR_EL2};
use syndrome::{SysReg, esr::ec};

use crate::vectors::El2Code;

/// Where the L2 sees its programs, its one instruction, and a page of data.
pub(crate) const CODE_IPA: u64 = 0x8000_0000;
pub(crate) const PROBE_IPA: u64 = 0x8000_1000;
pub(crate) const DATA_IPA: u64 = 0x8020_0000;

/// `HVC #0`
const HVC: u32 = 0xd400_0002;
/// The L2's vectors say which they are by an HVC with this and more.
const HVC_OF_VECTORS: u64 = 0x10;

/// `HCR_EL2`: nothing that can be let through traps.
const HCR_ENABLES: u64 = 1 << 53 | 1 << 41 | 1 << 40;
/// `MDCR_EL2.HPMN`.
const MDCR_HPMN: u64 = 0x1f;
/// EL0, with everything masked.
pub(crate) const PSTATE_EL0: u64 = 0x3c0;
/// `HCR_EL2.VM`
pub(crate) const HCR_VM: u64 = 1;

/// What came of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was done.
    Done,
    /// An exception at the level that made it, of that class.
    Own(u64),
    /// An exception to EL2 from below, of that class.
    Trapped(u64),
    /// Something else.
    Strange,
}

impl Outcome {
    pub(crate) const UNDEFINED: Self = Self::Own(ec::UNKNOWN as u64);
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("ok"),
            Self::Own(0) => f.write_str("undef"),
            Self::Own(class) => write!(f, "own-{class:#x}"),
            Self::Trapped(class) => write!(f, "trap-{class:#x}"),
            Self::Strange => f.write_str("strange"),
        }
    }
}

/// Reads and writes of one encoding. What is written is what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accesses {
    pub(crate) read: Outcome,
    pub(crate) write: Outcome,
}

impl Accesses {
    /// Whether there is nothing: undefined, as unknown or as a part of the ID space (FEAT_IDST).
    pub(crate) fn is_undefined(&self) -> bool {
        const IN_ID_SPACE: Outcome = Outcome::Own(ec::SYS64 as u64);
        matches!(self.read, Outcome::UNDEFINED | IN_ID_SPACE) && self.write == Outcome::UNDEFINED
    }

    /// Makes both by `execute`, which takes an instruction word and `x0`, and gives `x0`.
    pub(crate) fn of(reg: SysReg, operand: u64, mut execute: impl FnMut(u32, u64) -> (u64, Outcome)) -> Self {
        if reg.is_instruction() {
            let (_, write) = execute(write_of(reg), operand);
            return Self {
                read: Outcome::UNDEFINED,
                write,
            };
        }
        let (value, read) = execute(read_of(reg), 0);
        let value = if read == Outcome::Done { value } else { 0 };
        let (_, write) = execute(write_of(reg), value);
        Self { read, write }
    }
}

impl fmt::Display for Accesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.read, self.write)
    }
}

/// `MRS x0, reg`
pub(crate) fn read_of(reg: SysReg) -> u32 {
    0xd520_0000 | u32::from(reg.op0() & 3) << 19 | fields(reg)
}

/// `MSR reg, x0`, or the instruction with `x0`.
pub(crate) fn write_of(reg: SysReg) -> u32 {
    0xd500_0000 | u32::from(reg.op0() & 3) << 19 | fields(reg)
}

fn fields(reg: SysReg) -> u32 {
    u32::from(reg.op1()) << 16 | u32::from(reg.crn()) << 12 | u32::from(reg.crm()) << 8 | u32::from(reg.op2()) << 5
}

/// EL2.
#[derive(Debug)]
pub(crate) struct AtEl2(pub(crate) El2Code);

impl AtEl2 {
    pub(crate) fn execute(&self, instruction: u32, x0: u64) -> (u64, Outcome) {
        const SKIP: u64 = 4;
        let (value, taken) = self.0.execute(&[instruction], x0, SKIP);
        (
            value,
            taken.map_or(Outcome::Done, |taken| Outcome::Own(taken.esr >> 26)),
        )
    }
}

/// A guest with one instruction, and the controls that it runs under.
#[derive(Debug)]
pub(crate) struct Below {
    pub(crate) l2: L2,
    /// Where it lies for the guest, and in memory.
    probe: u64,
    page: u64,
}

impl Below {
    /// A guest with a stage 2 of its own.
    pub(crate) fn guest(frames: &mut Frames) -> Self {
        let stage2 = Stage2::new(Format::USUAL, 1, frames);
        let (page, data) = (frames.page(), frames.page());
        stage2.map(PROBE_IPA, page, 3, Perms::RWX, frames);
        stage2.map(DATA_IPA, data, 3, Perms::RW, frames);
        Self {
            l2: L2::new(stage2, CODE_IPA, frames),
            probe: PROBE_IPA,
            page,
        }
    }

    /// EL1 without a stage 2.
    pub(crate) fn el1(frames: &mut Frames) -> Self {
        let stage2 = Stage2::new(Format::USUAL, 2, frames);
        let page = frames.page();
        Self {
            l2: L2::without_stage2(stage2),
            probe: page,
            page,
        }
    }

    /// Where the instructions are for the guest.
    pub(crate) fn place(&self) -> u64 {
        self.probe
    }

    /// Executes `instructions`, at most three, with `x0`, and comes back by an HVC or an exit.
    pub(crate) fn exit_of(&mut self, instructions: &[u32], x0: u64, pstate: u64) -> Exit {
        let mut words = [HVC; 6];
        words[..instructions.len()].copy_from_slice(instructions);
        put_code(self.page, &words);
        self.l2.x[0] = x0;
        self.l2.pc = self.probe;
        self.l2.pstate = pstate;
        self.l2.resume()
    }

    /// As [`exit_of`](Self::exit_of), of which it says what came of it.
    pub(crate) fn execute(&mut self, instruction: u32, x0: u64) -> (u64, Outcome) {
        self.execute_at(instruction, x0, PSTATE_EL1H_MASKED)
    }

    /// The same in another state.
    pub(crate) fn execute_at(&mut self, instruction: u32, x0: u64, pstate: u64) -> (u64, Outcome) {
        let exit = self.exit_of(&[instruction], x0, pstate);
        let outcome = match exit.hvc() {
            Some(0) => Outcome::Done,
            Some(vector) if vector >= HVC_OF_VECTORS => Outcome::Own(ESR_EL12.get() >> 26),
            Some(_) => Outcome::Strange,
            None if exit.kind == bare::l2::Kind::Sync => Outcome::Trapped(exit.class()),
            None => Outcome::Strange,
        };
        (self.l2.x[0], outcome)
    }
}

/// Nothing that L1 can let through traps.
pub(crate) fn open() {
    CPTR_EL2.set(CPTR_OPEN);
    CNTHCTL_EL2.set(CNTHCTL_OPEN);
    MDCR_EL2.set(MDCR_EL2.get() & MDCR_HPMN);
    HCR_EL2.set(HCR_EL2.get());
}

/// The bits of `HCR_EL2` that go with it, for a guest.
pub(crate) const HCR_OPEN: u64 = HCR_ENABLES;
