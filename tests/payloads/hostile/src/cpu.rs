//! One CPU of the attack: what it strikes with.

use bare::host::HCR_HOST;
use bare::l2::{self, PSTATE_EL1H_MASKED, VECTORS_OFFSET};
use bare::memory::Frames;
use bare::stage2::{Format, Perms, Stage2};
use bare::sysreg::{HCR_EL2, MDCR_EL2, VBAR_EL12, VTCR_EL2, VTTBR_EL2};
use syndrome::SysReg;
use syndrome::sysreg::Row;

use crate::code::{Code, msr};
use crate::home::{self, Home};
use crate::rescue;
use crate::rng::Rng;
use crate::tally::Tally;

/// Parts of the frames: one for each CPU, the rest for all.
const PARTS: u64 = 8;

/// EL2 with its own stack pointer, all interrupts masked.
pub(crate) const PSTATE_EL2H_MASKED: u64 = 0x3c9;

pub(crate) const HCR_VM: u64 = 1;
pub(crate) const HCR_FMO: u64 = 1 << 3;
pub(crate) const HCR_NESTED: u64 = l2::HCR_NESTED;
/// Interrupts of the machine come to EL2, whatever is masked below: without it the timer ends nothing.
pub(crate) const HCR_IMO: u64 = 1 << 4;

/// Where an L2 sees its code, its vectors and its data, if its tables are as they should be.
pub(crate) const CODE_IPA: u64 = 0x8000_0000;
pub(crate) const VECTORS_IPA: u64 = 0x8000_1000;
pub(crate) const DATA_IPA: u64 = 0x8020_0000;

/// From where code strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    El2,
    El1,
    L2,
}

/// What a guest runs under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) hcr: u64,
    pub(crate) vttbr: u64,
    pub(crate) vtcr: u64,
    pub(crate) vbar: u64,
    pub(crate) pc: u64,
    pub(crate) pstate: u64,
}

/// A CPU.
#[derive(Debug)]
pub(crate) struct Cpu {
    pub(crate) index: usize,
    pub(crate) rng: Rng,
    pub(crate) frames: Frames,
    pub(crate) tally: Tally,
    /// The registers of the next strike, and what came of the last.
    pub(crate) home: Home,
    /// The page its code is in.
    pub(crate) code: u64,
    /// Event counters that there are: `MDCR_EL2.HPMN` in the beginning.
    counters: u64,
}

impl Cpu {
    pub(crate) fn new(index: usize) -> Self {
        const HPMN: u64 = 0x1f;
        home::settle();
        Self {
            index,
            rng: Rng::of_step(0, 0, 0),
            frames: Frames::part(index as u64, PARTS),
            tally: Tally::default(),
            home: Home::NEW,
            code: 0,
            counters: MDCR_EL2.get() & HPMN,
        }
    }

    /// A new step: numbers and frames of its own.
    pub(crate) fn begin(&mut self, seed: u64, step: u64) {
        self.rng = Rng::of_step(seed, self.index as u64, step);
        self.frames = Frames::part(self.index as u64, PARTS);
        self.code = self.frames.page();
        rescue::after_strike(self.index);
        if self.rng.one_in(2) {
            rescue::all_controls(self.counters);
        }
        for n in 0..31 {
            self.home.x[n] = self.rng.value();
        }
    }

    /// Leaves nothing behind that who comes next would not expect.
    pub(crate) fn settle_down(&mut self) {
        rescue::after_strike(self.index);
        rescue::all_controls(self.counters);
        rescue::close_gic();
    }

    pub(crate) fn place(&mut self) -> Place {
        self.rng.choose(&[Place::El2, Place::El1, Place::L2])
    }

    /// The encoding of a register that has a name, seldom of any.
    pub(crate) fn register(&mut self) -> u16 {
        if self.rng.one_in(8) {
            return 0x8000 | self.rng.draw() as u16;
        }
        self.row(|reg| !reg.is_instruction())
    }

    /// `MSR` of any register or instruction with `xN`, which must hold its value already.
    pub(crate) fn write(&mut self, code: &mut Code, bits: u16, n: u32) {
        /// QEMU 10.0 takes the lowest three bits, of more than that too, for a value that is not below the least one,
        /// and ends with a failed assertion when these are zero.
        const BINARY_POINTS: [SysReg; 2] = [SysReg::ICC_BPR0_EL1, SysReg::ICC_BPR1_EL1];
        if BINARY_POINTS.contains(&SysReg::from_bits(bits)) {
            self.home.x[n as usize] &= 7;
        }
        code.push(msr(bits, n));
    }

