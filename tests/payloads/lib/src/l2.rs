//! An L2: one CPU of it, and how it runs until its next exit.
#![expect(unsafe_code, reason = "another program runs on this CPU meanwhile")]

use core::fmt;
use core::ptr;

use crate::host::HCR_HOST;
use crate::stage2::{Perms, Stage2, TableMemory};
use crate::sysreg::{
    ELR_EL2, ESR_EL2, FAR_EL2, HCR_EL2, HPFAR_EL2, SCTLR_EL12, SPSR_EL2, VBAR_EL12, VTCR_EL2, VTTBR_EL2,
};

pub(crate) const KIND_SYNC: u64 = 0;
pub(crate) const KIND_IRQ: u64 = 1;
pub(crate) const KIND_SERROR: u64 = 2;
pub(crate) const KIND_SELF: u64 = 3;

/// EL1 with its own stack pointer, all interrupts masked.
pub const PSTATE_EL1H_MASKED: u64 = 0x3c5;
/// `SCTLR_EL1` with the MMU off.
pub const SCTLR_EL1_OFF: u64 = 0x30d0_0800;
/// The guest runs below stage 2.
const HCR_VM: u64 = 1;
/// An L2 at a virtual EL2: `NV`, `NV2`, and `AT`. With `NV` the hardware traps its TLBI of EL2 as well.
pub const HCR_NESTED: u64 = 1 << 42 | 1 << 45 | 1 << 44;
/// The virtual EL2 has `E2H` = 0.
pub const HCR_NV1: u64 = 1 << 43;
/// The L2's vectors, in the second half of the page of programs.
pub const VECTORS_OFFSET: u64 = 0x800;

unsafe extern "C" {
    static l2_programs: u8;
    static l2_idle: u8;
    static l2_load: u8;
    static l2_store: u8;
    static l2_stride: u8;
    static l2_spin: u8;
    static l2_hyp_write: u8;
    static l2_hyp_el1: u8;
    static l2_hyp_read: u8;
    static l2_hyp_count: u8;
    static l2_hyp_trap: u8;
    static l2_hyp_tlbi: u8;
    static l2_hyp_at: u8;
    static l2_hyp_eret: u8;
    static l2_svc: u8;
    static l2_smc: u8;

    /// # Safety
    ///
    /// The L2's registers (`HCR_EL2`, `VTTBR_EL2`, `ELR_EL2`, `SPSR_EL2`) must be such that it cannot write this
    /// program's memory.
    fn enter_l2(x: *mut [u64; 32]) -> u64;
}

/// What an L2 can be told to do; the registers it uses are named in `programs.S`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// HVC.
    Idle,
    /// `x1` = word at `x0`, HVC.
    Load,
    /// Word at `x0` = `x1`, HVC.
    Store,
    /// Loads from `x0` to `x1` in steps of `x2`, their count in `x3`, HVC.
    Stride,
    /// An endless loop.
    Spin,
    /// `TPIDR_EL2` = `x1`, `ELR_EL2` = `x2`, HVC.
    HypWrite,
    /// `CONTEXTIDR_EL1` = `x1`, HVC.
    HypEl1,
    /// `x1` = `TPIDR_EL2`, `x2` = `ELR_EL2`, `x3` = `CurrentEL`, HVC.
    HypRead,
    /// `TPIDR_EL2` = `x1` + 1, + 2, and so on for ever.
    HypCount,
    /// `SCTLR_EL2` = `x1`, HVC.
    HypTrap,
    /// `TLBI ALLE2`, HVC.
    HypTlbi,
    /// `AT S1E1R` of `x1`, HVC.
    HypAt,
    /// ERET.
    HypEret,
    /// SVC, to a vector of its own.
    Svc,
    /// SMC, HVC.
    Smc,
}

impl Program {
    /// Where it lies in the page of programs.
    fn offset(self) -> u64 {
        let at = match self {
            Self::Idle => &raw const l2_idle,
            Self::Load => &raw const l2_load,
            Self::Store => &raw const l2_store,
            Self::Stride => &raw const l2_stride,
            Self::Spin => &raw const l2_spin,
            Self::HypWrite => &raw const l2_hyp_write,
            Self::HypEl1 => &raw const l2_hyp_el1,
            Self::HypRead => &raw const l2_hyp_read,
            Self::HypCount => &raw const l2_hyp_count,
            Self::HypTrap => &raw const l2_hyp_trap,
            Self::HypTlbi => &raw const l2_hyp_tlbi,
            Self::HypAt => &raw const l2_hyp_at,
            Self::HypEret => &raw const l2_hyp_eret,
            Self::Svc => &raw const l2_svc,
            Self::Smc => &raw const l2_smc,
        };
        at as u64 - programs()
    }

    /// Where it lies in memory.
    #[must_use]
    pub fn address(self) -> u64 {
        programs() + self.offset()
    }
}

/// The page of programs.
#[must_use]
pub fn programs() -> u64 {
    (&raw const l2_programs) as u64
}

/// Why an L2 stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A synchronous exception.
    Sync,
    /// An interrupt.
    Irq,
    /// An `SError`.
    SError,
    /// It did not start: the ERET was an exception from EL2.
    NotEntered,
}

