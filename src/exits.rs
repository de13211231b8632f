//! How often a vCPU left its guest, why, and what it cost.
//!
//! Counted by exception class, apart for L1 and for its guest, and for the guest apart by who handled it; accesses to
//! system registers by register, of which that class is the sum. The cost is in ticks of the counter, from the first
//! instruction of the handler to the last.
//!
//! Each CPU alone writes its own counters, so counting takes plain loads and stores; they are atomics because the
//! console reads them from another CPU. What it reads of one row may be one exit apart. To begin anew, the console
//! says that they are over, and each CPU clears its own counters when it sees that.

use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use syndrome::{SysReg, esr::ec};

use crate::{layout::CPU_COUNT_MAX, trap::sysreg::short};

/// Exception classes, and one more row for interrupts.
const ROWS: usize = 65;
/// The row of interrupts, after the 64 exception classes.
pub const INTERRUPT: u8 = 64;

/// Who caused an exit and who dealt with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// L1, handled here.
    L1,
    /// L1's guest, handled here.
    L2,
    /// L1's guest, handed to L1.
    L2Forwarded,
}

impl Party {
    /// All of them, in the order they are printed.
    pub const ALL: [Self; 3] = [Self::L1, Self::L2, Self::L2Forwarded];

    /// As the console prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::L2Forwarded => "L2>L1",
        }
    }
}

/// One row, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Exits.
    pub count: u64,
    /// Ticks, all together.
    pub ticks: u64,
    /// The cheapest one's ticks.
    pub min: u64,
    /// The dearest one's ticks.
    pub max: u64,
}

impl Count {
    /// No exit.
    pub const ZERO: Self = Self {
        count: 0,
        ticks: 0,
        min: u64::MAX,
        max: 0,
    };

    /// The mean cost in ticks; 0 if there was none.
    pub fn mean(&self) -> u64 {
        self.ticks.checked_div(self.count).unwrap_or(0)
    }

    /// Both together.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.ticks = self.ticks.wrapping_add(other.ticks);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// One row, as it is counted. All zero is nothing counted, so that the image does not hold the counters.
struct Row {
    count: AtomicU64,
    ticks: AtomicU64,
    /// Of the cheapest one; 0 if there was none.
    min: AtomicU64,
    max: AtomicU64,
}

impl Row {
    const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            min: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }

    fn set(&self, to: &Count) {
        self.count.store(to.count, Relaxed);
        self.ticks.store(to.ticks, Relaxed);
        self.min.store(if to.count == 0 { 0 } else { to.min }, Relaxed);
        self.max.store(to.max, Relaxed);
    }

    fn get(&self) -> Count {
        let count = self.count.load(Relaxed);
        if count == 0 {
            return Count::ZERO;
        }
        Count {
            count,
            ticks: self.ticks.load(Relaxed),
            min: self.min.load(Relaxed),
            max: self.max.load(Relaxed),
        }
    }

    #[inline(always)]
    fn add(&self, ticks: u64) {
        let count = self.count.load(Relaxed).wrapping_add(1);
        self.count.store(count, Relaxed);
        self.ticks.store(self.ticks.load(Relaxed).wrapping_add(ticks), Relaxed);
        // One comparison for both: most lie between.
        let (min, max) = (self.min.load(Relaxed), self.max.load(Relaxed));
        if ticks.wrapping_sub(min) > max.wrapping_sub(min) {
            self.widen(ticks, count == 1);
        }
    }

    #[cold]
    fn widen(&self, ticks: u64, is_first: bool) {
        if is_first || ticks < self.min.load(Relaxed) {
            self.min.store(ticks, Relaxed);
        }
        if ticks > self.max.load(Relaxed) {
            self.max.store(ticks, Relaxed);
        }
    }
}

/// Registers that can be told apart, times the parties: a power of two. Some 60 are met in practice, and most of them are to
/// be found at the first try.
const REGISTERS: usize = 512;
/// Places of the table that are tried for one register.
const PROBES: usize = 8;

/// Accesses to one register by one party. Which stays the same once it is set.
struct RegisterRow {
    /// [`register_key`], or 0 while the row is free.
    key: AtomicU64,
    row: Row,
}

impl RegisterRow {
    const fn new() -> Self {
        Self {
            key: AtomicU64::new(0),
            row: Row::new(),
        }
    }
}

/// A register and a party in one number that is not 0, in the order in which they are printed.
const fn register_key(reg: SysReg, party: Party) -> u64 {
    1 << 32 | (reg.bits() as u64) << 2 | party as u64
}

/// Where the row of a key is looked for first: neighbouring encodings are met together, so they are spread.
const fn home(key: u64) -> usize {
    const GOLDEN_RATIO: u32 = 0x9e37_79b9;
    ((key as u32).wrapping_mul(GOLDEN_RATIO) >> (u32::BITS - REGISTERS.ilog2())) as usize
}

/// A vCPU's counts. Written by its CPU alone, read by any.
// In this order, so that what each exit looks at is within the reach of one instruction.
#[repr(C)]
pub struct ExitCounters {
    /// They are over: the vCPU's CPU is to clear them before it counts again.
    is_over: AtomicBool,
    rows: [[Row; ROWS]; Party::ALL.len()],
    /// Accesses of L1's that are done at once, by the place of the register.
    short: [Row; short::PLACES_MAX],
    registers: [RegisterRow; REGISTERS],
}

static COUNTERS: [ExitCounters; CPU_COUNT_MAX] = [const { ExitCounters::new() }; CPU_COUNT_MAX];

/// The counters of vCPU `cpu`, which the machine has.
pub fn of(cpu: usize) -> &'static ExitCounters {
    &COUNTERS[cpu]
}

