//! Stage 2 of every shape: what an L2 may do, and the fault that it gets else.

use bare::l2::{L2, PSTATE_EL1H_MASKED, programs};
use bare::memory::{self, Frames, put_code};
use bare::println;
use bare::stage2::{Format, Stage2, TableMemory, VTCR_DS};
use bare::sysreg::{ESR_EL12, FAR_EL12};

use crate::probe::{HCR_OPEN, HCR_VM, PSTATE_EL0};

/// `LDR x0, [x1]`, `STR x0, [x1]`, `BR x1`, `HVC #0`
const LOAD: u32 = 0xf940_0020;
const STORE: u32 = 0xf900_0020;
const BRANCH: u32 = 0xd61f_0020;
const HVC: u32 = 0xd400_0002;

/// Where an L2 has its programs, its instruction and its data: pages of 64 KiB.
const CODE: u64 = 0x1_0000;
const PROBE: u64 = 0x2_0000;
const DATA: u64 = 0x10_0000;
/// No RAM and no device.
const HOLE: u64 = 0x2_0000_0000;
/// More than 40 bits.
const FAR_AWAY: u64 = 1 << 44;

/// Granule, bits of an input address, level of the first lookup, and more bits of `VTCR_EL2`.
#[derive(Clone, Copy)]
struct Shape(u32, u32, i32, u64);

const SHAPES: [Shape; 25] = [
    Shape(12, 48, 0, 0),
    Shape(12, 44, 0, 0),
    Shape(12, 40, 0, 0),
    Shape(12, 39, 1, 0),
    Shape(12, 40, 1, 0),
    Shape(12, 43, 1, 0),
    Shape(12, 32, 1, 0),
    Shape(12, 30, 2, 0),
    Shape(12, 33, 2, 0),
    Shape(12, 34, 2, 0),
    Shape(14, 47, 1, 0),
    Shape(14, 40, 1, 0),
    Shape(14, 36, 2, 0),
    Shape(14, 40, 2, 0),
    Shape(14, 29, 3, 0),
    Shape(16, 48, 1, 0),
    Shape(16, 42, 2, 0),
    Shape(16, 45, 2, 0),
    Shape(16, 32, 3, 0),
    // Contradictions: the first lookup would need more than 16 tables, or less than one.
    Shape(12, 44, 1, 0),
    Shape(12, 40, 2, 0),
    Shape(12, 36, 0, 0),
    Shape(14, 44, 2, 0),
    Shape(16, 40, 3, 0),
    Shape(12, 40, 3, 0),
];

const DS: u64 = VTCR_DS;
/// `PS`, of which 40 bits are there already.
const PS_52_BITS: u64 = 4 << 16;
const SL2: u64 = 1 << 33;

/// Those that hold addresses of 52 bits.
const LARGE: [Shape; 22] = [
    Shape(12, 48, 0, DS),
    Shape(12, 42, 0, DS),
    Shape(12, 40, 1, DS),
    Shape(12, 43, 1, DS | PS_52_BITS),
    Shape(12, 34, 2, DS),
    Shape(12, 49, 0, DS | PS_52_BITS),
    Shape(12, 52, 0, DS | PS_52_BITS),
    Shape(12, 52, -1, DS | PS_52_BITS),
    Shape(12, 50, -1, DS),
    Shape(14, 48, 1, DS),
    Shape(14, 51, 1, DS | PS_52_BITS),
    Shape(14, 40, 2, DS | PS_52_BITS),
    Shape(14, 29, 3, DS),
    Shape(14, 52, 0, DS | PS_52_BITS),
    Shape(14, 49, 0, DS),
    // DS means nothing here.
    Shape(16, 45, 2, DS),
    Shape(16, 52, 1, PS_52_BITS),
    // Contradictions.
    Shape(12, 44, 1, DS),
    Shape(12, 48, -1, DS),
    Shape(12, 52, 0, PS_52_BITS),
    Shape(14, 44, 2, DS),
    Shape(12, 40, 3, DS),
];

