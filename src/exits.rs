//! How often a vCPU left its guest, why, and what it cost.
//!
//! Counted by exception class, apart for L1 and for its guest, and for the guest apart by who handled it. The cost is
//! in ticks of the counter, from the first instruction of the handler to the last.

/// Exception classes, and one more row for interrupts.
const ROWS: usize = 65;
/// The row of interrupts, after the 64 exception classes.
pub const INTERRUPT: u8 = 64;

/// Who caused an exit and who dealt with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// One row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    const ZERO: Self = Self { count: 0, ticks: 0, min: u64::MAX, max: 0 };

    fn add(&mut self, ticks: u64) {
        self.count += 1;
        self.ticks = self.ticks.wrapping_add(ticks);
        self.min = self.min.min(ticks);
        self.max = self.max.max(ticks);
    }

    /// Both together.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.ticks = self.ticks.wrapping_add(other.ticks);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// A vCPU's counts.
#[derive(Clone, Debug)]
pub struct ExitCounters {
    rows: [[Count; ROWS]; Party::ALL.len()],
}

impl ExitCounters {
    /// Nothing counted.
    pub const fn new() -> Self {
        Self { rows: [[Count::ZERO; ROWS]; Party::ALL.len()] }
    }

    /// Counts one exit of class `class`.
    #[inline(always)]
    pub fn record(&mut self, party: Party, class: u8, ticks: u64) {
        if let Some(row) = self.rows[party as usize].get_mut(usize::from(class)) {
            row.add(ticks);
        }
    }

    /// The row of one party and class.
    pub fn get(&self, party: Party, class: u8) -> Count {
        self.rows[party as usize].get(usize::from(class)).copied().unwrap_or(Count::ZERO)
    }

    /// Classes there are rows for.
    pub fn classes() -> impl Iterator<Item = u8> {
        0..ROWS as u8
    }
}