/// Makes all counting begin anew.
pub fn reset() {
    for counters in &COUNTERS {
        counters.is_over.store(true, Relaxed);
    }
}

impl ExitCounters {
    /// Nothing counted.
    const fn new() -> Self {
        Self {
            is_over: AtomicBool::new(false),
            rows: [const { [const { Row::new() }; ROWS] }; Party::ALL.len()],
            short: [const { Row::new() }; short::PLACES_MAX],
            registers: [const { RegisterRow::new() }; REGISTERS],
        }
    }

    /// Counts one exit of class `class`, which is not an access to a system register. On the vCPU's own CPU.
    #[inline(always)]
    pub fn record(&self, party: Party, class: u8, ticks: u64) {
        match self.rows[party as usize].get(usize::from(class)) {
            Some(row) if self.is_current() => row.add(ticks),
            _ => self.record_anew(party, class, ticks),
        }
    }

    /// The same as the first after all was to begin anew.
    #[cold]
    fn record_anew(&self, party: Party, class: u8, ticks: u64) {
        if !self.is_current() {
            self.clear();
        }
        if let Some(row) = self.rows[party as usize].get(usize::from(class)) {
            row.add(ticks);
        }
    }

    /// Counts one access of L1's that was done at once, to the register at `place`. On the vCPU's own CPU.
    #[inline(always)]
    pub fn record_short(&self, place: usize, ticks: u64) {
        match self.short.get(place) {
            Some(row) if self.is_current() => row.add(ticks),
            _ => self.record_short_anew(place, ticks),
        }
    }

    /// The same as the first after all was to begin anew.
    #[cold]
    fn record_short_anew(&self, place: usize, ticks: u64) {
        self.clear();
        if let Some(row) = self.short.get(place) {
            row.add(ticks);
        }
    }

    /// Counts one access to `reg`. On the vCPU's own CPU.
    #[inline(always)]
    pub fn record_register(&self, party: Party, reg: SysReg, ticks: u64) {
        let key = register_key(reg, party);
        match self.registers.get(home(key)) {
            Some(row) if row.key.load(Relaxed) == key && self.is_current() => row.row.add(ticks),
            _ => self.record_elsewhere(party, reg, ticks),
        }
    }

    /// The same where the row is not the first that is tried, or there is none yet. Where none is left for a register, it
    /// counts for the class alone.
    #[cold]
    fn record_elsewhere(&self, party: Party, reg: SysReg, ticks: u64) {
        if !self.is_current() {
            self.clear();
        }
        let key = register_key(reg, party);
        for probe in 0..PROBES {
            let Some(row) = self.registers.get((home(key) + probe) % REGISTERS) else {
                break;
            };
            match row.key.load(Relaxed) {
                0 => row.key.store(key, Release),
                found if found == key => {}
                _ => continue,
            }
            row.row.add(ticks);
            return;
        }
        self.record(party, ec::SYS64, ticks);
    }

    /// The first register after `after` that was counted, with who accessed it. The order is that of the encodings;
    /// `None` is before all of them.
    pub fn next_register(&self, after: Option<(SysReg, Party)>) -> Option<(SysReg, Party)> {
        let after = after.map_or(0, |(reg, party)| register_key(reg, party));
        let key = self
            .by_register()
            .map(|(key, _)| key)
            .filter(|key| *key > after)
            .min()?;
        let party = Party::ALL.get(key as usize & 3)?;
        Some((SysReg::from_bits((key >> 2) as u16), *party))
    }

    /// The accesses to one register.
    pub fn of_register(&self, reg: SysReg, party: Party) -> Count {
        self.sum_of(register_key(reg, party), u64::MAX)
    }

    /// The rows of registers, each with its key, which is 0 where the row is free.
    fn by_register(&self) -> impl Iterator<Item = (u64, &Row)> {
        let short = self.short.iter().enumerate().map(|(place, row)| {
            let key = short::register_at(place).map_or(0, |reg| register_key(reg, Party::L1));
            (key, row)
        });
        short.chain(self.registers.iter().map(|row| (row.key.load(Acquire), &row.row)))
    }

    /// All rows of registers whose key is `key`, as far as `mask` goes; nothing when what was counted is over.
    fn sum_of(&self, key: u64, mask: u64) -> Count {
        let mut sum = Count::ZERO;
        // Acquire: that they are not over any more is seen only with the rows cleared.
        if !self.is_over.load(Acquire) {
            let wanted = self.by_register().filter(|(of, _)| *of != 0 && of & mask == key & mask);
            wanted.for_each(|(_, row)| sum.merge(&row.get()));
        }
        sum
    }

    /// The row of one party and class.
    pub fn get(&self, party: Party, class: u8) -> Count {
        /// The bits of a register's key that say whose it is.
        const PARTY: u64 = 3;
        let row = self.rows[party as usize].get(usize::from(class));
        let is_current = !self.is_over.load(Acquire);
        let mut count = row.filter(|_| is_current).map_or(Count::ZERO, Row::get);
        if class == ec::SYS64 {
            count.merge(&self.sum_of(party as u64, PARTY));
        }
        count
    }

    /// Whether what was counted is not over.
    #[inline(always)]
    fn is_current(&self) -> bool {
        !self.is_over.load(Relaxed)
    }

    #[cold]
    fn clear(&self) {
        let registers = self.by_register().map(|(_, row)| row);
        for row in self.rows.iter().flatten().chain(registers) {
            row.set(&Count::ZERO);
        }
        // Whoever has said so once more meanwhile has what they want.
        self.is_over.store(false, Release);
    }
}