/// An exit: `ESR_EL2` and what goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// What kind of exception.
    pub kind: Kind,
    /// `ESR_EL2`
    pub esr: u64,
    /// `FAR_EL2`
    pub far: u64,
    /// `HPFAR_EL2`
    pub hpfar: u64,
    /// `ELR_EL2`
    pub elr: u64,
    /// `SPSR_EL2`
    pub spsr: u64,
    /// `HCR_EL2` as it was for the guest, but for a virtual `SError` that was taken.
    pub hcr: u64,
}

impl Exit {
    /// The exception class.
    #[must_use]
    pub fn class(&self) -> u64 {
        self.esr >> 26 & 0x3f
    }

    /// The immediate of an HVC, if that is what it was.
    #[must_use]
    pub fn hvc(&self) -> Option<u64> {
        const EC_HVC64: u64 = 0x16;
        (self.kind == Kind::Sync && self.class() == EC_HVC64).then_some(self.esr & 0xffff)
    }

    /// The fault status code of an abort of the guest (`ISS.{I,D}FSC`), if that is what it was.
    #[must_use]
    pub fn abort(&self) -> Option<u64> {
        const EC_IABT_LOW: u64 = 0x20;
        const EC_DABT_LOW: u64 = 0x24;
        (self.kind == Kind::Sync && matches!(self.class(), EC_IABT_LOW | EC_DABT_LOW)).then_some(self.esr & 0x3f)
    }

    /// The IPA that `HPFAR_EL2` reports.
    #[must_use]
    pub fn ipa(&self) -> u64 {
        (self.hpfar & 0xfff_ffff_fff0) << 8
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} ESR_EL2 {:#x} FAR_EL2 {:#x} HPFAR_EL2 {:#x} ELR_EL2 {:#x}",
            self.kind, self.esr, self.far, self.hpfar, self.elr
        )
    }
}

/// One CPU of an L2.
#[derive(Debug)]
pub struct L2 {
    /// Its stage 2.
    pub stage2: Stage2,
    /// `x0` to `x30`; the last word is nobody's.
    pub x: [u64; 32],
    /// The program counter.
    pub pc: u64,
    /// The processor state.
    pub pstate: u64,
    /// What `HCR_EL2` has for it besides stage 2: [`HCR_NESTED`], or nothing.
    pub hcr: u64,
    /// `HCR_EL2` besides both: stage 2, and what traps.
    pub controls: u64,
    /// Its `SCTLR_EL1`.
    pub sctlr: u64,
    /// Where it sees the programs.
    code_at: u64,
}

impl L2 {
    /// An L2 on `stage2`, which maps the programs at the IPA `code_at` and is to map nothing of this payload's own.
    pub fn new(stage2: Stage2, code_at: u64, memory: &mut impl TableMemory) -> Self {
        stage2.map(code_at, programs(), 3, Perms::RX, memory);
        Self::on(stage2, code_at)
    }

    /// An L2 on `stage2`, which has the programs at the IPA `code_at` already.
    #[must_use]
    pub fn on(stage2: Stage2, code_at: u64) -> Self {
        Self {
            stage2,
            x: [0; 32],
            pc: code_at,
            pstate: PSTATE_EL1H_MASKED,
            hcr: 0,
            controls: HCR_VM,
            sctlr: SCTLR_EL1_OFF,
            code_at,
        }
    }

    /// One that runs without a stage 2, where it can write this payload's memory.
    #[must_use]
    pub fn without_stage2(stage2: Stage2) -> Self {
        Self {
            controls: 0,
            ..Self::on(stage2, programs())
        }
    }

    /// Runs `program` with `arguments` in its first registers, until its first exit.
    pub fn run(&mut self, program: Program, arguments: &[u64]) -> Exit {
        self.pc = self.code_at + program.offset();
        self.pstate = PSTATE_EL1H_MASKED;
        self.x[..arguments.len()].copy_from_slice(arguments);
        self.resume()
    }

    /// Goes on where it was.
    pub fn resume(&mut self) -> Exit {
        SCTLR_EL12.set(self.sctlr);
        VBAR_EL12.set(self.code_at + VECTORS_OFFSET);
        VTCR_EL2.set(self.stage2.vtcr());
        VTTBR_EL2.set(self.stage2.vttbr());
        HCR_EL2.set(HCR_HOST | self.controls | self.hcr);
        ELR_EL2.set(self.pc);
        SPSR_EL2.set(self.pstate);
        // SAFETY: the registers are the L2's own, and its stage 2 gives it the programs to read and frames. A scenario
        // that maps more, or lets the ERET fail, is about exactly that, and keeps to the programs, which write where
        // they are told.
        let kind = unsafe { enter_l2(ptr::from_mut(&mut self.x)) };
        let hcr = HCR_EL2.get();
        HCR_EL2.set(HCR_HOST);
        let exit = Exit {
            kind: match kind {
                KIND_SYNC => Kind::Sync,
                KIND_IRQ => Kind::Irq,
                KIND_SERROR => Kind::SError,
                _ => Kind::NotEntered,
            },
            esr: ESR_EL2.get(),
            far: FAR_EL2.get(),
            hpfar: HPFAR_EL2.get(),
            elr: ELR_EL2.get(),
            spsr: SPSR_EL2.get(),
            hcr,
        };
        self.pc = exit.elr;
        self.pstate = exit.spsr;
        exit
    }
}