impl Shape {
    fn shift(self, level: i32) -> u32 {
        self.0 + (self.0 - 3) * (3 - level).unsigned_abs()
    }

    /// `VTCR_EL2` with 40-bit output.
    fn vtcr(self) -> u64 {
        let Self(granule, bits, start, more) = self;
        let usual = Format {
            ipa_bits: bits,
            start_level: 0,
        };
        let (tg0, sl0) = match (granule, start) {
            (12, -1) => (0, 0),
            (12, 3) => (0, 3),
            (12, _) => (0, 2 - start),
            (14, _) => (2, 3 - start),
            _ => (1, 3 - start),
        };
        let sl2 = if start < 0 { SL2 } else { 0 };
        usual.vtcr() & !(3 << 6) | tg0 << 14 | u64::from(sl0.unsigned_abs()) << 6 | sl2 | more
    }

    /// Whether bits 9:8 of a descriptor are bits of an address.
    fn has_wide_descriptors(self) -> bool {
        self.0 != 16 && self.3 & VTCR_DS != 0
    }

    fn table_pages(self) -> u64 {
        1 << (self.0 - 12)
    }

    fn root_pages(self) -> u64 {
        let index_bits = self.1.saturating_sub(self.shift(self.2));
        self.table_pages() << index_bits.saturating_sub(self.0 - 3).min(4)
    }

    /// The entry of `level` for `ipa` below `root`. Tables on the way are made.
    fn entry(self, root: u64, ipa: u64, level: i32, frames: &mut Frames) -> u64 {
        let mut table = root;
        let mut index = ipa >> self.shift(self.2);
        for above in self.2..level {
            let at = table + index * 8;
            if memory::read(at) & 3 != 3 {
                let next = frames.alloc(self.table_pages());
                frames.write(at, next | 3);
            }
            table = memory::read(at) & 0xffff_ffff_f000;
            index = ipa >> self.shift(above + 1) & ((1 << (self.0 - 3)) - 1);
        }
        table + index * 8
    }
}

/// Normal write-back, inner shareable, Access flag, read and write.
const RW: u64 = 1 << 10 | 3 << 8 | 3 << 6 | 0xf << 2;
const SHAREABILITY: u64 = 3 << 8;
const READ: u64 = 1 << 6;
const WRITE: u64 = 2 << 6;
const AF: u64 = 1 << 10;
const CONTIGUOUS: u64 = 1 << 52;
const PAGE: u64 = 3;
const BLOCK: u64 = 1;

/// A guest of some shape.
struct Guest {
    shape: Shape,
    root: u64,
    l2: L2,
    probe: u64,
    /// 2 MiB of memory, aligned.
    data: u64,
}

pub(crate) fn run(frames: &mut Frames) {
    run_shapes(&SHAPES, frames);
}

/// Of FEAT_LPA2.
pub(crate) fn run_large(frames: &mut Frames) {
    run_shapes(&LARGE, frames);
}

fn run_shapes(shapes: &[Shape], frames: &mut Frames) {
    let data = frames.alloc(512);
    memory::write(data, 0x1111_2222);
    for &shape in shapes {
        let mut guest = Guest::new(shape, data, frames);
        guest.accesses(frames);
        guest.levels(frames);
        guest.above(frames);
        guest.flags(frames);
        guest.execution(frames);
    }
}

impl Guest {
    fn new(shape: Shape, data: u64, frames: &mut Frames) -> Self {
        let root = frames.alloc(shape.root_pages());
        let format = Format {
            ipa_bits: shape.1,
            start_level: 0,
        };
        let stage2 = Stage2::at(root, format, 3).with_vtcr(shape.vtcr());
        let in_page = programs() & ((1 << shape.0) - 1);
        let probe = frames.alloc(16);
        let mut guest = Self {
            shape,
            root,
            l2: L2::on(stage2, CODE + in_page),
            probe,
            data,
        };
        guest.l2.controls = HCR_OPEN | HCR_VM;
        guest.map(CODE, 3, (programs() - in_page) | RW & !WRITE | PAGE, frames);
        guest.map(PROBE, 3, probe | RW | PAGE, frames);
        guest
    }