    /// The encoding of one of the rows that are `wanted`.
    pub(crate) fn row(&mut self, wanted: impl Fn(SysReg) -> bool) -> u16 {
        self.named(|reg, _| wanted(reg))
    }

    /// The encoding of one of the rows whose registers and names are `wanted`.
    pub(crate) fn named(&mut self, wanted: impl Fn(SysReg, &str) -> bool) -> u16 {
        let is_wanted = |(row, name): &(Row, &str)| wanted(row.reg, name);
        let count = SysReg::rows().filter(is_wanted).count();
        let nth = self.rng.below(count as u64) as usize;
        let found = SysReg::rows().filter(is_wanted).nth(nth);
        found.map_or(0, |(row, _)| row.reg.bits())
    }

    /// `HCR_EL2` for a guest, from usual to wild. Interrupts always come here.
    pub(crate) fn hcr(&mut self) -> u64 {
        let usual = HCR_HOST | HCR_IMO | HCR_FMO | HCR_VM;
        match self.rng.below(4) {
            0 | 1 => usual,
            2 => usual ^ (self.rng.draw() & self.rng.draw() & self.rng.draw() & !HCR_IMO),
            _ => self.rng.draw() | HCR_IMO,
        }
    }

    /// A guest with a stage 2 of its own, in which it has its code, its vectors and two pages.
    pub(crate) fn guest(&mut self, format: Format) -> (Stage2, World) {
        let vmid = self.rng.below(4) as u16;
        let stage2 = Stage2::new(format, vmid, &mut self.frames);
        stage2.map(CODE_IPA, self.code, 3, Perms::RX, &mut self.frames);
        stage2.map(VECTORS_IPA, l2::programs(), 3, Perms::RX, &mut self.frames);
        for page in 0..2 {
            let at = self.frames.page();
            stage2.map(DATA_IPA + page * 0x1000, at, 3, Perms::RW, &mut self.frames);
        }
        let world = World {
            hcr: HCR_HOST | HCR_IMO | HCR_FMO | HCR_VM,
            vttbr: stage2.vttbr(),
            vtcr: stage2.vtcr(),
            vbar: VECTORS_IPA + VECTORS_OFFSET,
            pc: CODE_IPA,
            pstate: PSTATE_EL1H_MASKED,
        };
        (stage2, world)
    }

    /// EL1 of this program's own, without a stage 2.
    pub(crate) fn el1(&self) -> World {
        World {
            hcr: HCR_HOST | HCR_IMO | HCR_FMO,
            vttbr: 0,
            vtcr: 0,
            vbar: l2::programs() + VECTORS_OFFSET,
            pc: self.code,
            pstate: PSTATE_EL1H_MASKED,
        }
    }

    /// Executes `code` at `place`, and comes home.
    pub(crate) fn execute(&mut self, place: Place, code: &Code) {
        code.put(self.code);
        match place {
            Place::El2 => self.go(self.code, PSTATE_EL2H_MASKED),
            Place::El1 => {
                let world = self.el1();
                self.enter(&world);
            }
            Place::L2 => {
                let (_, world) = self.guest(Format::USUAL);
                code.put(self.code);
                self.enter(&world);
            }
        }
    }

    /// Enters a guest.
    pub(crate) fn enter(&mut self, world: &World) {
        VBAR_EL12.set(world.vbar);
        VTCR_EL2.set(world.vtcr);
        VTTBR_EL2.set(world.vttbr);
        HCR_EL2.set(world.hcr);
        self.go(world.pc, world.pstate);
    }

    /// Goes out, for as long as the timer allows.
    pub(crate) fn go(&mut self, pc: u64, pstate: u64) {
        rescue::arm();
        self.go_without_timer(pc, pstate);
    }

    /// Goes out, perhaps for good.
    pub(crate) fn go_without_timer(&mut self, pc: u64, pstate: u64) {
        self.home.pc = pc;
        self.home.pstate = pstate;
        let vector = home::strike(self.index, &mut self.home);
        self.tally.note(vector);
    }
}