    /// Puts `desc` where it decides about `ipa`, and forgets what was there.
    fn map(&mut self, ipa: u64, level: i32, desc: u64, frames: &mut Frames) -> u64 {
        let at = self.shape.entry(self.root, ipa, level.max(self.shape.2), frames);
        let is_wide = self.shape.has_wide_descriptors();
        frames.write(at, if is_wide { desc & !SHAREABILITY } else { desc });
        bare::tlbi::alle1is();
        at
    }

    /// Executes `word` with `x1`, and prints what comes of it.
    fn try_it(&mut self, what: &str, word: u32, x1: u64, pstate: u64) {
        let Shape(granule, bits, start, more) = self.shape;
        let area = if more == 0 { "S2" } else { "S2-DS" };
        put_code(self.probe, &[word, HVC]);
        bare::tlbi::alle1is();
        [self.l2.x[0], self.l2.x[1]] = [0x3333, x1];
        self.l2.pc = PROBE;
        self.l2.pstate = pstate;
        let exit = self.l2.resume();
        if exit.hvc() == Some(0) {
            println!("P {area} {granule}/{bits}/{start} {what} ok {:#x}", self.l2.x[0]);
        } else if exit.hvc().is_some() {
            let (esr, far) = (ESR_EL12.get(), FAR_EL12.get());
            println!("P {area} {granule}/{bits}/{start} {what} own esr {esr:#x} far {far:#x}");
        } else {
            println!(
                "P {area} {granule}/{bits}/{start} {what} esr {:#x} far {:#x} ipa {:#x}",
                exit.esr,
                exit.far,
                exit.ipa()
            );
        }
    }

    fn load(&mut self, what: &str, ipa: u64) {
        self.try_it(what, LOAD, ipa, PSTATE_EL1H_MASKED);
    }

    fn store(&mut self, what: &str, ipa: u64) {
        self.try_it(what, STORE, ipa, PSTATE_EL1H_MASKED);
    }

    /// What a page allows.
    fn accesses(&mut self, frames: &mut Frames) {
        for (name, bits) in [
            ("rw", RW),
            ("ro", RW & !WRITE),
            ("wo", RW & !READ),
            ("none", RW & !READ & !WRITE),
        ] {
            self.map(DATA, 3, self.data | bits | PAGE, frames);
            self.load(name, DATA);
            self.store(name, DATA + 0x108);
        }
    }

    /// Nothing, blocks, and what is none, at each level; addresses that are too large.
    fn levels(&mut self, frames: &mut Frames) {
        for level in self.shape.2..=3 {
            let ipa = 3_u64 << self.shape.shift(level);
            if ipa >> self.shape.1 != 0 {
                continue;
            }
            self.map(ipa, level, 0, frames);
            self.load("empty", ipa + 0x18);
            // With 52-bit addresses, which may be hidden, this one would be a block.
            if self.shape.0 == 16 && level == 1 && self.shape.3 == 0 {
                continue;
            }
            let size = 1 << self.shape.shift(level);
            self.map(ipa, level, self.data & !(size - 1) | RW | BLOCK, frames);
            self.load("block", ipa + (self.data & (size - 1)));
            self.map(ipa, level, HOLE & !(size - 1) | RW | BLOCK, frames);
            self.load("block-of-nothing", ipa + 0x20);
            if level < 3 {
                self.map(ipa, level, HOLE | PAGE, frames);
                self.load("table-in-nothing", ipa + 0x28);
                self.map(ipa, level, FAR_AWAY | PAGE, frames);
                self.load("table-too-far", ipa + 0x30);
            }
            self.map(ipa, level, 0, frames);
        }
        self.map(DATA, 3, FAR_AWAY | RW | PAGE, frames);
        self.load("page-too-far", DATA);
        self.map(DATA, 3, HOLE | RW | PAGE, frames);
        self.load("page-of-nothing", DATA);
        // QEMU 10.0 looks at these bits of an address with an output of 52 bits only.
        if self.shape.has_wide_descriptors() && self.shape.3 & PS_52_BITS != 0 {
            for bits in 1..4 {
                let at = self.map(DATA, 3, 0, frames);
                frames.write(at, self.data | RW & !SHAREABILITY | bits << 8 | PAGE);
                bare::tlbi::alle1is();
                self.load("page-beyond-50", DATA);
            }
            self.map(DATA, 3, 1 << 48 | self.data | RW | PAGE, frames);
            self.load("page-beyond-48", DATA);
        }
        self.load("beyond", 1 << self.shape.1);
        self.load("beyond-48", 1 << 48);
    }

    /// Pages and blocks at the same place in each 256 TiB: none is taken for another, and each goes by itself.
    fn above(&mut self, frames: &mut Frames) {
        if self.shape.1 <= 48 {
            return;
        }
        let parts = [0, 1, 1 << (self.shape.1 - 49)].map(|part| DATA | part << 48);
        for (ipa, page) in parts.into_iter().zip(0..) {
            let page = self.data + page * 0x1_0000;
            memory::write(page, page);
            self.map(ipa, 3, page | RW | PAGE, frames);
        }
        for changed in parts {
            for ipa in parts {
                self.load("above", ipa);
            }
            let at = self.shape.entry(self.root, changed, 3, frames);
            frames.write(at, 0);
            bare::tlbi::ipas2e1is(changed);
            self.load("above-gone", changed);
        }
        let size = 1 << self.shape.shift(2);
        let block = parts[2] + size;
        self.map(block, 2, self.data & !(size - 1) | RW | BLOCK, frames);
        self.load("above-block", block + (self.data & (size - 1)));
        self.store("above-block", block + (self.data & (size - 1)));
        self.load("above-empty", block + size + 0x18);
        self.map(block, 2, 0, frames);
        memory::write(self.data, 0x1111_2222);
    }

    /// The Access flag, with and without its management by hardware, and the contiguous hint.
    fn flags(&mut self, frames: &mut Frames) {
        const HA: u64 = 1 << 21;
        let stage2 = self.l2.stage2;
        for vtcr in [0, HA] {
            self.l2.stage2 = stage2.with_vtcr(self.shape.vtcr() | vtcr);
            let at = self.map(DATA, 3, self.data | RW & !AF | PAGE, frames);
            self.load(if vtcr == 0 { "af" } else { "af-ha" }, DATA);
            println!("P S2 AF {}", memory::read(at) & AF != 0);
        }
        self.l2.stage2 = stage2;
        let size = 1 << self.shape.0;
        for page in 0..16 {
            self.map(
                DATA + page * size,
                3,
                (self.data + page * size) | RW | CONTIGUOUS | PAGE,
                frames,
            );
        }
        self.load("contiguous", DATA);
        self.load("contiguous", DATA + 15 * size);
    }

    /// `XN[1:0]`, from EL1 and from EL0.
    fn execution(&mut self, frames: &mut Frames) {
        put_code(self.data + 0x200, &[HVC, HVC]);
        for xn in 0..4 {
            self.map(DATA, 3, self.data | RW | xn << 53 | PAGE, frames);
            self.try_it(
                ["x0", "x1", "x2", "x3"][xn as usize],
                BRANCH,
                DATA + 0x200,
                PSTATE_EL1H_MASKED,
            );
            self.try_it(["u0", "u1", "u2", "u3"][xn as usize], BRANCH, DATA + 0x200, PSTATE_EL0);
        }
    }
}
